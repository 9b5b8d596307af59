//! `bursar ledger`.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use budget::{Entry, LedgerFilter, Page, Verification};
use clap::{Subcommand, ValueHint};
use focus::TenantId;
use serde_json::json;

use crate::{
    context::{Context, Store, block_on},
    exit::Exit,
    output::{Cell, Format, Report},
};

/// Export the ledger, or verify it
///
/// Example: bursar ledger verify
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write every entry: CSV, or with --output json a JSON object a line
    ///
    /// Example: bursar ledger export --tenant acme --to acme.csv
    Export(ExportArgs),
    /// Recompute every balance from the entries, and every hash; exit code 3 on a fault
    ///
    /// Example: bursar ledger verify --output json
    Verify,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// One tenant's
    #[arg(long)]
    tenant: Option<TenantId>,
    /// File to write to, instead of the standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    to: Option<PathBuf>,
}

/// The form of an export: what is meant by `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    JsonLines,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Export(args) => {
                let form = match context.format {
                    Some(Format::Json) => Form::JsonLines,
                    Some(Format::Csv | Format::Table) | None => Form::Csv,
                };
                block_on(context.with_store(async |store| export(store, args, form).await))?;
                Ok(Exit::Done)
            }
            Command::Verify => {
                let found = block_on(context.with_store(async |store| Ok(store.verify().await?)))?;
                context.printer().print(&verification(&found))?;
                if found.faults.is_empty() {
                    context.printer().say("The ledger is whole")?;
                    return Ok(Exit::Done);
                }
                context.printer().say("The ledger is not whole")?;
                Ok(Exit::Fault)
            }
        }
    }
}

fn verification(found: &Verification) -> Report {
    let mut report = Report::new("faults", &["fault"]);
    report.rows = found.faults.iter().map(|fault| vec![Cell::text(fault)]).collect();
    report.sum_up([
        ("tenants", Cell::Count(found.tenants)),
        ("entries", Cell::Count(found.entries)),
        ("accounts", Cell::Count(found.accounts)),
        ("reservations", Cell::Count(found.reservations)),
        ("digest", Cell::text(&found.digest)),
        ("faults_found", Cell::Count(found.faults.len() as u64)),
    ]);
    report
}

const COLUMNS: [&str; 8] =
    ["tenant_id", "seq", "at", "kind", "request_id", "amount_usd", "postings", "hash"];

async fn export(store: &Store, args: ExportArgs, form: Form) -> anyhow::Result<()> {
    const PAGE: usize = 1_000;
    let out: Box<dyn Write> = match &args.to {
        Some(path) => Box::new(
            File::create(path).with_context(|| format!("failed to write {}", path.display()))?,
        ),
        None => Box::new(io::stdout().lock()),
    };
    let mut writer = EntryWriter::new(io::BufWriter::new(out), form)?;
    let mut after = None;
    loop {
        let page = Page { after: after.clone(), limit: PAGE };
        let entries = store.entries(LedgerFilter { tenant: args.tenant.clone(), page }).await?;
        for entry in &entries {
            writer.entry(entry)?;
        }
        match entries.last() {
            Some(last) if entries.len() == PAGE => after = Some((last.tenant.clone(), last.seq)),
            _ => return writer.finish(),
        }
    }
}

enum EntryWriter<W: Write> {
    Csv(Box<csv::Writer<W>>),
    JsonLines(W),
}

impl<W: Write> EntryWriter<W> {
    fn new(out: W, form: Form) -> anyhow::Result<Self> {
        if form == Form::JsonLines {
            return Ok(Self::JsonLines(out));
        }
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self::Csv(Box::new(writer)))
    }

    fn entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let texts = [
            entry.tenant.to_string(),
            entry.seq.to_string(),
            entry.at.to_string(),
            entry.kind.as_str().to_owned(),
            entry.key.to_string(),
            entry.amount.fixed9(),
            entry.postings_text(),
            entry.hash.to_string(),
        ];
        match self {
            Self::Csv(writer) => writer.write_record(&texts)?,
            Self::JsonLines(out) => {
                let fields = COLUMNS.iter().zip(texts).map(|(name, text)| {
                    let value = if *name == "seq" { json!(entry.seq) } else { json!(text) };
                    ((*name).to_owned(), value)
                });
                let object: serde_json::Map<_, _> = fields.collect();
                writeln!(out, "{}", serde_json::Value::Object(object))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(mut writer) => Ok(writer.flush()?),
            Self::JsonLines(mut out) => Ok(out.flush()?),
        }
    }
}
