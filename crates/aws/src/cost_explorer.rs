//! Cost Explorer: what each day has cost, by service and region.
//!
//! Owns the question and the pages of its answer. Invariant: an answer is whole, or an error; a
//! line is told once.

use std::collections::{BTreeMap, BTreeSet};

use focus::{Decimal, cost::Month};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    Api, AwsError, Client,
    service::{self, unreadable},
};

const ACTION: &str = "GetCostAndUsage";
/// Pages of one answer, at most.
const PAGES_MOST: usize = 1_000;
/// Lines of one answer, at most: two months of three hundred services in thirty regions.
const LINES_MOST: usize = 1_000_000;

/// Which costs are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The first billing month.
    pub first: Month,
    /// The day after the last.
    pub end: Date,
    /// Only what these member accounts have used; all that the asking one can see, without any.
    pub accounts: Vec<String>,
}

impl Asked {
    /// This month up to now and the one before, whose last costs come when it is over. `None`
    /// beyond the calendar.
    pub fn recent(now: Timestamp, accounts: Vec<String>) -> Option<Self> {
        let end = now.to_zoned(TimeZone::UTC).date().tomorrow().ok()?;
        Some(Self { first: Month::of(now)?.previous(), end, accounts })
    }
}

/// What one service has cost in one region on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `UnblendedCost`: what is billed.
    pub billed: Decimal,
    /// `AmortizedCost`: with the fees of commitments spread over what they cover.
    pub effective: Decimal,
    /// The currency's code.
    pub currency: String,
    /// Whether AWS still counts.
    pub estimated: bool,
}

/// What was asked, whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Costs {
    /// Whose credentials asked.
    pub account: String,
    /// By day, service and region as Cost Explorer names them (`NoRegion` where there is none).
    pub lines: BTreeMap<(Date, String, String), Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    time_period: Between,
    granularity: &'static str,
    metrics: [&'static str; 2],
    group_by: [GroupBy; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Filter<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "PascalCase")]
struct Between {
    start: Date,
    /// The day after the last.
    end: Date,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GroupBy {
    r#type: &'static str,
    key: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Filter<'a> {
    dimensions: Values<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Values<'a> {
    key: &'static str,
    values: &'a [String],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    next_page_token: Option<String>,
    #[serde(default)]
    results_by_time: Vec<Day>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Day {
    time_period: Between,
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    estimated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    keys: Vec<String>,
    metrics: BTreeMap<String, Amount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Amount {
    amount: String,
    unit: String,
}

/// Asks what days have cost, in one query of as many pages as it has
/// (<https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html>).
///
/// Cost Explorer groups by two dimensions at most: service and region they are. Each page is a paid
/// call.
pub async fn costs(client: &Client, asked: &Asked) -> Result<Costs, AwsError> {
    let account = service::account(client).await?;
    let mut costs = Costs { account, ..Costs::default() };
    let filter = Filter { dimensions: Values { key: "LINKED_ACCOUNT", values: &asked.accounts } };
    let by = |key| GroupBy { r#type: "DIMENSION", key };
    let mut question = Question {
        time_period: Between { start: asked.first.first_day(), end: asked.end },
        granularity: "DAILY",
        metrics: ["UnblendedCost", "AmortizedCost"],
        group_by: [by("SERVICE"), by("REGION")],
        filter: (!asked.accounts.is_empty()).then_some(filter),
        next_page_token: None,
    };
    let mut tokens = BTreeSet::new();
    for _ in 0..PAGES_MOST {
        let page: Page = service::json(client, Api::CostExplorer, ACTION, &question).await?;
        for day in page.results_by_time {
            take(&mut costs, asked, day).map_err(|cause| wrong(&cause))?;
        }
        let Some(token) = page.next_page_token.filter(|token| !token.is_empty()) else {
            return Ok(costs);
        };
        if !tokens.insert(token.clone()) {
            return Err(wrong("it turns to a page that was there before"));
        }
        question.next_page_token = Some(token);
    }
    Err(wrong(&format!("there are more than {PAGES_MOST} pages; name accounts to ask for fewer")))
}

fn wrong(cause: &str) -> AwsError {
    unreadable(Api::CostExplorer, ACTION, &cause)
}

/// Takes one day of a page.
fn take(costs: &mut Costs, asked: &Asked, day: Day) -> Result<(), String> {
    let Between { start, end } = day.time_period;
    if start < asked.first.first_day() || end > asked.end || start.tomorrow().ok() != Some(end) {
        return Err(format!("{start} to {end} is no day that was asked for"));
    }
    for group in day.groups {
        let Ok([service, region]) = <[String; 2]>::try_from(group.keys) else {
            return Err(format!("a group of {start} has not two keys"));
        };
        let place = || format!("{service} in {region} on {start}");
        let amount = |metric: &str| {
            let amount = group.metrics.get(metric);
            let amount = amount.ok_or_else(|| format!("{} has no {metric}", place()))?;
            let number = Decimal::parse(&amount.amount).ok_or_else(|| {
                format!("{} has a {metric} that is no amount: {:?}", place(), amount.amount)
            })?;
            Ok::<_, String>((number, &amount.unit))
        };
        let ((billed, unit), (effective, other)) =
            (amount("UnblendedCost")?, amount("AmortizedCost")?);
        // Where nothing was used, AWS writes nothing's currency.
        if billed == Decimal::ZERO && effective == Decimal::ZERO && unit == "N/A" {
            continue;
        }
        if unit != other || unit.len() != 3 {
            return Err(format!("{} is in {unit:?} and {other:?}", place()));
        }
        let line = Line { billed, effective, currency: unit.clone(), estimated: day.estimated };
        let said = place();
        if costs.lines.insert((start, service, region), line).is_some() {
            return Err(format!("{said} is told twice"));
        }
        if costs.lines.len() > LINES_MOST {
            return Err(format!("there are more than {LINES_MOST} lines"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
