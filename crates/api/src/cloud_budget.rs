//! `/api/v1/cost/budgets`.

use std::collections::BTreeMap;

use budget::{CloudBudget, Watched};
use focus::{
    Decimal,
    cost::{Dimension, Months},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Amount, Percent, schema};

/// A budget for cloud cost to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudBudgetRequest {
    /// What it is called; there is one of each name.
    #[schema(schema_with = schema::cloud_budget_name)]
    pub name: String,
    /// Values by dimension, all of which a charge has to have to count: `service`, `account`,
    /// `region` and so on, a FOCUS column, an `x_` column or `tag:NAME`. An empty value is that
    /// there is none. All charges count without it.
    pub filter: Option<BTreeMap<String, String>>,
    /// Which cost; `billed` by default.
    #[schema(schema_with = schema::basis_optional)]
    pub basis: Option<String>,
    /// Only charges in this currency count; `USD` by default.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: Option<String>,
    /// What may be spent in a period.
    pub limit: Amount,
    /// How long a period is, in whole billing months; `month` by default.
    #[schema(schema_with = schema::cloud_period_optional)]
    pub period: Option<String>,
    /// Percentages at which somebody is told; 80 and 100 by default.
    pub thresholds: Option<Vec<u16>>,
}

/// What a budget for cloud cost becomes. What it watches stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudBudgetUpdate {
    /// What may be spent in a period.
    pub limit: Amount,
    /// Percentages at which somebody is told; as they were when absent.
    pub thresholds: Option<Vec<u16>>,
}

/// A budget for cloud cost, and how it stands in the running period.
#[derive(Debug, Serialize, ToSchema)]
pub struct CloudBudgetView {
    /// Its id, derived from its name and what it watches.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Values by dimension, all of which a charge has to have to count.
    pub filter: BTreeMap<String, String>,
    /// `billed`, `effective`, `list` or `contracted`.
    #[schema(schema_with = schema::basis)]
    pub basis: String,
    /// The currency of what counts and of the limit.
    pub currency: String,
    /// What may be spent in a period.
    pub limit: Amount,
    /// How long a period is.
    #[schema(schema_with = schema::cloud_period)]
    pub period: String,
    /// Percentages at which somebody is told.
    pub thresholds: Vec<u16>,
    /// When it was last changed.
    #[schema(schema_with = schema::timestamp)]
    pub updated_at: String,
    /// The running period; absent where no bills are kept, or where it can't be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<CloudPeriodView>,
    /// Why the running period can't be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_because: Option<String>,
}

impl CloudBudgetView {
    /// A budget, without how it stands.
    pub fn new(budget: &CloudBudget) -> Self {
        let watched = &budget.watched;
        Self {
            id: budget.id.0,
            name: budget.name.clone(),
            filter: filter(watched),
            basis: watched.basis.to_string(),
            currency: watched.currency.clone(),
            limit: Amount(budget.limit),
            period: watched.period.to_string(),
            thresholds: budget.thresholds.percents().to_vec(),
            updated_at: budget.updated_at.to_string(),
            current: None,
            unknown_because: None,
        }
    }
}

/// Values by dimension.
pub(crate) fn filter(watched: &Watched) -> BTreeMap<String, String> {
    let name = |(dimension, value): (&Dimension, &String)| (dimension.to_string(), value.clone());
    watched.filter.iter().map(name).collect()
}

/// What a budget for cloud cost has spent in one period, by the bills that are there.
#[derive(Debug, Serialize, ToSchema)]
pub struct CloudPeriodView {
    /// The first billing month, as `2026-10`.
    pub month_first: String,
    /// The last billing month.
    pub month_last: String,
    /// The sum of what counts.
    pub spent: Amount,
    /// Of the limit, rounded down; absent of a limit of nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_used: Option<Percent>,
    /// The lake's version that was asked.
    pub version: u64,
}

impl CloudPeriodView {
    /// What a budget has spent in a period, by a version of the lake.
    pub fn new(budget: &CloudBudget, months: Months, spent: Decimal, version: u64) -> Self {
        let percent = budget.percent(spent);
        Self {
            month_first: months.0.to_string(),
            month_last: months.1.to_string(),
            spent: Amount(spent),
            percentage_used: percent.map(|hundredths| Percent { hundredths }),
            version,
        }
    }
}

/// All budgets for cloud cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct CloudBudgetList {
    /// In the order of names.
    pub budgets: Vec<CloudBudgetView>,
}
