//! `bursar replay`.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::ValueHint;
use focus::{ModelName, TenantId};
use jiff::Timestamp;
use money::{Money, PriceBook};

use crate::{
    context::{self, Context, block_on, price_book},
    exit::Exit,
    output::{self, Cell, Report, Tone},
    replay::{
        LedgerView, Target, check,
        drive::{self, Driven, Speed, Tally},
        engine::Engine,
        http::Http,
        plan::{self, Call, Spread},
    },
    trace::{self, Form, Trace},
};

/// Send a trace of real requests through the engine or a running service, and check the ledger
///
/// FILE is CSV with a header, or .jsonl. Columns are found by name: timestamp; ContextTokens,
/// input_tokens, prompt_tokens or input_length; GeneratedTokens, output_tokens, completion_tokens
/// or output_length; and, where there are any, tenant or tenant_id, and model. Each request is
/// reserved with its true tokens and settled. A second run with the same file and options replays
/// the first and charges nothing. Exit code 3 when the ledger disagrees by a nano-dollar.
///
/// Example: bursar replay azure-2023-conv.csv --limit-percent 60
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The trace
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Send to a running service, as http://127.0.0.1:3010, instead of through the engine
    #[arg(long, value_name = "URL", conflicts_with = "database")]
    server: Option<String>,
    /// The service's admin token
    #[arg(long, env = "BURSAR_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Database of the engine; the configured one otherwise
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Tenants to spread requests over, where the trace names none
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..))]
    tenants: u16,
    /// How unevenly: Zipf's exponent, 0 is even
    #[arg(long, value_name = "EXPONENT", default_value = "1.1", value_parser = skew)]
    skew: f64,
    /// Seed of tenants and request ids
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Model, where the trace names none
    #[arg(long, default_value = "claude-3-5-sonnet-20241022")]
    model: ModelName,
    /// Requests in flight
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Set each tenant's monthly limit at this share of what its requests cost together
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit_percent: Option<u16>,
    /// max, or at the trace's own times: 1x, 10x
    #[arg(long, default_value = "max")]
    speed: Speed,
}

fn skew(text: &str) -> Result<f64, String> {
    let skew = text.parse::<f64>().ok().filter(|skew| (0.0..=10.0).contains(skew));
    skew.ok_or_else(|| format!("{text:?} is no number from 0 to 10"))
}

const COLUMNS: &[&str] = &[
    "tenant_id",
    "accepted",
    "refused",
    "failed",
    "spent_usd",
    "limit_usd",
    "ledger_usd",
    "ledger",
];

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let bytes = fs::read(&self.file)
            .with_context(|| format!("failed to read {}", self.file.display()))?;
        let trace = trace::read(&bytes, self.form())
            .with_context(|| format!("failed to read {}", self.file.display()))?;
        let file = self.file.display();
        for fault in &trace.faults {
            output::complain(format_args!("{file}:{}: {}", fault.line, fault.reason));
        }
        let replayed = block_on(self.replay(context, &trace, &bytes))?;
        for (line, reason) in &replayed.driven.failures {
            output::complain(format_args!("{file}:{line}: failed: {reason}"));
        }
        for fault in &replayed.faults {
            output::complain(format_args!("fault: {fault}"));
        }
        context.printer().print(&replayed.report(&trace)?)?;
        Ok(replayed.exit())
    }

    fn form(&self) -> Form {
        let extension = self.file.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("jsonl" | "ndjson") => Form::JsonLines,
            _ => Form::Csv,
        }
    }

    async fn replay(
        &self,
        context: &Context,
        trace: &Trace,
        bytes: &[u8],
    ) -> anyhow::Result<Replayed> {
        let spread = Spread {
            tenants: usize::from(self.tenants),
            skew: self.skew,
            seed: self.seed,
            model: self.model.clone(),
        };
        if let Some(server) = &self.server {
            let http = Http::new(server, self.token.as_deref())?;
            let book = PriceBook::shipped().with(http.prices().await?);
            let calls = plan::spread(&trace.requests, bytes, &spread, &book)?;
            return self.drive(&Target::Http(Arc::new(http)), calls, &book).await;
        }
        let config = context.config()?;
        let url = self.database.clone().unwrap_or_else(|| config.database_url());
        let store = context::open(&url, context::options(&config)).await?;
        let work = async {
            let book = price_book(&store).await?;
            let calls = plan::spread(&trace.requests, bytes, &spread, &book)?;
            let target = Target::Engine(Arc::new(Engine::new(store.clone(), book.clone())));
            self.drive(&target, calls, &book).await
        };
        let replayed = work.await;
        store.close().await;
        replayed
    }

    async fn drive(
        &self,
        target: &Target,
        calls: Vec<Call>,
        book: &PriceBook,
    ) -> anyhow::Result<Replayed> {
        let mut limits = BTreeMap::new();
        if let Some(percent) = self.limit_percent {
            for (tenant, cost) in plan::costs(&calls, book, Timestamp::now())? {
                let limit = plan::share(cost, percent);
                target.set_limit(&tenant, limit).await?;
                limits.insert(tenant, limit);
            }
        }
        let mut tenants: Vec<TenantId> = calls.iter().map(|call| call.tenant.clone()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let mut before = BTreeMap::new();
        for tenant in &tenants {
            before.insert(tenant.clone(), target.ledger(tenant).await?);
        }
        let concurrency = usize::from(self.concurrency);
        let driven = drive::drive(target, calls, concurrency, self.speed).await?;
        let mut replayed = Replayed { driven, limits, after: BTreeMap::new(), faults: Vec::new() };
        for (tenant, before) in &before {
            let after = target.ledger(tenant).await?;
            let tally = replayed.driven.tallies.get(tenant).cloned().unwrap_or_default();
            let limited = replayed.limits.contains_key(tenant);
            replayed.faults.extend(check::faults(tenant, &tally, before, &after, limited));
            replayed.after.insert(tenant.clone(), after);
        }
        Ok(replayed)
    }
}

struct Replayed {
    driven: Driven,
    limits: BTreeMap<TenantId, Money>,
    after: BTreeMap<TenantId, LedgerView>,
    faults: Vec<String>,
}

impl Replayed {
    fn exit(&self) -> Exit {
        let failed = self.driven.tallies.values().any(|tally| tally.failed > 0);
        match (self.faults.is_empty(), failed) {
            (false, _) => Exit::Fault,
            (true, true) => Exit::Failed,
            (true, false) => Exit::Done,
        }
    }

    fn report(&self, trace: &Trace) -> anyhow::Result<Report> {
        let mut report = Report::new("tenants", COLUMNS);
        let mut total = Tally::default();
        for (tenant, tally) in &self.driven.tallies {
            total.add(tally).context("the trace costs more than can be counted")?;
            let of_tenant = format!("{tenant}:");
            let faulty = self.faults.iter().any(|fault| fault.starts_with(&of_tenant));
            let (word, tone) = if faulty { ("differs", Tone::Bad) } else { ("equal", Tone::Good) };
            report.rows.push(vec![
                Cell::text(tenant),
                Cell::Count(tally.accepted),
                Cell::Count(tally.refused),
                Cell::Count(tally.failed),
                Cell::Money(tally.spent),
                self.limits.get(tenant).copied().map_or(Cell::None, Cell::Money),
                self.after.get(tenant).map_or(Cell::None, |after| Cell::Money(after.recorded)),
                Cell::Word(word.to_owned(), tone),
            ]);
        }
        report.sum_up([
            ("requests", Cell::Count(trace.requests.len() as u64)),
            ("unreadable_lines", Cell::Count(trace.faults.len() as u64)),
            ("accepted", Cell::Count(total.accepted)),
            ("replayed", Cell::Count(total.replayed)),
            ("refused", Cell::Count(total.refused)),
            ("failed", Cell::Count(total.failed)),
            ("spent_usd", Cell::Exact(total.spent)),
            ("ledger_equal", Cell::Flag(self.faults.is_empty())),
        ]);
        Ok(report)
    }
}
