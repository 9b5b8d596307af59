//! Reservations, written column by column: new ones inserted, so that a key that another replica has
//! taken meanwhile fails the transaction, and known ones updated.

use ::budget::{Key, Quote, Reservation, StoreError};
use deadpool_postgres::Object;
use jiff::Timestamp;
use money::Money;
use tokio_postgres::{Statement, types::ToSql};

use super::{Failure, Parameters, literal, nanos, whole};

pub(super) const INSERT: &str = include_str!("../sql/save_reservations_new.sql");
pub(super) const UPDATE: &str = include_str!("../sql/save_reservations.sql");

pub(super) async fn insert(
    db: &Object,
    statement: &Statement,
    all: Vec<&Reservation>,
) -> Result<(), Failure> {
    let calls = || all.iter().map(|reservation| &reservation.call);
    let tenants: Vec<&str> = calls().map(|call| call.tenant.as_str()).collect();
    let models: Vec<&str> = calls().map(|call| call.model.as_str()).collect();
    let estimates = Quotes::of(all.iter().map(|reservation| reservation.estimate))?;
    let Changing {
        keys,
        users,
        types,
        states,
        actuals,
        holds,
        costs,
        budgets,
        starts,
        updated,
        estimated,
    } = Changing::of(&all)?;
    let amounts = |amount: fn(&Reservation) -> Money| amounts(&all, amount);
    let settled = amounts(|reservation| reservation.standing.settled)?;
    let counted = amounts(|reservation| reservation.standing.counted)?;
    let limits = amounts(|reservation| reservation.standing.limit)?;
    let would_refuse: Vec<bool> =
        all.iter().map(|reservation| reservation.standing.would_refuse).collect();
    let created: Vec<Timestamp> = all.iter().map(|reservation| reservation.created_at).collect();
    let expires: Vec<Timestamp> = all.iter().map(|reservation| reservation.expires_at).collect();
    let mut columns: Vec<&(dyn ToSql + Sync)> =
        vec![&keys, &tenants, &models, &users, &types, &states];
    columns.extend(estimates.columns());
    columns.extend(actuals.columns());
    let rest: Parameters<'_> = &[
        &holds,
        &costs,
        &budgets,
        &starts,
        &settled,
        &counted,
        &limits,
        &would_refuse,
        &created,
        &expires,
        &updated,
        &estimated,
    ];
    columns.extend(rest);
    db.execute(statement, &columns).await?;
    Ok(())
}

pub(super) async fn update(
    db: &Object,
    statement: &Statement,
    all: Vec<&Reservation>,
) -> Result<(), Failure> {
    let Changing {
        keys,
        users,
        types,
        states,
        actuals,
        holds,
        costs,
        budgets,
        starts,
        updated,
        estimated,
    } = Changing::of(&all)?;
    let mut columns: Vec<&(dyn ToSql + Sync)> = vec![&keys, &users, &types, &states];
    columns.extend(actuals.columns());
    let rest: Parameters<'_> = &[&holds, &costs, &budgets, &starts, &updated, &estimated];
    columns.extend(rest);
    db.execute(statement, &columns).await?;
    Ok(())
}

fn amounts(
    all: &[&Reservation],
    amount: fn(&Reservation) -> Money,
) -> Result<Vec<i64>, StoreError> {
    all.iter().map(|reservation| nanos(amount(reservation))).collect()
}

/// What may change of reservations, and their keys: the columns that an update sends.
struct Changing<'a> {
    keys: Vec<Key>,
    users: Vec<Option<&'a str>>,
    types: Vec<Option<&'a str>>,
    states: Vec<&'static str>,
    actuals: Quotes,
    holds: Vec<i64>,
    costs: Vec<Option<i64>>,
    budgets: Vec<String>,
    starts: Vec<String>,
    updated: Vec<Timestamp>,
    estimated: Vec<bool>,
}

impl<'a> Changing<'a> {
    fn of(all: &[&'a Reservation]) -> Result<Self, Failure> {
        let calls = || all.iter().map(|reservation| &reservation.call);
        let accounts = || all.iter().map(|reservation| &reservation.accounts);
        let actuals = || all.iter().map(|reservation| reservation.actual);
        let costs = all.iter().map(|reservation| reservation.cost.map(nanos).transpose());
        Ok(Self {
            keys: all.iter().map(|reservation| reservation.key).collect(),
            users: calls().map(|call| call.user.as_ref().map(|user| user.as_str())).collect(),
            types: calls()
                .map(|call| call.report_type.as_ref().map(|kind| kind.as_str()))
                .collect(),
            states: all.iter().map(|reservation| reservation.state.as_str()).collect(),
            actuals: Quotes::of(actuals())?,
            holds: amounts(all, |reservation| reservation.hold)?,
            costs: costs.collect::<Result<_, _>>()?,
            budgets: accounts().map(|ids| literal(ids.iter().map(|id| id.budget))).collect(),
            starts: accounts().map(|ids| literal(ids.iter().map(|id| id.start))).collect(),
            updated: all.iter().map(|reservation| reservation.updated_at).collect(),
            estimated: actuals().map(|quote| quote.is_some_and(|quote| quote.estimated)).collect(),
        })
    }
}

/// One of a reservation's two quotes, column by column.
#[derive(Default)]
struct Quotes {
    input: Vec<Option<i64>>,
    output: Vec<Option<i64>>,
    cache_read: Vec<Option<i64>>,
    cache_write_5m: Vec<Option<i64>>,
    cache_write_1h: Vec<Option<i64>>,
    tier: Vec<Option<&'static str>>,
    given: Vec<Option<bool>>,
}

impl Quotes {
    fn of(quotes: impl Iterator<Item = Option<Quote>>) -> Result<Self, Failure> {
        let mut columns = Self::default();
        for quote in quotes {
            let usage = quote.map(|quote| quote.usage);
            let tokens = |tokens: Option<u64>| tokens.map(whole).transpose();
            columns.input.push(tokens(usage.map(|usage| usage.input))?);
            columns.output.push(tokens(usage.map(|usage| usage.output))?);
            columns.cache_read.push(tokens(usage.map(|usage| usage.cache_read))?);
            columns.cache_write_5m.push(tokens(usage.map(|usage| usage.cache_write_5m))?);
            columns.cache_write_1h.push(tokens(usage.map(|usage| usage.cache_write_1h))?);
            columns.tier.push(quote.map(|quote| quote.tier.as_str()));
            columns.given.push(quote.map(|quote| quote.given));
        }
        Ok(columns)
    }

    fn columns(&self) -> [&(dyn ToSql + Sync); 7] {
        [
            &self.input,
            &self.output,
            &self.cache_read,
            &self.cache_write_5m,
            &self.cache_write_1h,
            &self.tier,
            &self.given,
        ]
    }
}
