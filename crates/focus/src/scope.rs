//! What a budget covers, and what a call is attributed to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ModelName, ReportType, TenantId, UserId};

/// Who makes a call, with what, for what: the facts that decide which budgets it touches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attribution {
    /// Who pays.
    pub tenant: TenantId,
    /// The model, by its canonical name.
    pub model: ModelName,
    /// The person or service within the tenant.
    pub user: Option<UserId>,
    /// What the call is for.
    pub report_type: Option<ReportType>,
}

/// The calls that a budget covers: one tenant's, narrowed by what is `Some`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// Whose calls.
    pub tenant: TenantId,
    /// One model; `None` covers all (`*` on the wire).
    pub model: Option<ModelName>,
    /// One user; `None` covers all.
    pub user: Option<UserId>,
    /// One report type; `None` covers all.
    pub report_type: Option<ReportType>,
}

impl Scope {
    /// All that a tenant spends.
    pub fn tenant(tenant: TenantId) -> Self {
        Self { tenant, model: None, user: None, report_type: None }
    }

    /// All that a tenant spends on one model.
    pub fn model(tenant: TenantId, model: ModelName) -> Self {
        Self { tenant, model: Some(model), user: None, report_type: None }
    }

    /// Whether a call with this attribution counts here.
    pub fn covers(&self, call: &Attribution) -> bool {
        self.tenant == call.tenant
            && self.model.as_ref().is_none_or(|model| *model == call.model)
            && self.user.as_ref().is_none_or(|user| call.user.as_ref() == Some(user))
            && self.report_type.as_ref().is_none_or(|kind| call.report_type.as_ref() == Some(kind))
    }

    /// Whether this is a budget of the tenant as a whole, not of a user or report type within it.
    pub fn is_tenant_wide(&self) -> bool {
        self.user.is_none() && self.report_type.is_none()
    }

    /// The model as the wire writes it: its name, or `*`.
    pub fn model_or_star(&self) -> &str {
        self.model.as_ref().map_or("*", ModelName::as_str)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {} model {}", self.tenant, self.model_or_star())?;
        if let Some(user) = &self.user {
            write!(f, " user {user}")?;
        }
        if let Some(kind) = &self.report_type {
            write!(f, " report type {kind}")?;
        }
        Ok(())
    }
}
