//! Who pays for a request, and what it will use at most.

use std::sync::Arc;

use focus::{ModelName, NameError, ReportType, TenantId, UserId};
use http::request::Parts;
use money::{ServiceTier, TokenUsage};

/// Who pays, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// Whose budgets.
    pub tenant: TenantId,
    /// Who within the tenant.
    pub user: Option<UserId>,
    /// What for.
    pub report_type: Option<ReportType>,
}

/// What a request will use at most. It decides how much is held, never how much is charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The model as its vendor names it, or an alias.
    pub model: ModelName,
    /// Tokens by class.
    pub usage: TokenUsage,
    /// The vendor's service tier.
    pub tier: ServiceTier,
}

impl Estimate {
    /// Prompt and completion tokens of the standard tier, without a cache.
    pub fn new(model: ModelName, tokens_input: u64, tokens_output: u64) -> Self {
        let usage =
            TokenUsage { input: tokens_input, output: tokens_output, ..TokenUsage::default() };
        Self { model, usage, tier: ServiceTier::Standard }
    }
}

/// Why a request is answered 400, or 403.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) field: Option<String>,
}

impl Wrong {
    pub(crate) fn new(code: &str, message: impl Into<String>, field: &str) -> Self {
        Self { code: code.to_owned(), message: message.into(), field: Some(field.to_owned()) }
    }
}

type Find<T> = Arc<dyn Fn(&Parts) -> Option<T> + Send + Sync>;

/// Where the payer is found.
#[derive(Clone, Default)]
pub(crate) enum Payers {
    #[default]
    Headers,
    Given(Find<Payer>),
}

impl Payers {
    pub(crate) fn of(&self, parts: &Parts) -> Result<Payer, Wrong> {
        match self {
            Self::Headers => from_headers(parts),
            Self::Given(find) => find(parts).ok_or_else(|| {
                Wrong::new("tenant_missing", "the request names no tenant", "tenant_id")
            }),
        }
    }
}

fn from_headers(parts: &Parts) -> Result<Payer, Wrong> {
    let tenant = header(parts, "x-tenant-id", TenantId::parse)?.ok_or_else(|| {
        let hint = "send the tenant in the header x-tenant-id";
        Wrong::new("tenant_missing", hint, "x-tenant-id")
    })?;
    let user = header(parts, "x-user-id", UserId::parse)?;
    let report_type = header(parts, "x-report-type", ReportType::parse)?;
    Ok(Payer { tenant, user, report_type })
}

/// A header that is a name. One that is there twice could be read in two ways, and is none.
fn header<T>(
    parts: &Parts,
    name: &'static str,
    parse: fn(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Wrong> {
    let mut values = parts.headers.get_all(name).iter();
    let Some(value) = values.next().filter(|value| !value.is_empty()) else { return Ok(None) };
    if values.next().is_some() {
        return Err(Wrong::new("invalid_field", format!("{name} is there twice"), name));
    }
    let text = std::str::from_utf8(value.as_bytes());
    let text =
        text.map_err(|_| Wrong::new("invalid_field", format!("{name} is not UTF-8"), name))?;
    parse(text)
        .map(Some)
        .map_err(|error| Wrong::new("invalid_field", format!("{name} {error}"), name))
}

/// Where the estimate is found.
#[derive(Clone, Default)]
pub(crate) enum Estimates {
    #[default]
    Extension,
    Given(Find<Estimate>),
}

impl Estimates {
    pub(crate) fn of(&self, parts: &Parts) -> Result<Estimate, Wrong> {
        let estimate = match self {
            Self::Extension => parts.extensions.get::<Estimate>().cloned(),
            Self::Given(find) => find(parts),
        };
        estimate.ok_or_else(|| Wrong::new("model_missing", "the request names no model", "model"))
    }
}
