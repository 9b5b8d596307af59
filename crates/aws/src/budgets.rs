//! AWS Budgets as Bursar's budgets for cloud cost.
//!
//! Owns what of a budget can be said in Bursar's words, and what can't: such a one is not taken,
//! with the reason. Invariant: a budget that is taken watches no other charges than AWS's does,
//! but for what its notes say.

use std::collections::BTreeMap;

use budget::{CloudBudget, CloudPeriod, Thresholds, Watched};
use focus::{
    Column, Decimal,
    cost::{Basis, Dimension},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Api, AwsError, Client, service, service::unreadable};

/// What the names of budgets from AWS begin with.
pub const BUDGET_MARK: &str = "aws:";
/// Budgets of one page, at most, and notifications of one budget.
const PAGE: u32 = 100;
const PAGES_MOST: usize = 1_000;

/// A budget of AWS as one of Bursar's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The budget; its name is AWS's after `aws:`.
    pub budget: CloudBudget,
    /// Where it counts or tells otherwise than AWS's.
    pub notes: Vec<String>,
}

/// A budget of AWS that has no equal here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// AWS's name.
    pub name: String,
    /// Why.
    pub reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_name: Option<&'a str>,
    max_results: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    budgets: Option<Vec<Told>>,
    next_token: Option<String>,
}

/// AWS's `Budget`
/// (<https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_Budget.html>).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    budget_name: String,
    budget_type: String,
    time_unit: String,
    budget_limit: Option<Spend>,
    #[serde(default)]
    cost_filters: Option<BTreeMap<String, Vec<String>>>,
    filter_expression: Option<serde_json::Value>,
    planned_budget_limits: Option<BTreeMap<String, Spend>>,
    cost_types: Option<CostTypes>,
    metrics: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spend {
    amount: String,
    unit: String,
}

/// Which costs count; each is included where nothing is said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CostTypes {
    use_amortized: bool,
    use_blended: bool,
    include_credit: Option<bool>,
    include_discount: Option<bool>,
    include_other_subscription: Option<bool>,
    include_recurring: Option<bool>,
    include_refund: Option<bool>,
    include_subscription: Option<bool>,
    include_support: Option<bool>,
    include_tax: Option<bool>,
    include_upfront: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotificationPage {
    #[serde(default)]
    notifications: Option<Vec<Notification>>,
    next_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    notification_type: String,
    threshold: serde_json::Number,
    threshold_type: Option<String>,
}

/// The budgets of an account, the asking one's where none is named, and those that can't be taken.
pub async fn budgets(
    client: &Client,
    account: Option<&str>,
    now: Timestamp,
) -> Result<(Vec<Imported>, Vec<NotTaken>), AwsError> {
    let account = match account {
        Some(account) => account.to_owned(),
        None => service::account(client).await?,
    };
    let (mut taken, mut others) = (Vec::new(), Vec::new());
    for told in described(client, &account).await? {
        let name = told.budget_name.clone();
        let notifications = match kind(&told) {
            Ok(()) => notifications(client, &account, &name).await?,
            Err(_) => Vec::new(),
        };
        match import(&told, &notifications, now) {
            Ok(imported) => taken.push(imported),
            Err(reason) => others.push(NotTaken { name, reason }),
        }
    }
    Ok((taken, others))
}

/// All pages of `DescribeBudgets`
/// (<https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_DescribeBudgets.html>).
async fn described(client: &Client, account: &str) -> Result<Vec<Told>, AwsError> {
    let action = "DescribeBudgets";
    let mut question =
        Question { account_id: account, budget_name: None, max_results: PAGE, next_token: None };
    let mut all = Vec::new();
    for _ in 0..PAGES_MOST {
        let page: Page = service::json(client, Api::Budgets, action, &question).await?;
        all.extend(page.budgets.unwrap_or_default());
        question.next_token = page.next_token.filter(|token| !token.is_empty());
        if question.next_token.is_none() {
            return Ok(all);
        }
    }
    Err(unreadable(Api::Budgets, action, &"its pages don't end"))
}

/// All notifications of a budget
/// (<https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_DescribeNotificationsForBudget.html>).
async fn notifications(
    client: &Client,
    account: &str,
    budget: &str,
) -> Result<Vec<Notification>, AwsError> {
    let action = "DescribeNotificationsForBudget";
    let mut question = Question {
        account_id: account,
        budget_name: Some(budget),
        max_results: PAGE,
        next_token: None,
    };
    let mut all = Vec::new();
    for _ in 0..PAGES_MOST {
        let page = service::json(client, Api::Budgets, action, &question).await;
        let page: NotificationPage = match page {
            Ok(page) => page,
            // A budget that nobody is told of.
            Err(AwsError::Refused { code, .. }) if code == "NotFoundException" => break,
            Err(error) => return Err(error),
        };
        all.extend(page.notifications.unwrap_or_default());
        question.next_token = page.next_token.filter(|token| !token.is_empty());
        if question.next_token.is_none() {
            break;
        }
    }
    Ok(all)
}

fn kind(told: &Told) -> Result<(), String> {
    match told.budget_type.as_str() {
        "COST" => Ok(()),
        other => Err(format!("it is of type {other}; only COST budgets watch a cost")),
    }
}

/// The budget in Bursar's words, or why it has none.
fn import(told: &Told, notifications: &[Notification], now: Timestamp) -> Result<Imported, String> {
    kind(told)?;
    let period = match told.time_unit.as_str() {
        "MONTHLY" => CloudPeriod::Month,
        "QUARTERLY" => CloudPeriod::Quarter,
        "ANNUALLY" => CloudPeriod::Year,
        other => return Err(format!("its period is {other}; there are month, quarter and year")),
    };
    if told.planned_budget_limits.as_ref().is_some_and(|planned| !planned.is_empty()) {
        return Err("its limit differs from period to period".to_owned());
    }
    let limit = told.budget_limit.as_ref().ok_or("it has no limit of its own")?;
    let amount = Decimal::parse(&limit.amount);
    let amount = amount.ok_or_else(|| format!("its limit {:?} is no amount", limit.amount))?;
    let mut notes = Vec::new();
    let basis = basis(told, &mut notes)?;
    let filter = filter(told)?;
    let watched =
        Watched::new(filter, basis, &limit.unit, period).map_err(|error| error.to_string())?;
    let name = format!("{BUDGET_MARK}{}", told.budget_name);
    let budget = CloudBudget::new(&name, watched, amount, now);
    let budget = budget.map_err(|error| error.to_string())?;
    let thresholds = thresholds(notifications, &mut notes)?;
    Ok(Imported { budget: CloudBudget { thresholds, ..budget }, notes })
}

/// Which of the costs, and what it leaves out of them.
fn basis(told: &Told, notes: &mut Vec<String>) -> Result<Basis, String> {
    if let Some(metrics) = &told.metrics {
        match metrics.as_slice() {
            [] => {}
            [one] if one == "UnblendedCost" => return Ok(Basis::Billed),
            [one] if one == "AmortizedCost" => return Ok(Basis::Effective),
            others => {
                let others = others.join(", ");
                return Err(format!("it counts {others}; there are UnblendedCost, AmortizedCost"));
            }
        }
    }
    let none = CostTypes::default();
    let types = told.cost_types.as_ref().unwrap_or(&none);
    if types.use_blended {
        return Err("it counts blended costs, which no charge has".to_owned());
    }
    let left_out: Vec<&str> = [
        ("credits", types.include_credit),
        ("discounts", types.include_discount),
        ("other subscriptions", types.include_other_subscription),
        ("recurring fees", types.include_recurring),
        ("refunds", types.include_refund),
        ("subscriptions", types.include_subscription),
        ("support", types.include_support),
        ("taxes", types.include_tax),
        ("upfront fees", types.include_upfront),
    ]
    .into_iter()
    .filter(|(_, is_in)| *is_in == Some(false))
    .map(|(what, _)| what)
    .collect();
    if !left_out.is_empty() {
        notes.push(format!("AWS's leaves out {}; this counts them", left_out.join(", ")));
    }
    Ok(if types.use_amortized { Basis::Effective } else { Basis::Billed })
}

/// What is filtered by, a value a dimension.
fn filter(told: &Told) -> Result<Vec<(Dimension, String)>, String> {
    let mut filter = Vec::new();
    let Some(filters) = &told.cost_filters else {
        return match &told.filter_expression {
            Some(expression) => expressed(expression),
            None => Ok(filter),
        };
    };
    for (name, values) in filters {
        let [value] = values.as_slice() else {
            return Err(format!("it filters {name} by {} values; one is taken", values.len()));
        };
        filter.push(dimension(name, value)?);
    }
    if filters.is_empty()
        && let Some(expression) = &told.filter_expression
    {
        return expressed(expression);
    }
    Ok(filter)
}

/// A filter of `CostFilters`
/// (<https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-create-filters.html>).
fn dimension(name: &str, value: &str) -> Result<(Dimension, String), String> {
    let column = match name {
        "Service" | "SERVICE" => Column::ServiceName,
        "Region" | "REGION" => Column::RegionId,
        "LinkedAccount" | "LINKED_ACCOUNT" => Column::SubAccountId,
        "AZ" => Column::AvailabilityZone,
        "TagKeyValue" => {
            // `user:team$web`: a tag of the user's own, its name and its value.
            let tag = value.split_once('$').map(|(key, value)| {
                let key = key.strip_prefix("user:").unwrap_or(key);
                (Dimension::Tag(key.to_owned()), value.to_owned())
            });
            return tag.ok_or_else(|| format!("its tag {value:?} has no value"));
        }
        other => return Err(format!("it filters by {other}, which no charge has here")),
    };
    let value = if column == Column::RegionId && value == "NoRegion" { "" } else { value };
    Ok((Dimension::Column(column), value.to_owned()))
}

/// A filter as an expression: `And`s of one value each
/// (<https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_Expression.html>).
fn expressed(expression: &serde_json::Value) -> Result<Vec<(Dimension, String)>, String> {
    let odd = || "its filter is no list of single values".to_owned();
    let fields = expression.as_object().ok_or_else(odd)?;
    let mut filter = Vec::new();
    for (name, value) in fields {
        if name == "And" {
            for part in value.as_array().ok_or_else(odd)? {
                // One level: what is deeper is no list any more.
                if part.get("And").is_some() {
                    return Err(odd());
                }
                filter.extend(expressed(part)?);
            }
            continue;
        }
        let key = value["Key"].as_str().ok_or_else(odd)?;
        let [one] = value["Values"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(format!("it filters {key} by several values; one is taken"));
        };
        let one = one.as_str().ok_or_else(odd)?;
        let is_equal = value["MatchOptions"].as_array().is_none_or(|options| {
            options.is_empty() || options.iter().all(|option| option == "EQUALS")
        });
        match name.as_str() {
            _ if !is_equal => return Err(format!("it matches {key} by other than equality")),
            "Dimensions" => filter.push(dimension(key, one)?),
            "Tags" => filter.push((Dimension::Tag(key.to_owned()), one.to_owned())),
            other => return Err(format!("it filters by {other}, which no charge has here")),
        }
    }
    Ok(filter)
}

/// Whole percentages of what was spent; the usual ones where there are none of them.
fn thresholds(
    notifications: &[Notification],
    notes: &mut Vec<String>,
) -> Result<Thresholds, String> {
    let mut percents: Vec<u16> = Vec::new();
    for told in notifications {
        let number = told.threshold.to_string();
        let kind = told.threshold_type.as_deref().unwrap_or("PERCENTAGE");
        // AWS writes 80 as 80.0.
        let whole = number.trim_end_matches('0').trim_end_matches('.');
        let whole = if number.contains('.') { whole } else { &number };
        match (told.notification_type.as_str(), kind, whole.parse()) {
            ("ACTUAL", "PERCENTAGE", Ok(percent)) => percents.push(percent),
            (of, kind, _) => {
                let what = format!("{} {} {number}", of.to_lowercase(), kind.to_lowercase());
                notes.push(format!("its notification ({what}) is not taken"));
            }
        }
    }
    if percents.is_empty() {
        return Ok(Thresholds::default());
    }
    percents.sort_unstable();
    percents.dedup();
    match Thresholds::new(percents) {
        Ok(thresholds) => Ok(thresholds),
        Err(error) => {
            notes.push(format!("its thresholds are not taken: {error}"));
            Ok(Thresholds::default())
        }
    }
}

#[cfg(test)]
mod tests;
