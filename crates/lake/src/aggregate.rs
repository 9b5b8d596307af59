//! Sums by day, made while charges go past.
//!
//! Owns the groups of one worker and the file that they become. Invariant: added up over all its
//! rows, a billing period's aggregates are the sums of its charges; a group may have several rows,
//! because memory is bounded and what does not fit goes to the file early.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray, UInt32Array,
    },
    compute::take,
    datatypes::{Decimal128Type, TimestampMicrosecondType},
    error::ArrowError,
};
use focus::cost::Month;
use focus::{
    Column,
    decimal::{PRECISION, SCALE},
};
use foldhash::fast::RandomState;
use indexmap::IndexSet;

use crate::{
    partition::column,
    schema::{self, DAY_KEYS, DAY_SUMS},
};

/// Groups that are held in memory by one worker.
const GROUPS_MAX: usize = 400_000;
/// Rows of one batch of the file.
const BATCH_ROWS: usize = 65_536;
const MICROS_OF_DAY: i64 = 86_400_000_000;
/// No day: the charge's begin is unknown.
const NO_DAY: i32 = i32::MIN;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Group {
    period: i64,
    day: i32,
    keys: [u32; DAY_KEYS.len()],
}

#[derive(Clone, Copy, Default)]
struct Sum {
    costs: [i128; DAY_SUMS.len()],
    charges: i64,
}

impl Sum {
    fn add(&mut self, other: &Self) -> Result<(), ArrowError> {
        for (sum, cost) in self.costs.iter_mut().zip(other.costs) {
            *sum = sum.checked_add(cost).ok_or_else(too_large)?;
        }
        self.charges += other.charges;
        Ok(())
    }
}

fn too_large() -> ArrowError {
    ArrowError::ComputeError("a day's costs have over 38 digits".into())
}

/// Text by number; 0 is null.
#[derive(Default)]
struct Names {
    texts: IndexSet<Box<str>, RandomState>,
    last: usize,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if self.texts.get_index(self.last).is_none_or(|last| **last != *name) {
            self.last = match self.texts.get_index_of(name) {
                Some(at) => at,
                None => self.texts.insert_full(name.into()).0,
            };
        }
        u32::try_from(self.last + 1).unwrap_or(u32::MAX)
    }

    /// The names of these numbers, as a column.
    fn column(&self, numbers: impl Iterator<Item = u32>) -> Result<ArrayRef, ArrowError> {
        let texts = StringArray::from_iter_values(&self.texts);
        let places: UInt32Array = numbers.map(|number| number.checked_sub(1)).collect();
        take(&texts, &places, None)
    }
}

/// The groups of one worker.
#[derive(Default)]
pub(crate) struct Aggregate {
    names: [Names; DAY_KEYS.len()],
    groups: HashMap<Group, Sum, RandomState>,
    /// Groups that had to make room, as rows.
    spilled: BTreeMap<Month, Vec<RecordBatch>>,
}

impl Aggregate {
    /// Adds charges that have a billing period.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let periods = column(batch, Column::BillingPeriodStart);
        let periods = periods.as_primitive::<TimestampMicrosecondType>();
        let starts = column(batch, Column::ChargePeriodStart);
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        let keys = DAY_KEYS.map(|key| column(batch, key).as_string::<i32>());
        let costs = DAY_SUMS.map(|cost| column(batch, cost).as_primitive::<Decimal128Type>());
        for row in 0..batch.num_rows() {
            let day = match starts.is_valid(row) {
                true => i32::try_from(starts.value(row).div_euclid(MICROS_OF_DAY)),
                false => Ok(NO_DAY),
            };
            let day = day.unwrap_or(NO_DAY);
            let group = Group { period: periods.value(row), day, keys: self.numbers(&keys, row) };
            let cost =
                |cost: &Decimal128Array| if cost.is_valid(row) { cost.value(row) } else { 0 };
            self.groups
                .entry(group)
                .or_default()
                .add(&Sum { costs: costs.map(cost), charges: 1 })?;
        }
        if self.groups.len() > GROUPS_MAX { self.spill() } else { Ok(()) }
    }

    fn numbers(&mut self, keys: &[&StringArray], row: usize) -> [u32; DAY_KEYS.len()] {
        let mut numbers = [0; DAY_KEYS.len()];
        for ((number, names), key) in numbers.iter_mut().zip(&mut self.names).zip(keys) {
            if key.is_valid(row) {
                *number = names.number(key.value(row));
            }
        }
        numbers
    }

    /// Takes over what another worker has summed up.
    fn absorb(&mut self, other: Self) -> Result<(), ArrowError> {
        for (period, batches) in other.spilled {
            self.spilled.entry(period).or_default().extend(batches);
        }
        // What we call its names, by their numbers; no name stays none.
        let mut own: [Vec<u32>; DAY_KEYS.len()] = Default::default();
        for ((own, mine), theirs) in own.iter_mut().zip(&mut self.names).zip(&other.names) {
            own.push(0);
            own.extend(theirs.texts.iter().map(|text| mine.number(text)));
        }
        for (mut group, sum) in other.groups {
            for (number, own) in group.keys.iter_mut().zip(&own) {
                *number = own[*number as usize];
            }
            self.groups.entry(group).or_default().add(&sum)?;
        }
        if self.groups.len() > GROUPS_MAX * 2 { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), ArrowError> {
        let mut periods: BTreeMap<Month, Vec<(Group, &Sum)>> = BTreeMap::new();
        for (group, sum) in &self.groups {
            if let Some(period) = Month::of_micros(group.period) {
                periods.entry(period).or_default().push((*group, sum));
            }
        }
        for (period, mut groups) in periods {
            groups.sort_unstable_by_key(|(group, _)| (group.day, group.keys));
            for rows in groups.chunks(BATCH_ROWS) {
                self.spilled.entry(period).or_default().push(batch(rows, &self.names)?);
            }
        }
        self.groups.clear();
        self.names = Default::default();
        Ok(())
    }
}

fn batch(rows: &[(Group, &Sum)], names: &[Names]) -> Result<RecordBatch, ArrowError> {
    let periods = rows.iter().map(|(group, _)| group.period);
    let periods = TimestampMicrosecondArray::from_iter_values(periods).with_timezone("UTC");
    let days = rows.iter().map(|(group, _)| Some(group.day).filter(|day| *day != NO_DAY));
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(periods), Arc::new(days.collect::<Date32Array>())];
    for (at, names) in names.iter().enumerate() {
        columns.push(names.column(rows.iter().map(|(group, _)| group.keys[at]))?);
    }
    for at in 0..DAY_SUMS.len() {
        let sums = rows.iter().map(|(_, sum)| sum.costs[at]);
        let sums = Decimal128Array::from_iter_values(sums);
        columns.push(Arc::new(sums.with_precision_and_scale(PRECISION, SCALE)?));
    }
    let charges = rows.iter().map(|(_, sum)| sum.charges);
    columns.push(Arc::new(Int64Array::from_iter_values(charges)));
    RecordBatch::try_new(schema::days(), columns)
}

/// Adds up what several workers have: one row a group, as far as memory allows; by billing period.
pub(crate) fn merge(
    parts: Vec<Aggregate>,
) -> Result<BTreeMap<Month, Vec<RecordBatch>>, ArrowError> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().unwrap_or_default();
    for part in parts {
        whole.absorb(part)?;
    }
    let had_room = whole.spilled.is_empty();
    whole.spill()?;
    let mut merged = whole.spilled;
    for batches in merged.values_mut().filter(|_| !had_room) {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if batches.len() > 1 && rows <= GROUPS_MAX * 2 {
            *batches = regroup(batches)?;
        }
    }
    Ok(merged)
}

/// Rows of one billing period with equal keys become one.
pub(crate) fn regroup(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut whole = Aggregate::default();
    for batch in batches {
        let periods = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let days = batch.column(1).as_primitive::<arrow::datatypes::Date32Type>();
        let first = 2 + DAY_KEYS.len();
        let costs: [&Decimal128Array; DAY_SUMS.len()] =
            std::array::from_fn(|at| batch.column(first + at).as_primitive());
        let charges = batch.column(first + DAY_SUMS.len());
        let charges = charges.as_primitive::<arrow::datatypes::Int64Type>();
        let keys: [&StringArray; DAY_KEYS.len()] =
            std::array::from_fn(|at| batch.column(2 + at).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let day = if days.is_valid(row) { days.value(row) } else { NO_DAY };
            let group = Group { period: periods.value(row), day, keys: whole.numbers(&keys, row) };
            let sum = Sum { costs: costs.map(|cost| cost.value(row)), charges: charges.value(row) };
            whole.groups.entry(group).or_default().add(&sum)?;
        }
    }
    whole.spill()?;
    Ok(whole.spilled.into_values().flatten().collect())
}
