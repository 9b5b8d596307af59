//! `/api/v1/tenants` and `/api/v1/keys`.

use budget::{KeyRecord, Tenant, Tier};
use focus::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{Usd, schema};

/// A tenant to create or change. A tier also sets its monthly budget over all models.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantRequest {
    /// Its name in every request.
    #[schema(schema_with = schema::tenant)]
    pub tenant_id: TenantId,
    /// Its name for people.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// Its commercial tier.
    #[schema(schema_with = schema::tier_optional)]
    pub tier: Option<Tier>,
    /// The agreed limit of the tier `custom`, from 50000.
    pub custom_limit_usd: Option<Usd>,
    /// Who is told about its budgets.
    #[schema(min_length = 3, max_length = 254)]
    pub admin_email: Option<String>,
}

/// Which tenants.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TenantQuery {
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Rows at most; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u16>,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantView {
    /// Its name in every request.
    pub tenant_id: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its commercial tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Who is told about its budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_email: Option<String>,
    /// Since when it is known.
    #[schema(schema_with = schema::timestamp)]
    pub created_at: String,
}

impl From<&Tenant> for TenantView {
    fn from(tenant: &Tenant) -> Self {
        Self {
            tenant_id: tenant.id.to_string(),
            name: tenant.name.clone(),
            tier: tenant.tier.map(|tier| tier.as_str().to_owned()),
            admin_email: tenant.admin_email.clone(),
            created_at: tenant.created_at.to_string(),
        }
    }
}

/// A page of tenants.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantList {
    /// In the order of ids.
    pub tenants: Vec<TenantView>,
    /// Asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// For whom it reads and spends.
    #[schema(schema_with = schema::tenant)]
    pub tenant_id: TenantId,
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
}

/// Which keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// One tenant's.
    #[param(schema_with = schema::tenant_optional)]
    pub tenant_id: Option<TenantId>,
}

/// How to rotate.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RotateQuery {
    /// How long the old key still works; not at all by default.
    #[param(minimum = 0, maximum = 604800)]
    pub grace_seconds: Option<u32>,
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Names it in lists.
    pub id: Uuid,
    /// For whom it reads and spends.
    pub tenant_id: String,
    /// What it is for.
    pub name: String,
    /// The secret's first characters.
    pub prefix: String,
    /// When it was made.
    #[schema(schema_with = schema::timestamp)]
    pub created_at: String,
    /// From when it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

impl From<&KeyRecord> for KeyView {
    fn from(key: &KeyRecord) -> Self {
        Self {
            id: key.id,
            tenant_id: key.tenant.to_string(),
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            created_at: key.created_at.to_string(),
            revoked_at: key.revoked_at.map(|at| at.to_string()),
        }
    }
}

/// A key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct KeyCreated {
    /// The key.
    pub key: KeyView,
    /// What to send as `Authorization: Bearer …`. It can't be shown again.
    pub secret: String,
}

/// Keys, revoked ones too.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// The keys.
    pub keys: Vec<KeyView>,
}
