//! What is odd about rows that came in nevertheless, for the notes of an import.
//!
//! Owns the counts of what was read in another way than it was written, and the proof that what a
//! report of AWS takes back for savings plans is what they cover. Invariant: rows that are refused
//! count for nothing.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Decimal128Type, TimestampMicrosecondType},
    error::ArrowError,
};
use focus::{Column, Decimal, cost::Month, cur};
use serde::{Deserialize, Serialize};

use crate::{
    bill::Layout,
    condition::{self, Formats},
    findings::Findings,
    partition::WriteError,
    upgrade::Delivered,
};

#[cfg(test)]
mod tests;

/// Invoices that are told of one by one.
const INVOICES: usize = 10;

/// What was odd about rows that are charges now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Odd {
    unzoned: u64,
    rounded: u64,
    absent: u64,
    #[serde(with = "listed")]
    plans: BTreeMap<Invoice, Plans>,
}

/// A part of a report that has to add up on its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Invoice {
    period: Month,
    /// Empty until the report is final.
    id: String,
    currency: String,
}

/// Unblended costs at 18 digits after the point.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Plans {
    /// Of usage that savings plans cover.
    covered: i128,
    /// Of rows that take it back: negative.
    negated: i128,
}

impl Odd {
    /// Counts what was found in some rows.
    pub(crate) fn count(
        &mut self,
        layout: &Layout,
        columns: &[ArrayRef],
        findings: &Findings,
        refused: &[usize],
    ) -> Result<(), WriteError> {
        let is_kept = |row: &usize| refused.binary_search(row).is_err();
        let kept = |rows: &std::collections::BTreeSet<usize>| {
            rows.iter().filter(|row| is_kept(row)).count() as u64
        };
        self.unzoned += findings.unzoned;
        self.rounded += kept(&findings.rounded);
        self.absent += kept(&findings.absent);
        if layout.plan.is_report {
            self.plans(layout, columns, is_kept)?;
        }
        Ok(())
    }

    /// Adds up what plans cover and what is taken back for it.
    fn plans(
        &mut self,
        layout: &Layout,
        columns: &[ArrayRef],
        is_kept: impl Fn(&usize) -> bool,
    ) -> Result<(), WriteError> {
        let rows = Delivered::new(&layout.plan.names, &layout.plan.places, columns);
        let covered = condition::mask(&cur::COVERED, &rows, &Formats::default());
        let negating = condition::mask(&cur::NEGATING, &rows, &Formats::default());
        let both = &covered | &negating;
        if both.count_set_bits() == 0 {
            return Ok(());
        }
        let costs = rows.value(&cur::INVOICED, Column::BilledCost)?;
        let costs = costs.as_primitive::<Decimal128Type>();
        let line = |column: Column| -> Result<ArrayRef, ArrowError> {
            rows.value(&layout.plan.parts[0].columns[column.index()], column)
        };
        let (periods, ids) = (line(Column::BillingPeriodStart)?, line(Column::InvoiceId)?);
        let currencies = line(Column::BillingCurrency)?;
        let periods = periods.as_primitive::<TimestampMicrosecondType>();
        let text = |array: &ArrayRef, row: usize| {
            let array = array.as_string::<i32>();
            if array.is_valid(row) { array.value(row).to_owned() } else { String::new() }
        };
        for row in both.set_indices().filter(is_kept) {
            let period = periods.is_valid(row).then(|| Month::of_micros(periods.value(row)));
            let (Some(period), true) = (period.flatten(), costs.is_valid(row)) else { continue };
            let (id, currency) = (text(&ids, row), text(&currencies, row));
            let plans = self.plans.entry(Invoice { period, id, currency }).or_default();
            let sum = if covered.value(row) { &mut plans.covered } else { &mut plans.negated };
            *sum = sum.checked_add(costs.value(row)).ok_or(WriteError::Sum(period))?;
        }
        Ok(())
    }

    /// Takes in what another thread has found.
    pub(crate) fn add(&mut self, other: Self) -> Result<(), WriteError> {
        self.unzoned += other.unzoned;
        self.rounded += other.rounded;
        self.absent += other.absent;
        for (invoice, plans) in other.plans {
            let period = invoice.period;
            let mine = self.plans.entry(invoice).or_default();
            let sum = |a: i128, b: i128| a.checked_add(b).ok_or(WriteError::Sum(period));
            mine.covered = sum(mine.covered, plans.covered)?;
            mine.negated = sum(mine.negated, plans.negated)?;
        }
        Ok(())
    }

    /// A line for each thing that is odd.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.unzoned > 0 {
            notes.push(format!("{} dates without a zone were read as UTC", self.unzoned));
        }
        if self.rounded > 0 {
            notes.push(format!(
                "{} rows have amounts as doubles with digits beyond the 18th after the point; each \
                 was rounded half to even, and moved by at most 5E-19",
                self.rounded
            ));
        }
        if self.absent > 0 {
            notes.push(format!(
                "{} rows have \"None\" where an amount should be; it was read as no amount",
                self.absent
            ));
        }
        let mut uneven = self.plans.iter().filter_map(|(invoice, plans)| uneven(invoice, *plans));
        notes.extend(uneven.by_ref().take(INVOICES));
        match uneven.count() {
            0 => {}
            more => notes.push(format!("so it is with {more} more invoices")),
        }
        notes
    }
}

/// A map whose keys are more than text, as pairs.
mod listed {
    use super::{BTreeMap, Invoice, Plans};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        plans: &BTreeMap<Invoice, Plans>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(plans)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Invoice, Plans>, D::Error> {
        let pairs: Vec<(Invoice, Plans)> = Deserialize::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

/// What is to be told of an invoice whose covered usage was not taken back.
fn uneven(invoice: &Invoice, plans: Plans) -> Option<String> {
    let left = plans.covered.checked_add(plans.negated).filter(|left| *left != 0)?;
    let Invoice { period, id, currency } = invoice;
    let which = match id.as_str() {
        "" => format!("{period}, not yet invoiced"),
        id => format!("invoice {id} of {period}"),
    };
    let [covered, negated, left] = [plans.covered, plans.negated, left].map(Decimal::amount);
    Some(format!(
        "{which}: savings plans cover usage of {covered} {currency}, but its negations come to \
         {negated}; the unblended costs of the report are {left} {currency} above what its \
         charges bill: compare them with the invoice"
    ))
}
