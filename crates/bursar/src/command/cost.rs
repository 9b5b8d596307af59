//! `bursar cost`: bills in, questions answered.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Subcommand, ValueHint};
use focus::cost::{
    AsOf, Asked, Basis, Compared, Dimension, Invoices, Month, Months, Rate, Tagged,
    UnknownDimension,
};
use lake::Lake;

use crate::{
    context::{self, Context, block_on},
    exit::{Exit, Refused},
    output::{Cell, Report, Tone},
};

pub(crate) mod aws_budgets;
mod bill;
mod budget;
pub(crate) mod cost_explorer;
mod ingest;
pub(crate) mod ledger;
mod quarantine;
mod query;
mod table;

use table::report_of;

/// Ingest bills of every cloud, and ask what they cost: every total equals the invoice
///
/// Example: bursar cost ingest exports/ && bursar cost report --by service,region --month 2026-10
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take in bills (FOCUS 1.0 to 1.4, AWS reports; CSV, CSV.gz, Parquet) from a file, a folder or a
    /// bucket, or what Bursar's ledger or AWS Cost Explorer tells
    ///
    /// All of it comes in, or nothing. The same export again changes nothing; another one of the
    /// same source replaces the billing periods that it holds. `ledger` instead of a path takes in
    /// what Bursar itself has charged for AI, so that both add up in one table; `cost-explorer`
    /// what AWS Cost Explorer tells of this month and the last, by day, service and region.
    ///
    /// Example: bursar cost ingest exports/2026-10 --source aws-main
    Ingest(ingest::Args),
    /// Answer SQL over focus_data_table, charges_by_day and charges_by_month
    ///
    /// Example: bursar cost query 'select ServiceName, sum(BilledCost) from focus_data_table group by 1'
    Query(query::Args),
    /// Sum costs by dimensions: day, month, provider, account, tenant, service, region, resource,
    /// any FOCUS column, tag:NAME
    ///
    /// Example: bursar cost report --by service,region --month 2026-10 --basis effective
    Report(ReportArgs),
    /// List what costs most
    ///
    /// Example: bursar cost top --by resource --month 2026-10 --rows 20
    Top(TopArgs),
    /// Tell what drove the change between two months: price, usage, new, gone, discount
    ///
    /// Example: bursar cost diff 2026-09 2026-10 --by service
    Diff(DiffArgs),
    /// Tell how much of the cost has tags
    ///
    /// Example: bursar cost tags team env --month 2026-10
    Tags(TagArgs),
    /// Compare invoices with what was ingested, to the cent; a difference ends with exit code 3
    ///
    /// The file is CSV with the columns InvoiceId, BillingCurrency and BilledCost (or Amount).
    ///
    /// Example: bursar cost reconcile --invoice invoices.csv
    Reconcile(ReconcileArgs),
    /// List what was ingested, by source and billing period
    ///
    /// Example: bursar cost imports --as-of 2026-11-01T00:00:00Z
    Imports(PastArgs),
    /// List the lake's versions
    ///
    /// Example: bursar cost history
    History,
    /// List rows that were kept apart, show why, and take them in
    ///
    /// Example: bursar cost quarantine list
    Quarantine(quarantine::Args),
    Budget(budget::Args),
    /// Put small files together, and delete what no version needs any more
    ///
    /// Example: bursar cost compact --keep-days 90
    Compact(CompactArgs),
}

/// Which months and which cost.
#[derive(Debug, clap::Args)]
struct Scope {
    /// The billing period, as 2026-10; all of them otherwise
    #[arg(long, conflicts_with_all = ["from", "to"])]
    month: Option<Month>,
    /// The first billing period
    #[arg(long, value_name = "MONTH", requires = "to")]
    from: Option<Month>,
    /// The last billing period
    #[arg(long, value_name = "MONTH", requires = "from")]
    to: Option<Month>,
    /// Which cost: billed, effective, list or contracted
    #[arg(long, default_value = "billed")]
    basis: Basis,
    #[command(flatten)]
    past: PastArgs,
}

#[derive(Debug, clap::Args)]
struct OnlyArgs {
    /// Only charges with this value, as service=AmazonEC2 or tag:team=web; may be given again
    #[arg(long, value_name = "DIMENSION=VALUE", value_parser = only)]
    only: Vec<(Dimension, String)>,
}

#[derive(Debug, clap::Args)]
struct ExchangeArgs {
    /// Convert all costs to this currency, as EUR, by the rate of each billing period
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Rates as CSV: From, To, Month or Date, Rate, Source; those of cost.rates otherwise
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "currency")]
    rates: Option<PathBuf>,
}

impl ExchangeArgs {
    /// The lake that converts by these rates, and the currency.
    fn of(self, lake: Lake) -> (Lake, Option<String>) {
        let lake = if self.rates.is_some() { lake.with_rates(self.rates) } else { lake };
        (lake, self.currency)
    }
}

#[derive(Debug, clap::Args)]
struct PastArgs {
    /// As the lake was: a version's number, or an instant
    #[arg(long, value_name = "VERSION|TIME")]
    as_of: Option<AsOf>,
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// What lines are made by, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "DIMENSIONS")]
    by: Vec<Dimension>,
    #[command(flatten)]
    only: OnlyArgs,
    #[command(flatten)]
    exchange: ExchangeArgs,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, clap::Args)]
struct TopArgs {
    /// What lines are made by, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "service", value_name = "DIMENSIONS")]
    by: Vec<Dimension>,
    /// How many lines of each currency; the others become one
    #[arg(long, short = 'n', default_value_t = 10, value_name = "N")]
    rows: usize,
    #[command(flatten)]
    only: OnlyArgs,
    #[command(flatten)]
    exchange: ExchangeArgs,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// The earlier billing period
    before: Month,
    /// The later billing period
    after: Month,
    /// What lines are made by, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "service", value_name = "DIMENSIONS")]
    by: Vec<Dimension>,
    /// Which cost: billed, effective, list or contracted
    #[arg(long, default_value = "billed")]
    basis: Basis,
    #[command(flatten)]
    only: OnlyArgs,
    #[command(flatten)]
    exchange: ExchangeArgs,
    #[command(flatten)]
    past: PastArgs,
}

#[derive(Debug, clap::Args)]
struct TagArgs {
    /// Tags to look for; whether there is any, without one
    tags: Vec<String>,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, clap::Args)]
struct ReconcileArgs {
    /// The invoices
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    invoice: PathBuf,
    /// Whose invoices they are: charges of theirs that are on none are told, too
    #[arg(long)]
    issuer: Option<String>,
    #[command(flatten)]
    past: PastArgs,
}

#[derive(Debug, clap::Args)]
struct CompactArgs {
    /// Days for which versions stay readable
    #[arg(long, default_value_t = 30, value_name = "N")]
    keep_days: u32,
}

const IMPORT_COLUMNS: &[&str] = &[
    "period",
    "source",
    "execution",
    "focus",
    "rows",
    "currency",
    "billed",
    "effective",
    "at",
    "notes",
];
const HISTORY_COLUMNS: &[&str] = &["version", "at", "operation", "source", "period", "rows"];

/// Files that no version needs may still be an ingest's that is running.
const GRACE: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        block_on(async {
            let lake = open(context).await?;
            let (report, exit) = match self.command {
                Command::Ingest(args) => return args.run(&lake, context).await,
                Command::Query(args) => return args.run(&lake, context).await,
                Command::Quarantine(args) => return args.run(&lake, context).await,
                Command::Budget(args) => return args.run(&lake, context).await,
                Command::Report(args) => {
                    let (lake, currency) = args.exchange.of(lake);
                    let asked = args.scope.asked(args.by, None, args.only, currency)?;
                    (sums(&lake, &asked).await?, Exit::Done)
                }
                Command::Top(args) => {
                    let (lake, currency) = args.exchange.of(lake);
                    let asked = args.scope.asked(args.by, Some(args.rows), args.only, currency)?;
                    (sums(&lake, &asked).await?, Exit::Done)
                }
                Command::Diff(args) => (diff(lake, args).await?, Exit::Done),
                Command::Tags(args) => {
                    let TagArgs { tags, scope } = args;
                    let (months, as_of) = (scope.months()?, scope.past.as_of);
                    let basis = scope.basis;
                    let tagged = Tagged { tags, months, basis, as_of, ..Tagged::default() };
                    let table = lake.tags(&tagged).await?;
                    (report_of("tags", table), Exit::Done)
                }
                Command::Reconcile(args) => reconcile(&lake, &args).await?,
                Command::Imports(past) => (imports(&lake, past.as_of).await?, Exit::Done),
                Command::History => (history(&lake).await?, Exit::Done),
                Command::Compact(args) => (compact(&lake, &args).await?, Exit::Done),
            };
            context.printer().print(&report)?;
            Ok(exit)
        })
    }
}

/// Opens the configured lake.
async fn open(context: &Context) -> anyhow::Result<Lake> {
    let config = context.config()?;
    let url = config.lake_url();
    let lake = Lake::open(&url, context::lake_options()).await;
    let lake = lake.with_context(|| format!("failed to open the lake {url}"))?;
    Ok(lake.with_rates(config.cost_rates))
}

fn only(text: &str) -> Result<(Dimension, String), String> {
    let (dimension, value) =
        text.split_once('=').ok_or_else(|| "write it as service=AmazonEC2".to_owned())?;
    let dimension = dimension.parse().map_err(|error: UnknownDimension| error.to_string())?;
    Ok((dimension, value.to_owned()))
}

impl Scope {
    fn months(&self) -> anyhow::Result<Option<Months>> {
        let months = match (self.month, self.from, self.to) {
            (Some(month), _, _) => Some((month, month)),
            (None, Some(from), Some(to)) if from <= to => Some((from, to)),
            (None, Some(from), Some(to)) => {
                let message = format!("{from} is after {to}: --from is the earlier month");
                return Err(Refused(message).into());
            }
            _ => None,
        };
        Ok(months)
    }

    fn asked(
        self,
        by: Vec<Dimension>,
        top: Option<usize>,
        OnlyArgs { only }: OnlyArgs,
        currency: Option<String>,
    ) -> anyhow::Result<Asked> {
        let (months, basis, as_of) = (self.months()?, self.basis, self.past.as_of);
        Ok(Asked { by, months, basis, only, top, currency, as_of })
    }
}

async fn sums(lake: &Lake, asked: &Asked) -> anyhow::Result<Report> {
    let answer = lake.report(asked).await?;
    let rates = told(&answer.table.rates);
    let mut report = report_of("costs", answer.table);
    let totals = answer.totals.into_iter();
    let totals = totals.map(|(currency, sum)| (format!("total_{currency}"), Cell::Decimal(sum)));
    report.summary = totals.chain(rates).collect();
    Ok(report)
}

async fn diff(lake: Lake, args: DiffArgs) -> anyhow::Result<Report> {
    let (lake, currency) = args.exchange.of(lake);
    let DiffArgs { before, after, by, basis, only: OnlyArgs { only }, past, .. } = args;
    let as_of = past.as_of;
    let table = lake.diff(&Compared { before, after, basis, by, only, currency, as_of }).await?;
    let rates = told(&table.rates);
    let mut report = report_of("changes", table);
    report.summary = rates;
    Ok(report)
}

/// By which rates costs were converted.
fn told(rates: &[Rate]) -> Vec<(String, Cell)> {
    let name = |rate: &Rate| format!("rate_{}_{}_{}", rate.from, rate.to, rate.month);
    rates.iter().map(|rate| (name(rate), Cell::text(rate))).collect()
}

async fn reconcile(lake: &Lake, args: &ReconcileArgs) -> anyhow::Result<(Report, Exit)> {
    let lines = lake::read_invoice(&args.invoice)?;
    let (issuer, as_of) = (args.issuer.clone(), args.past.as_of);
    let table = lake.reconcile(&Invoices { lines, issuer, as_of }).await?;
    let verdict = table.position("Verdict").context("the answer has no verdict")?;
    let mut report = report_of("invoices", table);
    let mut is_equal = true;
    for row in &mut report.rows {
        if let Some(Cell::Text(text)) = row.get(verdict).cloned() {
            let equal = text == "equal";
            is_equal &= equal;
            row[verdict] = Cell::Word(text, if equal { Tone::Good } else { Tone::Bad });
        }
    }
    Ok((report, if is_equal { Exit::Done } else { Exit::Fault }))
}

async fn imports(lake: &Lake, as_of: Option<AsOf>) -> anyhow::Result<Report> {
    let mut report = Report::new("imports", IMPORT_COLUMNS);
    for import in lake.imports(as_of).await? {
        for (currency, sums) in &import.sums {
            report.rows.push(vec![
                Cell::text(import.period),
                Cell::text(&import.source),
                Cell::text(&import.execution),
                Cell::text(&import.focus),
                Cell::Count(import.rows),
                Cell::text(currency),
                Cell::Decimal(sums.billed),
                Cell::Decimal(sums.effective),
                Cell::Time(import.at),
                Cell::text(import.notes.join("; ")),
            ]);
        }
    }
    Ok(report)
}

async fn history(lake: &Lake) -> anyhow::Result<Report> {
    let mut report = Report::new("versions", HISTORY_COLUMNS);
    for step in lake.history().await? {
        let operation = format!("{:?}", step.operation).to_lowercase();
        let sources = step.sources.iter().map(|(source, _)| source.as_str());
        let mut sources: Vec<&str> = sources.collect();
        sources.dedup();
        let periods = step.sources.iter().map(|(_, period)| period.as_str());
        report.rows.push(vec![
            Cell::Count(step.version),
            Cell::Time(step.at),
            Cell::text(operation),
            Cell::text(sources.join(", ")),
            Cell::text(periods.collect::<Vec<_>>().join(", ")),
            Cell::Count(step.rows),
        ]);
    }
    Ok(report)
}

async fn compact(lake: &Lake, args: &CompactArgs) -> anyhow::Result<Report> {
    let compacted = lake.compact().await?;
    let keep = std::time::Duration::from_secs(u64::from(args.keep_days) * 24 * 60 * 60);
    let swept = lake.sweep(keep, GRACE).await?;
    let mut report = Report::new("files", &[]);
    report.sum_up([
        ("files_put_together", Cell::Count(compacted.before as u64)),
        ("files_they_became", Cell::Count(compacted.after as u64)),
        ("versions_forgotten", Cell::Count(swept.versions)),
        ("files_deleted", Cell::Count(swept.files)),
        ("bytes_freed", Cell::Count(swept.bytes)),
    ]);
    Ok(report)
}
