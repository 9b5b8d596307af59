//! `bursar prices`.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueHint};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use money::{Price, PriceBook, Rates, Rounding, ServiceTier, TokenUsage, litellm};

use crate::{
    context::{Context, block_on, price_book},
    exit::{Exit, Refused},
    output::{Cell, Format, Report},
};

/// List prices, import them, and price a usage
///
/// Example: bursar prices cost claude-3-5-sonnet-20241022 --input-tokens 1000 --output-tokens 500
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the prices in force, shipped and imported; US dollars per million tokens
    ///
    /// Example: bursar prices list --vendor anthropic
    List(ListArgs),
    /// Show all that is known of a model's prices, past and future ones too
    ///
    /// Example: bursar prices show claude-3-5-sonnet
    Show {
        /// The model, or another name of it
        model: String,
    },
    /// Import a price file in LiteLLM's format
    ///
    /// Prices apply from their date; past charges keep the price they were made with. What was
    /// skipped is told with its reason; with --output json every entry of the file.
    ///
    /// Example: bursar prices import model_prices_and_context_window.json --effective-from 2026-12-01
    Import(ImportArgs),
    /// Price one usage; the answer is exact
    ///
    /// Example: bursar prices cost claude-3-5-sonnet-20241022 --input-tokens 1000 --output-tokens 500
    Cost(CostArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// One vendor's, as anthropic
    #[arg(long)]
    vendor: Option<String>,
    /// In force at this instant; now otherwise
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The UTC day from which the prices apply; today otherwise
    #[arg(long, value_name = "DATE")]
    effective_from: Option<Date>,
}

#[derive(Debug, clap::Args)]
struct CostArgs {
    /// The model, or another name of it
    model: String,
    /// Prompt tokens neither read from nor written to a cache
    #[arg(long = "input-tokens", visible_alias = "input", value_name = "N", default_value_t = 0)]
    input: u64,
    /// Generated tokens
    #[arg(id = "output-tokens", long, value_name = "N", default_value_t = 0)]
    output: u64,
    /// Prompt tokens read from a cache
    #[arg(long, value_name = "N", default_value_t = 0)]
    cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes
    #[arg(long, value_name = "N", default_value_t = 0)]
    cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour
    #[arg(long, value_name = "N", default_value_t = 0)]
    cache_write_1h: u64,
    /// Service tier: standard, batch, priority or flex
    #[arg(long, default_value = "standard")]
    tier: ServiceTier,
    /// At the prices of this instant; now otherwise
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

const LIST_COLUMNS: &[&str] =
    &["vendor", "model", "input", "output", "cache_read", "cache_write", "effective_from"];
const SHOW_COLUMNS: &[&str] = &[
    "model",
    "effective_from",
    "tier",
    "above_input_tokens",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "source",
];

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let report = block_on(context.with_store(async |store| match self.command {
            Command::List(args) => Ok(list(&price_book(store).await?, &args)),
            Command::Show { model } => show(&price_book(store).await?, &model),
            Command::Cost(args) => cost(&price_book(store).await?, &args),
            Command::Import(args) => {
                let import = read(&args)?;
                let all = context.format == Some(Format::Json);
                let report = if all { imported_all(&import) } else { imported(&import) };
                store.put_prices(import.prices).await?;
                Ok(report)
            }
        }))?;
        context.printer().print(&report)?;
        Ok(Exit::Done)
    }
}

fn list(book: &PriceBook, args: &ListArgs) -> Report {
    let at = args.at.unwrap_or_else(Timestamp::now);
    let wanted = |price: &&Price| {
        let vendor = args.vendor.as_ref().is_none_or(|vendor| *vendor == price.vendor);
        let in_force = book.price(&price.model, at).is_some_and(|now| now == *price);
        vendor && in_force
    };
    let mut report = Report::new("prices", LIST_COLUMNS);
    report.rows = book
        .iter()
        .filter(wanted)
        .map(|price| {
            let rates = &price.standard;
            vec![
                Cell::text(&price.vendor),
                Cell::text(&price.model),
                Cell::text(rates.input),
                Cell::text(rates.output),
                Cell::maybe(rates.cache_read),
                Cell::maybe(rates.cache_write_5m),
                Cell::text(price.effective_from),
            ]
        })
        .collect();
    report
}

fn show(book: &PriceBook, model: &str) -> anyhow::Result<Report> {
    let canonical = book.canonical(model);
    let mut report = Report::new("prices", SHOW_COLUMNS);
    for price in book.iter().filter(|price| price.model == canonical) {
        let tiers = [
            (ServiceTier::Standard, Some(&price.standard)),
            (ServiceTier::Batch, price.batch.as_ref()),
            (ServiceTier::Priority, price.priority.as_ref()),
            (ServiceTier::Flex, price.flex.as_ref()),
        ];
        let tiers = tiers.map(|(tier, rates)| (tier, None, rates));
        let long = price.long_context.iter().flat_map(|long| {
            let above = Some(long.above_input_tokens);
            [
                (ServiceTier::Standard, above, Some(&long.standard)),
                (ServiceTier::Batch, above, long.batch.as_ref()),
                (ServiceTier::Priority, above, long.priority.as_ref()),
                (ServiceTier::Flex, above, long.flex.as_ref()),
            ]
        });
        for (tier, above, rates) in tiers.into_iter().chain(long) {
            report.rows.extend(rates.map(|rates| rates_row(price, tier, above, rates)));
        }
    }
    if report.rows.is_empty() {
        return Err(Refused(format!("model {model} has no price")).into());
    }
    Ok(report)
}

fn rates_row(price: &Price, tier: ServiceTier, above: Option<u64>, rates: &Rates) -> Vec<Cell> {
    vec![
        Cell::text(&price.model),
        Cell::text(price.effective_from),
        Cell::text(tier),
        above.map_or(Cell::None, Cell::Count),
        Cell::text(rates.input),
        Cell::text(rates.output),
        Cell::maybe(rates.cache_read),
        Cell::maybe(rates.cache_write_5m),
        Cell::maybe(rates.cache_write_1h),
        Cell::text(&price.source),
    ]
}

fn cost(book: &PriceBook, args: &CostArgs) -> anyhow::Result<Report> {
    let usage = TokenUsage {
        input: args.input,
        output: args.output,
        cache_read: args.cache_read,
        cache_write_5m: args.cache_write_5m,
        cache_write_1h: args.cache_write_1h,
    };
    let at = args.at.unwrap_or_else(Timestamp::now);
    let cost = book
        .charge(&args.model, &usage, args.tier, at, Rounding::HalfEven)
        .map_err(|error| Refused(error.to_string()))?;
    let mut report = Report::new("costs", &["model", "tier", "cost_usd"]);
    let model = book.canonical(&args.model);
    report.rows.push(vec![Cell::text(model), Cell::text(args.tier), Cell::Exact(cost)]);
    Ok(report)
}

fn read(args: &ImportArgs) -> anyhow::Result<litellm::Import> {
    let today = || Timestamp::now().to_zoned(TimeZone::UTC).date();
    let from = args.effective_from.unwrap_or_else(today);
    let shown = args.file.display();
    let json = fs::read(&args.file).with_context(|| format!("failed to read {shown}"))?;
    litellm::import(json, from).with_context(|| format!("failed to import {shown}"))
}

/// What was taken, and how many entries were skipped for each reason.
fn imported(import: &litellm::Import) -> Report {
    let mut reasons: BTreeMap<String, (u64, &str)> = BTreeMap::new();
    for skipped in &import.skipped {
        let reason = reasons.entry(skipped.reason.to_string()).or_insert((0, &skipped.model));
        reason.0 += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let mut report = Report::new("skipped", &["reason", "entries", "for_example"]);
    report.rows = reasons
        .into_iter()
        .map(|(reason, (count, example))| {
            vec![Cell::Text(reason), Cell::Count(count), Cell::text(example)]
        })
        .collect();
    report.sum_up(summary(import));
    report
}

/// Every entry of the file.
fn imported_all(import: &litellm::Import) -> Report {
    let mut report = Report::new("entries", &["model", "taken", "reason"]);
    let taken = import.prices.iter().map(|price| {
        let note = import.notes.iter().find(|note| note.model == price.model);
        let note = Cell::maybe(note.map(|note| &note.text));
        vec![Cell::text(&price.model), Cell::Flag(true), note]
    });
    let skipped = import.skipped.iter().map(|skipped| {
        vec![Cell::text(&skipped.model), Cell::Flag(false), Cell::text(&skipped.reason)]
    });
    report.rows = taken.chain(skipped).collect();
    report.sum_up(summary(import));
    report
}

fn summary(import: &litellm::Import) -> [(&'static str, Cell); 3] {
    [
        ("taken", Cell::Count(import.prices.len() as u64)),
        ("skipped", Cell::Count(import.skipped.len() as u64)),
        ("notes", Cell::Count(import.notes.len() as u64)),
    ]
}
