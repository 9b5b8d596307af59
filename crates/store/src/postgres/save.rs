//! What a batch has changed, written and committed in one round trip.
//!
//! Rows that operators write, too, come in the order of their inserts: `ai_token_budgets`, then
//! `budget`. Events come last, under a lock: their numbers rise in the order of commits.

mod reservation;

use std::{collections::HashSet, pin::Pin, sync::Arc};

use ::budget::{Account, Budget, Changes, Entry, Event, Head, Key, Reservation, State};
use deadpool_postgres::Object;
use focus::TenantId;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio_postgres::{Error, Statement};
use uuid::Uuid;

use super::{
    batch::Failure,
    pool::Parameters,
    row::{event_columns, nanos, whole},
};

/// What the database had before the batch.
pub(super) struct Known {
    pub(super) tenants: HashSet<TenantId>,
    pub(super) keys: HashSet<Key>,
}

/// Taken by whoever writes events, until the commit.
pub(super) const EVENTS_LOCK: &str = "select pg_advisory_xact_lock('event'::regclass::oid::bigint)";

/// The statements that a batch ends with.
pub(super) struct Statements {
    tenants: Statement,
    shown: Statement,
    defaults: Statement,
    heads: Statement,
    accounts: Statement,
    entries: Statement,
    reservations_new: Statement,
    reservations: Statement,
    usage: Statement,
    project: Statement,
    events_lock: Statement,
    events: Statement,
}

impl Statements {
    pub(super) async fn prepare(db: &Object) -> Result<Self, Error> {
        Ok(Self {
            tenants: db.prepare_cached(include_str!("sql/save_tenants.sql")).await?,
            shown: db.prepare_cached(include_str!("sql/save_shown.sql")).await?,
            defaults: db.prepare_cached(include_str!("sql/save_defaults.sql")).await?,
            heads: db.prepare_cached(include_str!("sql/save_heads.sql")).await?,
            accounts: db.prepare_cached(include_str!("sql/save_accounts.sql")).await?,
            entries: db.prepare_cached(include_str!("sql/save_entries.sql")).await?,
            reservations_new: db.prepare_cached(reservation::INSERT).await?,
            reservations: db.prepare_cached(reservation::UPDATE).await?,
            usage: db.prepare_cached(include_str!("sql/save_usage.sql")).await?,
            project: db.prepare_cached(include_str!("sql/save_usage_shown.sql")).await?,
            events_lock: db.prepare_cached(EVENTS_LOCK).await?,
            events: db.prepare_cached(include_str!("sql/save_events.sql")).await?,
        })
    }
}

type Write<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// Writes the changes and commits; gives back the budgets whose rows somebody else held, so that
/// they don't show the changes yet. The statements are sent in this order without waiting for each
/// other; the server carries out none after one that fails, the commit included.
pub(super) async fn commit(
    db: &Object,
    statements: &Statements,
    changes: &Changes,
    known: &Known,
    now: Timestamp,
) -> Result<Vec<Uuid>, Failure> {
    let (heads, tenants): (Vec<&Head>, Vec<&Head>) =
        changes.heads.iter().partition(|head| known.tenants.contains(&head.tenant));
    let reservations = || changes.reservations.iter().map(Arc::as_ref);
    let (old, new): (Vec<&Reservation>, Vec<&Reservation>) =
        reservations().partition(|reservation| known.keys.contains(&reservation.key));
    let happened = |reservation: &&Reservation| {
        matches!(reservation.state, State::Settled | State::Charged | State::Unpriced)
    };
    let used: Vec<Key> =
        reservations().filter(happened).map(|reservation| reservation.key).collect();
    let mut behind = Vec::new();
    let mut writes: Vec<Write<'_>> = Vec::with_capacity(12);
    if !tenants.is_empty() {
        writes.push(Box::pin(save_tenants(db, &statements.tenants, tenants, now)));
    }
    if !changes.budgets.is_empty() {
        let budgets = &changes.budgets;
        writes.push(Box::pin(save_shown(db, &statements.shown, budgets, now)));
        writes.push(Box::pin(save_defaults(db, &statements.defaults, budgets, now)));
    }
    if !heads.is_empty() {
        writes.push(Box::pin(save_heads(db, &statements.heads, heads)));
    }
    if !changes.accounts.is_empty() {
        writes.push(Box::pin(save_accounts(db, &statements.accounts, &changes.accounts)));
    }
    if !changes.entries.is_empty() {
        writes.push(Box::pin(save_entries(db, &statements.entries, &changes.entries, now)));
    }
    if !new.is_empty() {
        writes.push(Box::pin(reservation::insert(db, &statements.reservations_new, new)));
    }
    if !old.is_empty() {
        writes.push(Box::pin(reservation::update(db, &statements.reservations, old)));
    }
    if !used.is_empty() {
        writes.push(Box::pin(save_usage(db, &statements.usage, used)));
    }
    let is_running = |account: &&Account| account.id.start <= now && now < account.end;
    let running: Vec<&Account> = changes.accounts.iter().filter(is_running).collect();
    if !running.is_empty() {
        writes.push(Box::pin(project(db, &statements.project, running, now, &mut behind)));
    }
    if !changes.events.is_empty() {
        writes.push(Box::pin(save_events(db, statements, &changes.events)));
    }
    writes.push(Box::pin(async { Ok(db.batch_execute("commit").await?) }));
    try_join_all(writes).await?;
    Ok(behind)
}

async fn save_tenants(
    db: &Object,
    statement: &Statement,
    heads: Vec<&Head>,
    now: Timestamp,
) -> Result<(), Failure> {
    let tenants: Vec<&str> = heads.iter().map(|head| head.tenant.as_str()).collect();
    let seqs: Vec<i64> = heads.iter().map(|head| whole(head.seq)).collect::<Result<_, _>>()?;
    let hashes: Vec<&[u8]> = heads.iter().map(|head| &head.hash.0[..]).collect();
    db.execute(statement, &[&tenants, &now, &seqs, &hashes]).await?;
    Ok(())
}

async fn save_heads(db: &Object, statement: &Statement, heads: Vec<&Head>) -> Result<(), Failure> {
    let tenants: Vec<&str> = heads.iter().map(|head| head.tenant.as_str()).collect();
    let seqs: Vec<i64> = heads.iter().map(|head| whole(head.seq)).collect::<Result<_, _>>()?;
    let hashes: Vec<&[u8]> = heads.iter().map(|head| &head.hash.0[..]).collect();
    db.execute(statement, &[&tenants, &seqs, &hashes]).await?;
    Ok(())
}

async fn save_shown(
    db: &Object,
    statement: &Statement,
    budgets: &[Arc<Budget>],
    now: Timestamp,
) -> Result<(), Failure> {
    let tenants: Vec<&str> = budgets.iter().map(|budget| budget.scope.tenant.as_str()).collect();
    let models: Vec<&str> = budgets.iter().map(|budget| budget.scope.model_or_star()).collect();
    let limits: Vec<i64> =
        budgets.iter().map(|budget| nanos(budget.limit)).collect::<Result<_, _>>()?;
    db.execute(statement, &[&tenants, &models, &limits, &now]).await?;
    Ok(())
}

async fn save_defaults(
    db: &Object,
    statement: &Statement,
    budgets: &[Arc<Budget>],
    now: Timestamp,
) -> Result<(), Failure> {
    let ids: Vec<Uuid> = budgets.iter().map(|budget| budget.id.0).collect();
    let tenants: Vec<&str> = budgets.iter().map(|budget| budget.scope.tenant.as_str()).collect();
    let models: Vec<&str> = budgets.iter().map(|budget| budget.scope.model_or_star()).collect();
    let limits: Vec<i64> =
        budgets.iter().map(|budget| nanos(budget.limit)).collect::<Result<_, _>>()?;
    db.execute(statement, &[&ids, &tenants, &models, &limits, &now]).await?;
    Ok(())
}

async fn save_accounts(
    db: &Object,
    statement: &Statement,
    accounts: &[Account],
) -> Result<(), Failure> {
    let count = accounts.len();
    let mut ids = Vec::with_capacity(count);
    let (mut starts, mut ends) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut opened = Vec::with_capacity(count);
    let (mut settled, mut held) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut unresolved = Vec::with_capacity(count);
    let (mut input, mut output) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut fired, mut exhausted) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for account in accounts {
        ids.push(account.id.budget.0);
        starts.push(account.id.start);
        ends.push(account.end);
        opened.push(account.opened_at);
        settled.push(nanos(account.settled)?);
        held.push(nanos(account.held)?);
        unresolved.push(nanos(account.unresolved)?);
        input.push(whole(account.tokens_input)?);
        output.push(whole(account.tokens_output)?);
        fired.push(literal(&account.fired));
        exhausted.push(account.exhausted);
    }
    let columns: Parameters<'_> = &[
        &ids,
        &starts,
        &ends,
        &opened,
        &settled,
        &held,
        &unresolved,
        &input,
        &output,
        &fired,
        &exhausted,
    ];
    db.execute(statement, columns).await?;
    Ok(())
}

async fn save_entries(
    db: &Object,
    statement: &Statement,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), Failure> {
    let tenants: Vec<&str> = entries.iter().map(|entry| entry.tenant.as_str()).collect();
    let seqs: Vec<i64> = entries.iter().map(|entry| whole(entry.seq)).collect::<Result<_, _>>()?;
    let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    let keys: Vec<Key> = entries.iter().map(|entry| entry.key).collect();
    let amounts: Vec<i64> =
        entries.iter().map(|entry| nanos(entry.amount)).collect::<Result<_, _>>()?;
    let postings: Vec<String> = entries.iter().map(Entry::postings_text).collect();
    let hashes: Vec<&[u8]> = entries.iter().map(|entry| &entry.hash.0[..]).collect();
    let columns: Parameters<'_> =
        &[&tenants, &seqs, &kinds, &keys, &amounts, &postings, &hashes, &now];
    db.execute(statement, columns).await?;
    Ok(())
}

async fn save_usage(db: &Object, statement: &Statement, keys: Vec<Key>) -> Result<(), Failure> {
    db.execute(statement, &[&keys]).await?;
    Ok(())
}

async fn project(
    db: &Object,
    statement: &Statement,
    accounts: Vec<&Account>,
    now: Timestamp,
    behind: &mut Vec<Uuid>,
) -> Result<(), Failure> {
    let budgets: Vec<Uuid> = accounts.iter().map(|account| account.id.budget.0).collect();
    let starts: Vec<Timestamp> = accounts.iter().map(|account| account.id.start).collect();
    for row in db.query(statement, &[&budgets, &starts, &now]).await? {
        behind.push(row.try_get(0)?);
    }
    Ok(())
}

async fn save_events(
    db: &Object,
    statements: &Statements,
    events: &[Event],
) -> Result<(), Failure> {
    let names: Vec<String> = events.iter().map(Event::name).collect();
    let kinds: Vec<_> = events.iter().map(|event| event_columns(event.kind)).collect();
    let words: Vec<&str> = kinds.iter().map(|kind| kind.0).collect();
    let percents: Vec<Option<i32>> = kinds.iter().map(|kind| kind.1).collect();
    let keys: Vec<Option<Key>> = kinds.iter().map(|kind| kind.2).collect();
    let budgets: Vec<Uuid> = events.iter().map(|event| event.account.budget.0).collect();
    let starts: Vec<Timestamp> = events.iter().map(|event| event.account.start).collect();
    let scopes = || events.iter().map(|event| &event.scope);
    let tenants: Vec<&str> = scopes().map(|scope| scope.tenant.as_str()).collect();
    let models: Vec<&str> = scopes().map(|scope| scope.model_or_star()).collect();
    let users: Vec<Option<&str>> =
        scopes().map(|scope| scope.user.as_ref().map(|user| user.as_str())).collect();
    let types: Vec<Option<&str>> =
        scopes().map(|scope| scope.report_type.as_ref().map(|kind| kind.as_str())).collect();
    let settled: Vec<i64> =
        events.iter().map(|event| nanos(event.settled)).collect::<Result<_, _>>()?;
    let limits: Vec<i64> =
        events.iter().map(|event| nanos(event.limit)).collect::<Result<_, _>>()?;
    let times: Vec<Timestamp> = events.iter().map(|event| event.at).collect();
    let columns: Parameters<'_> = &[
        &names, &words, &percents, &keys, &budgets, &starts, &tenants, &models, &users, &types,
        &settled, &limits, &times,
    ];
    // Both are sent at once: the commit that is sent after them must stay behind.
    tokio::try_join!(
        biased;
        db.execute(&statements.events_lock, &[]),
        db.execute(&statements.events, columns),
    )?;
    Ok(())
}

/// An array as Postgres writes it, for columns whose rows are arrays themselves.
fn literal(items: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("{{{}}}", items.join(","))
}
