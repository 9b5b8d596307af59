//! What every answer that is not a success looks like.

use focus::{ModelName, ReportType, Scope, TenantId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Percent, Unreadable, Usd, number};

/// What is wrong, for a person, for a program and, where there is one, with which field. A refusal
/// by a budget also says how that budget stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
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
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub current_usage_usd: Option<Usd>,
    /// The limit of the period.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub monthly_limit_usd: Option<Usd>,
    /// All that would count against the limit with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_used: Option<Percent>,
    /// When the budget starts afresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
    /// Charged and promised in the running period, with this request.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::answered_optional"
    )]
    pub counted_usd: Option<Usd>,
    /// The request would fit if the calls in flight cost nothing: trying again soon may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_holds: Option<bool>,
    /// What that budget wants done instead: `refuse`, `clamp`, or `fallback` and models behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow: Option<String>,
    /// The budget that it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetScope>,
    /// The request id that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// What the reservation is, where that is the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Which calls a budget covers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BudgetScope {
    /// Whose.
    pub tenant_id: String,
    /// One model, or `*`.
    pub model: String,
    /// One user within the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// One report type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_type: Option<String>,
}

impl From<&Scope> for BudgetScope {
    fn from(scope: &Scope) -> Self {
        Self {
            tenant_id: scope.tenant.to_string(),
            model: scope.model_or_star().to_owned(),
            user_id: scope.user.as_ref().map(ToString::to_string),
            report_type: scope.report_type.as_ref().map(ToString::to_string),
        }
    }
}

impl TryFrom<&BudgetScope> for Scope {
    type Error = Unreadable;

    fn try_from(scope: &BudgetScope) -> Result<Self, Unreadable> {
        let model = match scope.model.as_str() {
            "*" => None,
            name => Some(ModelName::parse(name)?),
        };
        Ok(Self {
            tenant: TenantId::parse(&scope.tenant_id)?,
            model,
            user: scope.user_id.as_deref().map(UserId::parse).transpose()?,
            report_type: scope.report_type.as_deref().map(ReportType::parse).transpose()?,
        })
    }
}
