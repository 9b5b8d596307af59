//! `bursar cost ingest`.

use std::{path::PathBuf, sync::Arc};

use clap::{ValueEnum, ValueHint};
use focus::cost::Month;
use indicatif::{ProgressBar, ProgressStyle};
use lake::{Ingested, Lake, OnInvalid, Options, Progress};

use super::{
    cost_explorer::{self, Wanted},
    ledger,
};
use crate::{
    config::{self, Origin},
    context::Context,
    exit::{Exit, Refused},
    output::{self, Cell, Report},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file, a folder or `s3://bucket/prefix`; `ledger` is what Bursar itself has charged for AI,
    /// `cost-explorer` what AWS tells of this month and the last (a paid call a page)
    #[arg(value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// Who delivers; the path otherwise
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The export's execution id; a hash of the content otherwise
    #[arg(long, value_name = "ID")]
    execution: Option<String>,
    /// The FOCUS version, as 1.2, where the header leaves it open
    #[arg(long, value_name = "VERSION", value_parser = version)]
    focus: Option<focus::Version>,
    /// Take files that lack columns which their version must have
    #[arg(long)]
    lacking: bool,
    /// What becomes of rows that break a rule of FOCUS
    #[arg(long, value_enum, default_value_t = Breach::Accept, value_name = "WHAT")]
    on_invalid: Breach,
    #[command(flatten)]
    explorer: ExplorerArgs,
}

/// What is asked of Cost Explorer.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With cost-explorer")]
struct ExplorerArgs {
    /// Only what these member accounts have used; all that is seen otherwise
    #[arg(long, value_name = "ACCOUNT", value_delimiter = ',', value_parser = config::account)]
    accounts: Vec<String>,
    /// The profile of AWS's config files; the usual one otherwise
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The first billing period; the last one before this otherwise
    #[arg(long, value_name = "MONTH")]
    from: Option<Month>,
}

impl ExplorerArgs {
    /// Whether somebody has said something that is for Cost Explorer alone.
    fn is_given(&self) -> bool {
        !self.accounts.is_empty() || self.profile.is_some() || self.from.is_some()
    }
}

/// What becomes of rows that break a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Breach {
    /// They are charges nevertheless; the report tells of them.
    Accept,
    /// They are kept apart and can be taken in later.
    Quarantine,
    /// One such row, and nothing is taken.
    Refuse,
}

fn version(text: &str) -> Result<focus::Version, String> {
    let known = focus::Version::ALL.iter().find(|version| version.to_string() == text);
    known.copied().ok_or_else(|| "FOCUS has the versions 1.0, 1.1, 1.2, 1.3 and 1.4".to_owned())
}

const COLUMNS: &[&str] =
    &["period", "currency", "rows", "billed", "effective", "list", "contracted", "replaced"];

impl Args {
    pub(super) async fn run(self, lake: &Lake, context: &Context) -> anyhow::Result<Exit> {
        let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
            "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {msg}, {eta} left",
        )?);
        let shown = bar.clone();
        let progress = move |progress: Progress| {
            shown.set_length(progress.bytes_total);
            shown.set_position(progress.bytes);
            shown.set_message(match progress.is_fetching {
                true => "fetching".to_owned(),
                false if progress.resumed > 0 => {
                    format!("{} rows, {} of them from before", progress.rows, progress.resumed)
                }
                false => format!("{} rows", progress.rows),
            });
        };
        let options = Options {
            source: self.source,
            execution: self.execution,
            version: self.focus,
            lacking: self.lacking,
            on_invalid: match self.on_invalid {
                Breach::Accept => OnInvalid::Accept,
                Breach::Quarantine => OnInvalid::Quarantine,
                Breach::Refuse => OnInvalid::Refuse,
            },
            progress: Some(Arc::new(progress)),
            ..Options::default()
        };
        let origin = Origin::of(&self.path);
        if !matches!(origin, Origin::CostExplorer { .. }) && self.explorer.is_given() {
            let message = "--accounts, --profile and --from are for `cost-explorer` alone";
            return Err(Refused(message.to_owned()).into());
        }
        let ingested = match origin {
            Origin::Delivered(path) => lake.ingest(&path, &options).await.map_err(Into::into),
            Origin::Ledger => {
                // Bursar's own rows are written here and read by the same door as everybody's.
                let bill = context.with_store(async |store| ledger::bill(store).await).await?;
                let source = options.source.or_else(|| Some(ledger::SOURCE.to_owned()));
                let ingested = lake.ingest(bill.path(), &Options { source, ..options }).await;
                ingested.map_err(Into::into)
            }
            Origin::CostExplorer { .. } => {
                let ExplorerArgs { accounts, profile, from: first } = self.explorer;
                let wanted = Wanted { profile, accounts, first };
                cost_explorer::ingest(lake, &context.config()?, wanted, options).await
            }
        };
        bar.finish_and_clear();
        let ingested = ingested?;
        context.printer().print(&told(&ingested))?;
        complain(&ingested);
        Ok(Exit::Done)
    }
}

/// What an ingest did, as a report.
pub(super) fn told(ingested: &Ingested) -> Report {
    let mut report = Report::new("periods", COLUMNS);
    for (month, sums) in &ingested.sums {
        for (currency, sums) in sums {
            report.rows.push(vec![
                Cell::text(month),
                Cell::text(currency),
                Cell::Count(ingested.rows.get(month).copied().unwrap_or_default()),
                Cell::Decimal(sums.billed),
                Cell::Decimal(sums.effective),
                Cell::Decimal(sums.list),
                Cell::Decimal(sums.contracted),
                Cell::Flag(ingested.replaced.contains(month)),
            ]);
        }
    }
    report.sum_up([
        ("source", Cell::text(&ingested.source)),
        ("execution", Cell::text(&ingested.execution)),
        ("changed", Cell::Flag(ingested.changed)),
        ("lake_version", Cell::Count(ingested.version)),
        ("charges", Cell::Count(ingested.charges())),
    ]);
    if ingested.resumed > 0 {
        report.sum_up([("resumed_rows", Cell::Count(ingested.resumed))]);
    }
    if let Some((id, rows)) = &ingested.quarantined {
        let rows = Cell::Count(*rows);
        report.sum_up([("quarantine", Cell::text(id)), ("quarantined_rows", rows)]);
    }
    report
}

/// What is odd, on the standard error: the columns, the files passed over, the rules broken.
fn complain(ingested: &Ingested) {
    for line in &ingested.files {
        output::complain(format_args!("{line}"));
    }
    for skipped in &ingested.skipped {
        output::complain(format_args!(
            "passed over {}: {}",
            skipped.path.display(),
            skipped.reason
        ));
    }
    if ingested.resumed > 0 {
        let rows = ingested.resumed;
        output::complain(format_args!(
            "resumed: {rows} rows were read by an earlier ingest that was cut off"
        ));
    }
    for note in &ingested.notes {
        output::complain(format_args!("{note}"));
    }
    for (rule, rows) in &ingested.tally.rules {
        let examples = ingested.tally.examples.get(rule);
        let first = examples.and_then(|examples| examples.first()).map(|finding| {
            format!(", first {}, row {}: {}", finding.file.display(), finding.row, finding.say)
        });
        output::complain(format_args!("{rows} rows break {rule}{}", first.unwrap_or_default()));
    }
}
