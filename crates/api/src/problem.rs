//! What every answer that is not a success looks like.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{Percent, Usd};

/// What is wrong, for a person, for a program and, where there is one, with which field. A refusal
/// by a budget also says how that budget stands.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Problem {
    /// The problem in two or three words.
    pub error: String,
    /// What is wrong and what to do, in a sentence.
    pub message: String,
    /// The problem for programs.
    pub code: String,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Charged in the running period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_usage_usd: Option<Usd>,
    /// The limit of the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_limit_usd: Option<Usd>,
    /// All that would count against the limit with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_used: Option<Percent>,
    /// When the budget starts afresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
}
