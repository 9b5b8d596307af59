//! What must be true at the end: the vendor's journal and the ledgers laid side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cast::{EXACT, MODELS};
use super::stage::Stage;
use super::watch;
use crate::shell;

/// A thing that was looked at.
#[derive(Serialize)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) value: String,
    pub(super) wanted: String,
    pub(super) is_met: bool,
}

pub(super) fn finding(
    what: impl Into<String>,
    value: impl ToString,
    wanted: impl Into<String>,
    is_met: bool,
) -> Finding {
    Finding { what: what.into(), value: value.to_string(), wanted: wanted.into(), is_met }
}

/// The vendor's journal, as far as it matters.
#[derive(Deserialize)]
pub(super) struct Journal {
    requests: Vec<Served>,
    refused: Vec<String>,
}

#[derive(Deserialize)]
struct Served {
    id: String,
    model: String,
    script: String,
    usage: Option<Used>,
    is_whole: bool,
}

#[derive(Deserialize)]
struct Used {
    input: i128,
    output: i128,
}

/// What the ledgers have of a call.
#[derive(Default)]
struct Booked {
    reserves: u32,
    settles: u32,
    releases: u32,
    others: u32,
    /// In nano-dollars.
    settled: i128,
}

pub(super) async fn journal(stage: &Stage) -> Result<Journal> {
    let text = watch::ask(stage.vendor, "/journal").await?;
    serde_json::from_str(&text).context("failed to read the vendor's journal")
}

/// Compares, when every process has ended.
pub(super) fn ledgers(stage: &Stage, journal: &Journal) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut booked: BTreeMap<String, Booked> = BTreeMap::new();
    let databases: BTreeSet<&str> =
        stage.gateways.iter().map(|gateway| gateway.database.as_str()).collect();
    for database in databases {
        let kind = database.split(':').next().unwrap_or(database);
        let verified = shell::output(stage.bursar(database)?.args(["ledger", "verify"]));
        let said = match &verified {
            Ok(_) => "whole".to_owned(),
            Err(error) => error.to_string(),
        };
        findings.push(finding(format!("ledger on {kind}"), said, "whole", verified.is_ok()));
        read(stage.bursar(database)?, &mut booked)?;
    }
    findings.extend(compare(journal, &booked));
    Ok(findings)
}

/// Adds a ledger's entries to what is booked.
fn read(mut bursar: Command, booked: &mut BTreeMap<String, Booked>) -> Result<()> {
    #[derive(Deserialize)]
    struct Entry {
        kind: String,
        request_id: String,
        amount_usd: String,
    }
    let export = shell::output(bursar.args(["ledger", "export", "--output", "json"]))?;
    for line in export.lines() {
        let entry: Entry = serde_json::from_str(line).context("failed to read an entry")?;
        let call = booked.entry(entry.request_id).or_default();
        match entry.kind.as_str() {
            "reserve" => call.reserves += 1,
            "settle" => {
                call.settles += 1;
                call.settled += nanos(&entry.amount_usd)?;
            }
            "release" => call.releases += 1,
            _ => call.others += 1,
        }
    }
    Ok(())
}

/// An amount with nine digits behind its point.
fn nanos(text: &str) -> Result<i128> {
    let digits: String = text.chars().filter(|sign| *sign != '.').collect();
    digits.parse().with_context(|| format!("failed to read the amount {text}"))
}

fn compare(journal: &Journal, booked: &BTreeMap<String, Booked>) -> Vec<Finding> {
    let mut served: BTreeMap<&str, Vec<&Served>> = BTreeMap::new();
    for request in &journal.requests {
        served.entry(&request.id).or_default().push(request);
    }
    let (mut billed, mut exact) = (0_u64, 0_u64);
    let (mut missing, mut doubled, mut inexact, mut charged_for_nothing) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, requests) in &served {
        let settles = booked.get(*id).map_or(0, |call| call.settles);
        let mut bills = requests.iter().filter(|request| request.usage.is_some());
        let Some(bill) = bills.next() else {
            if settles > 0 {
                charged_for_nothing.push(*id);
            }
            continue;
        };
        billed += 1;
        if settles == 0 {
            missing.push(*id);
        } else if settles > 1 || bills.next().is_some() {
            doubled.push(*id);
        } else if let Some(cost) = bill.cost() {
            exact += 1;
            if booked.get(*id).is_none_or(|call| call.settled != cost) {
                inexact.push(*id);
            }
        }
    }
    let unknown =
        |(id, call): &(&String, &Booked)| call.settles > 0 && !served.contains_key(id.as_str());
    // The metered service's calls have never been at the vendor; they are counted apart.
    let of_gateways = booked.iter().filter(|(id, _)| is_a_gateways(id));
    let unknown: Vec<&str> = of_gateways.filter(unknown).map(|(id, _)| id.as_str()).collect();
    let unclosed = booked
        .values()
        .filter(|call| call.reserves > 0 && call.settles + call.releases + call.others == 0);
    let some = |ids: &[&str]| match ids {
        [] => "0".to_owned(),
        [first, ..] => format!("{}, the first is {first}", ids.len()),
    };
    let none = |what: &str, ids: &[&str]| finding(what, some(ids), "0", ids.is_empty());
    vec![
        finding("calls that the vendor has billed", billed, "> 0", billed > 0),
        none("of these not in a ledger", &missing),
        none("of these in a ledger twice", &doubled),
        finding("of these with usage that was read to its end", exact, "> 0", exact > 0),
        none("of these not charged to the nano-dollar", &inexact),
        none("calls charged that the vendor has not billed", &charged_for_nothing),
        none("calls charged that the vendor has never seen", &unknown),
        finding("holds in the ledgers without an end", unclosed.clone().count(), "0", {
            unclosed.count() == 0
        }),
        finding(
            "keys and names that have leaked to the vendor",
            journal.refused.len(),
            "0",
            journal.refused.is_empty(),
        ),
    ]
}

/// The gateway's names are UUIDs of version 7, the meter's of version 4.
fn is_a_gateways(id: &str) -> bool {
    id.as_bytes().get(14) == Some(&b'7')
}

impl Served {
    /// What it must have been charged, where a gateway has read all of it.
    fn cost(&self) -> Option<i128> {
        let usage = self.usage.as_ref()?;
        if !self.is_whole || !EXACT.contains(&self.script.as_str()) {
            return None;
        }
        let (_, input, output) = MODELS.iter().find(|(model, ..)| *model == self.model)?;
        Some(usage.input * input + usage.output * output)
    }
}
