//! `bursar cost budget`.

use anyhow::Context as _;
use budget::{CloudBudget, CloudPeriod, Thresholds, Watched};
use clap::{Subcommand, ValueEnum};
use focus::{
    Decimal,
    cost::{Basis, Costs, CostsError, Month},
};
use jiff::Timestamp;
use lake::Lake;

use super::{OnlyArgs, aws_budgets};
use crate::{
    config,
    context::{Context, Store},
    exit::{Exit, Refused},
    output::{self, Cell, Report, Tone},
};

/// Set budgets for cloud cost, and see how they stand
///
/// Bills come after the fact, so such a budget refuses nothing: the service looks at it every
/// minute, and tells each threshold once a period (GET /api/v1/events).
///
/// Example: bursar cost budget set lambda 500 --only service='AWS Lambda'
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set a budget, or change the one of this name
    ///
    /// Example: bursar cost budget set web 12000 --only tag:team=web --period quarter
    Set(SetArgs),
    /// List budgets and how they stand
    ///
    /// Example: bursar cost budget list --month 2026-10
    List {
        /// In the periods that hold this billing month; the running ones otherwise
        #[arg(long)]
        month: Option<Month>,
    },
    /// Set the budgets that an account has at AWS Budgets, named `aws:NAME`
    ///
    /// Those for costs by month, quarter or year, that filter by single values of service, region,
    /// member account, zone or tag; the others are told with the reason.
    ///
    /// Example: bursar cost budget import aws
    Import(ImportArgs),
    /// Remove a budget; what was told of it stays
    ///
    /// Example: bursar cost budget remove web
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// Where they are
    from: From,
    /// The account that has them; that of the credentials otherwise
    #[arg(long, value_parser = config::account)]
    account: Option<String>,
    /// The profile of AWS's config files; the usual one otherwise
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

/// Who has budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// AWS Budgets
    Aws,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// What it is called
    name: String,
    /// The limit of one period, as 2000 or 50.25
    #[arg(value_parser = amount, allow_negative_numbers = true)]
    limit: Decimal,
    #[command(flatten)]
    only: OnlyArgs,
    /// Which cost: billed, effective, list or contracted
    #[arg(long, default_value = "billed")]
    basis: Basis,
    /// The currency of the limit; charges in others don't count
    #[arg(long, default_value = "USD", value_name = "CODE")]
    currency: String,
    /// How long a period is: month, quarter or year
    #[arg(long, default_value = "month")]
    period: CloudPeriod,
    /// Percentages at which somebody is told
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [80, 100])]
    thresholds: Vec<u16>,
}

fn amount(text: &str) -> Result<Decimal, String> {
    Decimal::parse(text).ok_or_else(|| "write it as 2000 or 50.25".to_owned())
}

const COLUMNS: &[&str] = &[
    "name",
    "watches",
    "basis",
    "period",
    "month_first",
    "month_last",
    "status",
    "currency",
    "limit",
    "spent",
    "percentage_used",
    "thresholds",
];

impl Args {
    pub(super) async fn run(self, lake: &Lake, context: &Context) -> anyhow::Result<Exit> {
        let now = Timestamp::now();
        let this_month = Month::of(now).context("the clock is beyond the calendar")?;
        let report = context.with_store(async |store| match self.command {
            Command::Set(args) => {
                let budget = store.put_cloud(args.budget(now)?).await?;
                let mut report = Report::new("budgets", COLUMNS);
                report.rows.push(row(lake, &budget, this_month).await?);
                Ok(report)
            }
            Command::List { month } => list(store, lake, month.unwrap_or(this_month)).await,
            Command::Import(args) => {
                let ImportArgs { from: From::Aws, account, profile } = args;
                let (account, profile) = (account.as_deref(), profile.as_deref());
                let synced = aws_budgets::sync(store, &context.config()?, profile, account).await?;
                for line in synced.odd() {
                    output::complain(format_args!("{line}"));
                }
                let mut report = Report::new("budgets", COLUMNS);
                for one in &synced.taken {
                    report.rows.push(row(lake, &one.budget, this_month).await?);
                }
                report.sum_up([
                    ("changed", Cell::Count(synced.changed.len() as u64)),
                    ("not_taken", Cell::Count(synced.others.len() as u64)),
                ]);
                Ok(report)
            }
            Command::Remove { name } => remove(store, &name).await,
        });
        context.printer().print(&report.await?)?;
        Ok(Exit::Done)
    }
}

impl SetArgs {
    fn budget(self, now: Timestamp) -> anyhow::Result<CloudBudget> {
        let watched = Watched::new(self.only.only, self.basis, &self.currency, self.period)?;
        let budget = CloudBudget::new(&self.name, watched, self.limit, now)?;
        Ok(CloudBudget { thresholds: Thresholds::new(self.thresholds)?, ..budget })
    }
}

async fn list(store: &Store, lake: &Lake, month: Month) -> anyhow::Result<Report> {
    let mut report = Report::new("budgets", COLUMNS);
    for budget in store.cloud_budgets().await? {
        report.rows.push(row(lake, &budget, month).await?);
    }
    Ok(report)
}

/// How a budget stands in the period that holds a month.
async fn row(lake: &Lake, budget: &CloudBudget, month: Month) -> anyhow::Result<Vec<Cell>> {
    let watched = &budget.watched;
    let months = watched.period.around(month);
    let spent = match Costs::report(lake, &watched.asked(months)).await {
        Ok(report) => Some(report.totals.get(&watched.currency).copied().unwrap_or_default()),
        // Of a filter that the lake does not understand, the other budgets are not to suffer.
        Err(CostsError::Question(_) | CostsError::Limit(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let percent = spent.and_then(|spent| budget.percent(spent));
    let soft = i128::from(budget.thresholds.soft()) * 100;
    let (word, tone) = match spent {
        None => ("unknown", Tone::Warning),
        Some(spent) if spent > budget.limit => ("exceeded", Tone::Bad),
        Some(_) if percent.is_some_and(|percent| percent >= soft) => ("warning", Tone::Warning),
        Some(_) => ("ok", Tone::Good),
    };
    let percents: Vec<String> = budget.thresholds.percents().iter().map(u16::to_string).collect();
    Ok(vec![
        Cell::text(&budget.name),
        Cell::text(watched),
        Cell::text(watched.basis),
        Cell::text(watched.period),
        Cell::text(months.0),
        Cell::text(months.1),
        Cell::Word(word.to_owned(), tone),
        Cell::text(&watched.currency),
        Cell::Decimal(budget.limit),
        spent.map_or(Cell::None, Cell::Decimal),
        percent.map_or(Cell::None, Cell::Percent),
        Cell::text(percents.join(" ")),
    ])
}

async fn remove(store: &Store, name: &str) -> anyhow::Result<Report> {
    if !store.remove_cloud(name).await? {
        let message = format!("no budget {name:?}: `bursar cost budget list` names them");
        return Err(Refused(message).into());
    }
    let mut report = Report::new("budgets", &[]);
    report.sum_up([("removed", Cell::text(name))]);
    Ok(report)
}
