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
        StringArray, TimestampMicrosecondArray,
    },
    datatypes::{Decimal128Type, TimestampMicrosecondType},
    error::ArrowError,
};
use focus::cost::Month;
use focus::{
    Column,
    decimal::{PRECISION, SCALE},
};

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

/// Text by number; 0 is null.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    last: Option<(Box<str>, u32)>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some((last, number)) = &self.last
            && **last == *name
        {
            return *number;
        }
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                let next = u32::try_from(self.numbers.len() + 1).unwrap_or(u32::MAX);
                self.numbers.insert(name.into(), next);
                next
            }
        };
        self.last = Some((name.into(), number));
        number
    }
}

/// The groups of one worker.
#[derive(Default)]
pub(crate) struct Aggregate {
    names: [Names; DAY_KEYS.len()],
    groups: HashMap<Group, Sum>,
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
            let mut numbers = [0; DAY_KEYS.len()];
            for ((number, names), key) in numbers.iter_mut().zip(&mut self.names).zip(&keys) {
                if key.is_valid(row) {
                    *number = names.number(key.value(row));
                }
            }
            let day = match starts.is_valid(row) {
                true => i32::try_from(starts.value(row).div_euclid(MICROS_OF_DAY)),
                false => Ok(NO_DAY),
            };
            let day = day.unwrap_or(NO_DAY);
            let group = Group { period: periods.value(row), day, keys: numbers };
            let sum = self.groups.entry(group).or_default();
            sum.charges += 1;
            for (sum, cost) in sum.costs.iter_mut().zip(&costs) {
                if cost.is_valid(row) {
                    let added = sum.checked_add(cost.value(row));
                    *sum = added.ok_or_else(|| {
                        ArrowError::ComputeError("a day's costs have over 38 digits".into())
                    })?;
                }
            }
        }
        if self.groups.len() > GROUPS_MAX { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), ArrowError> {
        let names: Vec<Vec<&str>> = self
            .names
            .iter()
            .map(|names| {
                let mut texts = vec![""; names.numbers.len() + 1];
                for (text, number) in &names.numbers {
                    if let Some(slot) = texts.get_mut(*number as usize) {
                        *slot = text;
                    }
                }
                texts
            })
            .collect();
        let mut periods: BTreeMap<Month, Vec<(&Group, &Sum)>> = BTreeMap::new();
        for (group, sum) in &self.groups {
            if let Some(period) = Month::of_micros(group.period) {
                periods.entry(period).or_default().push((group, sum));
            }
        }
        for (period, mut groups) in periods {
            groups.sort_unstable_by_key(|(group, _)| (group.day, group.keys));
            for rows in groups.chunks(BATCH_ROWS) {
                self.spilled.entry(period).or_default().push(batch(rows, &names)?);
            }
        }
        drop(names);
        self.groups.clear();
        self.names = Default::default();
        Ok(())
    }

    /// All groups as rows, by billing period.
    pub(crate) fn finish(mut self) -> Result<BTreeMap<Month, Vec<RecordBatch>>, ArrowError> {
        self.spill()?;
        Ok(self.spilled)
    }
}

fn batch(rows: &[(&Group, &Sum)], names: &[Vec<&str>]) -> Result<RecordBatch, ArrowError> {
    let periods = rows.iter().map(|(group, _)| group.period);
    let periods = TimestampMicrosecondArray::from_iter_values(periods).with_timezone("UTC");
    let days = rows.iter().map(|(group, _)| Some(group.day).filter(|day| *day != NO_DAY));
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(periods), Arc::new(days.collect::<Date32Array>())];
    for (at, names) in names.iter().enumerate() {
        let texts = rows.iter().map(|(group, _)| match group.keys[at] {
            0 => None,
            number => names.get(number as usize).copied(),
        });
        columns.push(Arc::new(texts.collect::<StringArray>()));
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

/// Adds up the rows of several workers: one row a group again, as far as memory allows.
pub(crate) fn merge(
    parts: Vec<BTreeMap<Month, Vec<RecordBatch>>>,
) -> Result<BTreeMap<Month, Vec<RecordBatch>>, ArrowError> {
    let mut merged: BTreeMap<Month, Vec<RecordBatch>> = BTreeMap::new();
    for (period, batches) in parts.into_iter().flatten() {
        merged.entry(period).or_default().extend(batches);
    }
    for batches in merged.values_mut() {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if batches.len() > 1 && rows <= GROUPS_MAX * 2 {
            *batches = regroup(batches)?;
        }
    }
    Ok(merged)
}

/// Rows of one billing period with equal keys become one.
pub(crate) fn regroup(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut names: [Names; DAY_KEYS.len()] = Default::default();
    let mut groups: HashMap<Group, Sum> = HashMap::new();
    for batch in batches {
        let periods = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let days = batch.column(1).as_primitive::<arrow::datatypes::Date32Type>();
        let first = 2 + DAY_KEYS.len();
        let costs: Vec<&Decimal128Array> =
            (0..DAY_SUMS.len()).map(|at| batch.column(first + at).as_primitive()).collect();
        let charges = batch.column(first + DAY_SUMS.len());
        let charges = charges.as_primitive::<arrow::datatypes::Int64Type>();
        let keys: Vec<&StringArray> =
            (0..DAY_KEYS.len()).map(|at| batch.column(2 + at).as_string::<i32>()).collect();
        for row in 0..batch.num_rows() {
            let mut numbers = [0; DAY_KEYS.len()];
            for ((number, names), key) in numbers.iter_mut().zip(&mut names).zip(&keys) {
                if key.is_valid(row) {
                    *number = names.number(key.value(row));
                }
            }
            let day = if days.is_valid(row) { days.value(row) } else { NO_DAY };
            let group = Group { period: periods.value(row), day, keys: numbers };
            let sum = groups.entry(group).or_default();
            sum.charges += charges.value(row);
            for (sum, cost) in sum.costs.iter_mut().zip(&costs) {
                let added = sum.checked_add(cost.value(row));
                *sum = added.ok_or_else(|| {
                    ArrowError::ComputeError("a day's costs have over 38 digits".into())
                })?;
            }
        }
    }
    let mut whole = Aggregate { names, groups, spilled: BTreeMap::new() };
    whole.spill()?;
    Ok(whole.spilled.into_values().flatten().collect())
}
