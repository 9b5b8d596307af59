//! AWS Budgets, set as budgets for cloud cost.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aws::{Imported, NotTaken};
use budget::CloudBudget;
use jiff::Timestamp;

use super::cost_explorer;
use crate::{config::Config, context::Store};

/// What became of AWS's budgets.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    /// As they stand now.
    pub(crate) taken: Vec<Imported>,
    /// Those of them that were not set just so before.
    pub(crate) changed: BTreeSet<String>,
    /// Those that can't be taken.
    pub(crate) others: Vec<NotTaken>,
    /// Budgets from AWS that AWS has no more, or that can't be taken any more. They stay.
    pub(crate) gone: Vec<String>,
}

impl Synced {
    /// What there is to know of them, a line each: those that are not taken and why, where one
    /// counts otherwise than AWS's, those that AWS has no more.
    pub(crate) fn odd(&self) -> Vec<String> {
        let others = self.others.iter();
        let others = others.map(|NotTaken { name, reason }| format!("{name}: not taken, {reason}"));
        let notes = self.taken.iter().flat_map(|Imported { budget, notes }| {
            notes.iter().map(move |note| format!("{}: {note}", budget.name))
        });
        let gone = self.gone.iter().map(|name| {
            format!(
                "{name}: AWS has no such budget that can be taken; it stays until `bursar cost \
                 budget remove {name:?}`"
            )
        });
        others.chain(notes).chain(gone).collect()
    }
}

/// Sets what AWS has. Where nothing has changed, nothing is written.
pub(crate) async fn sync(
    store: &Store,
    config: &Config,
    profile: Option<&str>,
    account: Option<&str>,
) -> anyhow::Result<Synced> {
    let client = cost_explorer::client(config, profile).await?;
    let (taken, others) = aws::budgets(&client, account, Timestamp::now()).await?;
    let known = store.cloud_budgets().await.context("failed to read budgets for cloud cost")?;
    let mut synced = Synced { others, ..Synced::default() };
    for Imported { budget, notes } in taken {
        let is_so = |known: &CloudBudget| {
            (known.id, known.limit) == (budget.id, budget.limit)
                && known.thresholds == budget.thresholds
        };
        let budget = match known.iter().find(|known| is_so(known)) {
            Some(known) => known.clone(),
            None => {
                synced.changed.insert(budget.name.clone());
                let set = store.put_cloud(budget).await;
                set.context("failed to set a budget for cloud cost")?
            }
        };
        synced.taken.push(Imported { budget, notes });
    }
    let names: BTreeSet<&str> = synced.taken.iter().map(|one| one.budget.name.as_str()).collect();
    let from_aws = known.iter().filter(|budget| budget.name.starts_with(aws::BUDGET_MARK));
    let gone = from_aws.filter(|budget| !names.contains(budget.name.as_str()));
    synced.gone = gone.map(|budget| budget.name.clone()).collect();
    Ok(synced)
}
