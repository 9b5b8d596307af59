//! Sums by day, made while charges go past.
//!
//! Owns the groups of one worker, what several workers' groups come to, and the files that hold
//! them. Invariant: added up over all its rows, a billing period's aggregates are the sums of its
//! charges; a group may have several rows, because memory is bounded and what does not fit goes to a
//! file early.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray, UInt32Array,
    },
    compute::take,
    datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType},
    error::ArrowError,
};
use focus::cost::Month;
use focus::{
    Column,
    decimal::{PRECISION, SCALE},
};
use foldhash::fast::RandomState;
use indexmap::IndexSet;
use parquet::arrow::ArrowWriter;

use crate::{
    partition::{Finished, WriteError, column, properties},
    schema::{self, DAY_KEYS, DAY_SUMS},
    storage::Storage,
};

#[cfg(test)]
mod tests;

/// Groups of one worker in memory, at most: of those that it adds to, and of those set aside until
/// the end, 51 MB of them.
const GROUPS_MAX: (usize, usize) = (100_000, 400_000);
/// Rows of one batch of a file.
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

impl Group {
    fn renamed(mut self, known: &[Vec<u32>; DAY_KEYS.len()]) -> Self {
        for (number, known) in self.keys.iter_mut().zip(known) {
            *number = known[*number as usize];
        }
        self
    }
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

/// Groups by number, and what the numbers mean.
#[derive(Default)]
struct Groups {
    names: [Names; DAY_KEYS.len()],
    open: HashMap<Group, Sum, RandomState>,
    /// Those that had to make room; a group may be here several times.
    aside: Vec<(Group, Sum)>,
}

impl Groups {
    /// Adds charges to so many groups at most, and sets them aside to begin others.
    fn add(&mut self, batch: &RecordBatch, open_max: usize) -> Result<(), ArrowError> {
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
            let sum = Sum { costs: costs.map(cost), charges: 1 };
            self.open.entry(group).or_default().add(&sum)?;
        }
        if self.open.len() > open_max {
            self.set_aside();
        }
        Ok(())
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

    fn set_aside(&mut self) {
        self.aside.extend(self.open.drain());
    }

    /// What this calls the names of another, by their numbers there; no name stays none.
    fn translation(&mut self, other: &Self) -> [Vec<u32>; DAY_KEYS.len()] {
        let mut own: [Vec<u32>; DAY_KEYS.len()] = Default::default();
        for ((own, mine), theirs) in own.iter_mut().zip(&mut self.names).zip(&other.names) {
            own.push(0);
            own.extend(theirs.texts.iter().map(|text| mine.number(text)));
        }
        own
    }

    /// Those of one billing period. They have to be in the order of periods.
    fn of(&self, period: i64) -> &[(Group, Sum)] {
        let from = self.aside.partition_point(|(group, _)| group.period < period);
        let to = self.aside.partition_point(|(group, _)| group.period <= period);
        &self.aside[from..to]
    }
}

/// One row a group, in the order of days.
fn folded(mut rows: Vec<(Group, Sum)>) -> Result<Vec<(Group, Sum)>, ArrowError> {
    rows.sort_unstable_by_key(|(group, _)| (group.period, group.day, group.keys));
    let mut kept = 0;
    for row in 0..rows.len() {
        let (group, sum) = rows[row];
        if row > 0 && rows[kept].0 == group {
            rows[kept].1.add(&sum)?;
        } else {
            kept += usize::from(row > 0);
            rows[kept] = (group, sum);
        }
    }
    rows.truncate(kept + 1);
    Ok(rows)
}

fn batch(rows: &[(Group, Sum)], names: &[Names]) -> Result<RecordBatch, ArrowError> {
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

/// Writes groups of one billing period into a file; none where there are none.
fn file(
    storage: &Storage,
    rows: &[(Group, Sum)],
    names: &[Names],
) -> Result<Option<Finished>, WriteError> {
    let period = rows.first().and_then(|(group, _)| Month::of_micros(group.period));
    let Some(period) = period else { return Ok(None) };
    let file = storage.scratch()?;
    let handle = file.reopen().map_err(|e| crate::storage::file("open", file.path(), e))?;
    let schema = schema::days();
    let properties = properties(&schema);
    let mut writer = ArrowWriter::try_new(handle, schema, Some(properties))?;
    for rows in rows.chunks(BATCH_ROWS) {
        writer.write(&batch(rows, names)?)?;
    }
    writer.close()?;
    Finished::new(period, String::new(), file, rows.len() as u64).map(Some)
}

/// The sums of one worker.
pub(crate) struct Aggregate {
    storage: Storage,
    groups: Groups,
    files: Vec<Finished>,
    groups_max: (usize, usize),
}

impl Aggregate {
    pub(crate) fn new(storage: Storage) -> Self {
        let (groups, files) = (Groups::default(), Vec::new());
        Self { storage, groups, files, groups_max: GROUPS_MAX }
    }

    /// Adds charges that have a billing period.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let (open_max, aside_max) = self.groups_max;
        self.groups.add(batch, open_max)?;
        if self.groups.aside.len() > aside_max {
            // Their names go with them: those are bounded, too.
            let groups = std::mem::take(&mut self.groups);
            let rows = folded(groups.aside)?;
            for rows in rows.chunk_by(|(one, _), (next, _)| one.period == next.period) {
                self.files.extend(file(&self.storage, rows, &groups.names)?);
            }
        }
        Ok(())
    }

    /// No more charges will come.
    pub(crate) fn close(&mut self) {
        self.groups.set_aside();
        self.groups.aside.sort_unstable_by_key(|(group, _)| group.period);
    }
}

/// Adds up what several workers have, each closed: one row a group, as far as memory allowed.
pub(crate) fn merge(
    storage: &Storage,
    parts: Vec<Aggregate>,
    threads: usize,
) -> Result<Vec<Finished>, WriteError> {
    let mut names = Groups::default();
    let known: Vec<_> = parts.iter().map(|part| names.translation(&part.groups)).collect();
    let rows = parts.iter().flat_map(|part| &part.groups.aside);
    let periods: BTreeSet<i64> = rows.map(|(group, _)| group.period).collect();
    let count = periods.len();
    let waiting = Mutex::new(periods.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let sum_up = |period| {
        let mut rows = Vec::new();
        for (part, known) in parts.iter().zip(&known) {
            let of = part.groups.of(period).iter();
            rows.extend(of.map(|(group, sum)| (group.renamed(known), *sum)));
        }
        file(storage, &folded(rows)?, &names.names)
    };
    let work = || -> Result<Vec<Finished>, WriteError> {
        let mut files = Vec::new();
        while let Some(period) = next() {
            files.extend(sum_up(period)?);
        }
        Ok(files)
    };
    let summed = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        let done = joined.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        done.collect::<Result<Vec<_>, _>>()
    })?;
    let mut files: Vec<Finished> = summed.into_iter().flatten().collect();
    files.extend(parts.into_iter().flat_map(|part| part.files));
    Ok(files)
}

/// Writes rows of one billing period with one row a group.
pub(crate) fn regroup(
    storage: &Storage,
    batches: &[RecordBatch],
) -> Result<Option<Finished>, WriteError> {
    let mut whole = Groups::default();
    for batch in batches {
        let periods = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let days = batch.column(1).as_primitive::<Date32Type>();
        let first = 2 + DAY_KEYS.len();
        let costs: [&Decimal128Array; DAY_SUMS.len()] =
            std::array::from_fn(|at| batch.column(first + at).as_primitive());
        let charges = batch.column(first + DAY_SUMS.len()).as_primitive::<Int64Type>();
        let keys: [&StringArray; DAY_KEYS.len()] =
            std::array::from_fn(|at| batch.column(2 + at).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let day = if days.is_valid(row) { days.value(row) } else { NO_DAY };
            let group = Group { period: periods.value(row), day, keys: whole.numbers(&keys, row) };
            let sum = Sum { costs: costs.map(|cost| cost.value(row)), charges: charges.value(row) };
            whole.aside.push((group, sum));
        }
    }
    file(storage, &folded(whole.aside)?, &whole.names)
}
