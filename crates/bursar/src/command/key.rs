//! `bursar key`.

use ::budget::KeyRecord;
use clap::Subcommand;
use focus::TenantId;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::{
    context::{Context, Store, block_on},
    exit::{Exit, Refused},
    output::{Cell, Report, Tone},
};

/// Create, list, rotate and revoke tenants' API keys
///
/// Example: bursar key create acme --name reporting
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a key; its secret is shown now and never again
    ///
    /// Example: bursar key create acme --name reporting
    Create {
        /// The tenant, for whom alone the key reads and spends
        tenant: TenantId,
        /// What the key is for
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List keys, without their secrets
    ///
    /// Example: bursar key list --tenant acme
    List {
        /// One tenant's
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Create a key in the place of another, which stays valid for a while
    ///
    /// Example: bursar key rotate 0193f0c4-7d5e-7aa0-b1a4-6d2f4c1b9e01 --grace 24h
    Rotate {
        /// The key to replace
        id: Uuid,
        /// How long the old one stays valid
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        grace: SignedDuration,
    },
    /// Revoke a key from now on
    ///
    /// Example: bursar key revoke 0193f0c4-7d5e-7aa0-b1a4-6d2f4c1b9e01
    Revoke {
        /// The key
        id: Uuid,
    },
}

const COLUMNS: &[&str] =
    &["id", "tenant_id", "name", "prefix", "status", "created_at", "revoked_at"];
const CREATED_COLUMNS: &[&str] = &["id", "tenant_id", "name", "secret"];

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let now = Timestamp::now();
        let report = block_on(context.with_store(async |store| match self.command {
            Command::Create { tenant, name } => create(store, tenant, name, now).await,
            Command::List { tenant } => {
                let keys = store.keys(tenant.as_ref()).await?;
                Ok(listed(&keys, now))
            }
            Command::Rotate { id, grace } => rotate(store, id, grace, now).await,
            Command::Revoke { id } => {
                if !store.revoke_key(id, now).await? {
                    return Err(Refused(format!("there is no key {id}")).into());
                }
                Ok(listed(&[found(store, id).await?], now))
            }
        }))?;
        context.printer().print(&report)?;
        Ok(Exit::Done)
    }
}

async fn create(
    store: &Store,
    tenant: TenantId,
    name: String,
    now: Timestamp,
) -> anyhow::Result<Report> {
    let (key, secret) = server::new_key(tenant, name, now)?;
    let mut report = Report::new("keys", CREATED_COLUMNS);
    let texts = [key.id.to_string(), key.tenant.to_string(), key.name.clone(), secret];
    store.put_key(key).await?;
    report.rows.push(texts.map(Cell::Text).to_vec());
    Ok(report)
}

async fn rotate(
    store: &Store,
    id: Uuid,
    grace: SignedDuration,
    now: Timestamp,
) -> anyhow::Result<Report> {
    let old = found(store, id).await?;
    if old.revoked_at.is_some_and(|at| at <= now) {
        return Err(Refused(format!("key {id} is revoked")).into());
    }
    let report = create(store, old.tenant, old.name, now).await?;
    store.revoke_key(id, now.checked_add(grace)?).await?;
    Ok(report)
}

async fn found(store: &Store, id: Uuid) -> anyhow::Result<KeyRecord> {
    let keys = store.keys(None).await?;
    let key = keys.into_iter().find(|key| key.id == id);
    key.ok_or_else(|| Refused(format!("there is no key {id}")).into())
}

fn listed(keys: &[KeyRecord], now: Timestamp) -> Report {
    let mut report = Report::new("keys", COLUMNS);
    for key in keys {
        let revoked = key.revoked_at.is_some_and(|at| at <= now);
        let (word, tone) = if revoked { ("revoked", Tone::Bad) } else { ("valid", Tone::Good) };
        report.rows.push(vec![
            Cell::text(key.id),
            Cell::text(&key.tenant),
            Cell::text(&key.name),
            Cell::text(&key.prefix),
            Cell::Word(word.to_owned(), tone),
            Cell::Time(key.created_at),
            key.revoked_at.map_or(Cell::None, Cell::Time),
        ]);
    }
    report
}
