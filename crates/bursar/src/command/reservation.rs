//! `bursar reservation`.

use budget::{Key, Page, Reservation, ReservationFilter, Resolution, Resolve, State};
use clap::Subcommand;
use focus::TenantId;
use jiff::Timestamp;

use crate::{
    config::resolution,
    context::{Context, Store, block_on},
    exit::Exit,
    output::{Cell, Report, Tone},
};

/// List reservations, and decide those that were never settled
///
/// Example: bursar reservation list --state unresolved
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List reservations in the order in which they were made
    ///
    /// Example: bursar reservation list --tenant acme --state held
    List(ListArgs),
    /// Decide an unresolved reservation: charge its hold, or release it
    ///
    /// Example: bursar reservation resolve 2f1c1b1e-5a52-4d3c-9a55-0c6a4e0f7d11 release
    Resolve(ResolveArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// One tenant's
    #[arg(long)]
    tenant: Option<TenantId>,
    /// In one state: held, settled, released, unresolved, charged, unpriced
    #[arg(long)]
    state: Option<State>,
    /// Made from this instant on, as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Made before this instant
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
struct ResolveArgs {
    /// The reservation's request id
    key: Key,
    /// What to do with its hold: charge or release
    #[arg(value_parser = resolution)]
    resolution: Resolution,
}

const COLUMNS: &[&str] = &[
    "request_id",
    "tenant_id",
    "model",
    "state",
    "hold_usd",
    "cost_usd",
    "created_at",
    "expires_at",
    "user_id",
    "report_type",
];

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let rows = block_on(context.with_store(async |store| match self.command {
            Command::List(args) => list(store, args).await,
            Command::Resolve(args) => resolve(store, args).await,
        }))?;
        let mut report = Report::new("reservations", COLUMNS);
        report.rows = rows.iter().map(row).collect();
        context.printer().print(&report)?;
        Ok(Exit::Done)
    }
}

async fn list(store: &Store, args: ListArgs) -> anyhow::Result<Vec<Reservation>> {
    let ListArgs { tenant, state, from, to, limit } = args;
    let mut filter = ReservationFilter { tenant, state, from, to, page: Page::default() };
    let mut all: Vec<Reservation> = Vec::new();
    while all.len() < limit {
        let wanted = (limit - all.len()).min(1_000);
        let after = all.last().map(|last| (last.created_at, last.key));
        filter.page = Page { after, limit: wanted };
        let page = store.reservations(filter.clone()).await?;
        let last = page.len() < wanted;
        all.extend(page);
        if last {
            break;
        }
    }
    Ok(all)
}

async fn resolve(store: &Store, args: ResolveArgs) -> anyhow::Result<Vec<Reservation>> {
    let ResolveArgs { key, resolution } = args;
    let outcome = store.resolve(Resolve { key, resolution }).await?;
    Ok(vec![std::sync::Arc::unwrap_or_clone(outcome.reservation)])
}

fn row(reservation: &Reservation) -> Vec<Cell> {
    let Reservation { key, call, state, hold, cost, created_at, expires_at, .. } = reservation;
    let tone = match state {
        State::Settled | State::Charged | State::Released => Tone::Good,
        State::Held => Tone::Warning,
        State::Unresolved | State::Unpriced => Tone::Bad,
    };
    vec![
        Cell::text(key),
        Cell::text(&call.tenant),
        Cell::text(&call.model),
        Cell::Word(state.to_string(), tone),
        Cell::Money(*hold),
        cost.map_or(Cell::None, Cell::Money),
        Cell::Time(*created_at),
        Cell::Time(*expires_at),
        Cell::maybe(call.user.as_ref()),
        Cell::maybe(call.report_type.as_ref()),
    ]
}
