//! `bursar cost quarantine`.

use clap::Subcommand;
use lake::{Lake, OnInvalid, Options};
use uuid::Uuid;

use super::ingest;
use crate::{
    context::Context,
    exit::Exit,
    output::{Cell, Report},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what was kept apart
    ///
    /// Example: bursar cost quarantine list
    List,
    /// Show rows and what is wrong with each
    ///
    /// Example: bursar cost quarantine show 0a1b2c3d-0000-4000-8000-000000000000 --rows 50
    Show {
        /// Its name, of the list
        id: Uuid,
        /// From this row on
        #[arg(long, default_value_t = 0, value_name = "N")]
        offset: usize,
        /// So many rows
        #[arg(long, default_value_t = 20, value_name = "N")]
        rows: usize,
    },
    /// Check its rows again, and take in those that may be charges now
    ///
    /// Example: bursar cost quarantine release 0a1b2c3d-0000-4000-8000-000000000000 --accept
    Release {
        /// Its name, of the list
        id: Uuid,
        /// Take in rows that break a rule, too
        #[arg(long)]
        accept: bool,
    },
}

const LIST_COLUMNS: &[&str] = &["id", "source", "periods", "rows", "rules", "at"];
const SHOW_COLUMNS: &[&str] = &["file", "row", "rule", "finding"];

impl Args {
    pub(super) async fn run(self, lake: &Lake, context: &Context) -> anyhow::Result<Exit> {
        let report = match self.command {
            Command::List => list(lake).await?,
            Command::Show { id, offset, rows } => show(lake, id, offset, rows).await?,
            Command::Release { id, accept } => {
                let on_invalid = if accept { OnInvalid::Accept } else { OnInvalid::Quarantine };
                let options = Options { on_invalid, ..Options::default() };
                ingest::told(&lake.release(id, &options).await?)
            }
        };
        context.printer().print(&report)?;
        Ok(Exit::Done)
    }
}

async fn list(lake: &Lake) -> anyhow::Result<Report> {
    let mut report = Report::new("quarantines", LIST_COLUMNS);
    for kept in lake.quarantines().await? {
        let periods: Vec<String> = kept.periods.iter().map(ToString::to_string).collect();
        let rules: Vec<String> =
            kept.rules.iter().map(|(rule, rows)| format!("{rule} ({rows})")).collect();
        report.rows.push(vec![
            Cell::text(kept.id),
            Cell::text(kept.source),
            Cell::text(periods.join(", ")),
            Cell::Count(kept.rows),
            Cell::text(rules.join(", ")),
            Cell::Time(kept.at),
        ]);
    }
    Ok(report)
}

async fn show(lake: &Lake, id: Uuid, offset: usize, rows: usize) -> anyhow::Result<Report> {
    let mut report = Report::new("findings", SHOW_COLUMNS);
    for kept in lake.quarantined(id, offset, rows).await? {
        for reason in kept.reasons {
            report.rows.push(vec![
                Cell::text(&kept.file),
                Cell::Count(kept.row),
                Cell::text(reason.rule),
                Cell::text(reason.say),
            ]);
        }
    }
    Ok(report)
}
