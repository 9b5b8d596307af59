//! What AWS Cost Explorer tells, as a FOCUS bill.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aws::{Access, Asked, Ceiling, Client, Costs};
use focus::cost::{Month, Value};
use jiff::Timestamp;
use lake::{Ingested, Lake, OnInvalid, Options};
use tempfile::NamedTempFile;

use super::bill::Bill;
use crate::{
    config::{Config, EXPLORER_ON_INVALID},
    exit::Refused,
};

/// Who delivers these charges.
pub(crate) const SOURCE: &str = "cost-explorer";

/// The count of paid calls, in the data directory.
const CALLS: &str = "aws-calls";

/// What is asked of Cost Explorer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// The profile of AWS's config files; the usual one without it.
    pub(crate) profile: Option<String>,
    /// Only these member accounts; all that are seen without any.
    pub(crate) accounts: Vec<String>,
    /// The first billing month; the last one before this without it.
    pub(crate) first: Option<Month>,
}

/// Asks Cost Explorer, then takes the answer in as a whole. Nothing comes in where a page fails.
pub(crate) async fn ingest(
    lake: &Lake,
    config: &Config,
    wanted: Wanted,
    options: Options,
) -> anyhow::Result<Ingested> {
    if options.on_invalid != OnInvalid::Accept {
        return Err(Refused(EXPLORER_ON_INVALID.to_owned()).into());
    }
    let client = client(config, wanted.profile.as_deref()).await?;
    let recent = Asked::recent(Timestamp::now(), wanted.accounts);
    let mut asked = recent.context("the clock is beyond the calendar")?;
    if let Some(first) = wanted.first {
        asked.first = first;
    }
    let source = options.source.clone().unwrap_or_else(|| SOURCE.to_owned());
    let costs = aws::costs(&client, &asked).await?;
    if costs.lines.is_empty() {
        let note = format!("Cost Explorer knows of no costs from {} on", asked.first);
        return Ok(Ingested { source, notes: vec![note], ..Ingested::default() });
    }
    refuse_twice(lake, &source, &costs, &asked).await?;
    let bill = bill(&costs, &asked.accounts)?;
    Ok(lake.ingest(bill.path(), &Options { source: Some(source), ..options }).await?)
}

/// A client whose paid calls are counted, together with those of all who share the data directory.
pub(crate) async fn client(config: &Config, profile: Option<&str>) -> anyhow::Result<Client> {
    let access = Access::load(profile).await;
    let ceiling = Ceiling::new(&config.data_dir.join(CALLS), config.aws_calls);
    Client::new(access, Some(ceiling)).context("failed to read the system's certificates")
}

fn bill(costs: &Costs, accounts: &[String]) -> anyhow::Result<NamedTempFile> {
    let mut bill = Bill::new(aws::CUSTOM)?;
    for charge in aws::charges(costs, accounts)? {
        bill.add(&charge)?;
    }
    bill.done()
}

/// Charges of the account that another source has brought: the same cost would be there twice.
async fn refuse_twice(
    lake: &Lake,
    source: &str,
    costs: &Costs,
    asked: &Asked,
) -> anyhow::Result<()> {
    let imports = lake.imports(None).await?.into_iter();
    let recent = imports.filter(|import| import.period >= asked.first);
    let (own, others): (Vec<_>, Vec<_>) = recent.partition(|import| import.source == source);
    if others.is_empty() {
        return Ok(());
    }
    let accounts: &[String] = match asked.accounts.as_slice() {
        [] => std::slice::from_ref(&costs.account),
        accounts => accounts,
    };
    // Our own charges name the asking account, and a single member account.
    let own = match asked.accounts.len() {
        0 | 1 => own.iter().map(|import| import.rows).sum(),
        _ => 0,
    };
    let places = vec!["?"; accounts.len()].join(", ");
    let payer = if asked.accounts.is_empty() { "BillingAccountId" } else { "SubAccountId" };
    let sql = format!(
        "select count(*) from focus_data_table where BillingPeriodStart >= '{}' \
         and ServiceProviderName = 'AWS' and ({payer} in ({places}) or SubAccountId in ({places}))",
        asked.first.first_day()
    );
    let names = || accounts.iter().map(|account| Value::Text(account.clone()));
    let parameters: Vec<Value> = names().chain(names()).collect();
    let table = lake.sql(&sql, &parameters, None).await?;
    let all = match table.rows.first().and_then(|row| row.first()) {
        Some(Value::Int(all)) => u64::try_from(*all).unwrap_or_default(),
        _ => 0,
    };
    if all <= own {
        return Ok(());
    }
    let names: BTreeSet<&str> = others.iter().map(|import| import.source.as_str()).collect();
    let message = format!(
        "the lake holds charges of the account {} since {} from other sources ({}): \
         what Cost Explorer tells of it would count twice; keep the export or Cost Explorer, or \
         ask for other accounts",
        accounts.join(", "),
        asked.first,
        names.into_iter().collect::<Vec<_>>().join(", ")
    );
    Err(Refused(message).into())
}
