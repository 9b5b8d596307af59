//! Reservations, written column by column: new ones inserted, so that a key that another replica has
//! taken meanwhile fails the transaction, and known ones updated.

use ::budget::{Key, Quote, Reservation, StoreError};
use deadpool_postgres::Object;
use jiff::Timestamp;
use money::Money;
use tokio_postgres::{Statement, types::ToSql};

use super::{Failure, Parameters, literal, nanos, whole};

pub(super) const INSERT: &str = concat!(
    include_str!("../sql/save_reservations_new.sql"),
    include_str!("../sql/given_reservations.sql"),
);
pub(super) const UPDATE: &str = concat!(
    include_str!("../sql/save_reservations.sql"),
    include_str!("../sql/given_reservations.sql"),
    "where reservation.key = new.key",
);

pub(super) async fn save(
    db: &Object,
    statement: &Statement,
    all: Vec<&Reservation>,
) -> Result<(), Failure> {
    let calls = || all.iter().map(|reservation| &reservation.call);
    let keys: Vec<Key> = all.iter().map(|reservation| reservation.key).collect();
    let tenants: Vec<&str> = calls().map(|call| call.tenant.as_str()).collect();
    let models: Vec<&str> = calls().map(|call| call.model.as_str()).collect();
    let users: Vec<Option<&str>> =
        calls().map(|call| call.user.as_ref().map(|user| user.as_str())).collect();
    let types: Vec<Option<&str>> =
        calls().map(|call| call.report_type.as_ref().map(|kind| kind.as_str())).collect();
    let states: Vec<&str> = all.iter().map(|reservation| reservation.state.as_str()).collect();
    let estimates = Quotes::of(all.iter().map(|reservation| reservation.estimate))?;
    let actuals = Quotes::of(all.iter().map(|reservation| reservation.actual))?;
    let amounts = |amount: fn(&Reservation) -> Money| -> Result<Vec<i64>, StoreError> {
        all.iter().map(|reservation| nanos(amount(reservation))).collect()
    };
    let holds = amounts(|reservation| reservation.hold)?;
    let costs: Vec<Option<i64>> = all
        .iter()
        .map(|reservation| reservation.cost.map(nanos).transpose())
        .collect::<Result<_, _>>()?;
    let budgets: Vec<String> = all
        .iter()
        .map(|reservation| literal(reservation.accounts.iter().map(|id| id.budget)))
        .collect();
    let starts: Vec<String> = all
        .iter()
        .map(|reservation| literal(reservation.accounts.iter().map(|id| id.start)))
        .collect();
    let settled = amounts(|reservation| reservation.standing.settled)?;
    let counted = amounts(|reservation| reservation.standing.counted)?;
    let limits = amounts(|reservation| reservation.standing.limit)?;
    let would_refuse: Vec<bool> =
        all.iter().map(|reservation| reservation.standing.would_refuse).collect();
    let times = |time: fn(&Reservation) -> Timestamp| -> Vec<Timestamp> {
        all.iter().map(|reservation| time(reservation)).collect()
    };
    let created = times(|reservation| reservation.created_at);
    let expires = times(|reservation| reservation.expires_at);
    let updated = times(|reservation| reservation.updated_at);
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
    ];
    columns.extend(rest);
    db.execute(statement, &columns).await?;
    Ok(())
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
