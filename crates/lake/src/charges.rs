//! The charges that a block of rows makes, each checked.
//!
//! Owns which rows make which charges, and that a row comes in with all of its charges or with
//! none. Knows nothing of where rows come from or of where charges go.

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch},
    compute::filter,
    datatypes::SchemaRef,
    error::ArrowError,
};

use crate::{
    bill::Layout,
    condition::{self, Formats},
    findings::Findings,
    partition::{Partitions, without},
    upgrade::Delivered,
    validate::Validator,
};

#[cfg(test)]
mod tests;

/// Charges of one part.
pub(crate) struct Made {
    pub(crate) charges: RecordBatch,
    /// The rows that they are of; `None` where it is all of them.
    rows: Option<Vec<usize>>,
}

impl Made {
    /// Which of its charges are of rows that are refused.
    pub(crate) fn refused(&self, refused: &[usize]) -> Vec<usize> {
        match &self.rows {
            None => refused.to_vec(),
            Some(rows) => {
                let found = rows.iter().enumerate();
                let found = found.filter(|(_, row)| refused.binary_search(row).is_ok());
                found.map(|(at, _)| at).collect()
            }
        }
    }

    /// Its charges without those of rows that are refused.
    pub(crate) fn accepted(&self, refused: &[usize]) -> Result<RecordBatch, ArrowError> {
        without(&self.charges, &self.refused(refused))
    }
}

/// Converts rows and checks what they become.
pub(crate) struct Maker<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) schema: &'a SchemaRef,
    pub(crate) validator: &'a Validator,
    /// Each row that breaks a rule is explained.
    pub(crate) every: bool,
}

impl Maker<'_> {
    pub(crate) fn make(
        &self,
        columns: &[ArrayRef],
        findings: &mut Findings,
    ) -> Result<Vec<Made>, ArrowError> {
        let plan = &self.layout.plan;
        let mut made = Vec::with_capacity(plan.parts.len());
        for (index, part) in plan.parts.iter().enumerate() {
            let delivered = Delivered::new(&plan.names, &plan.places, columns);
            let mask = condition::mask(&part.when, &delivered, &Formats::default());
            match mask.count_set_bits() {
                0 => {}
                all if all == mask.len() => {
                    let charges = self.part(index, columns, findings)?;
                    made.push(Made { charges, rows: None });
                }
                _ => {
                    let rows: Vec<usize> = mask.set_indices().collect();
                    let mask = BooleanArray::new(mask, None);
                    let some = columns.iter().map(|array| filter(array, &mask));
                    let mut own = findings.of_rows(&rows);
                    let charges =
                        self.part(index, &some.collect::<Result<Vec<_>, _>>()?, &mut own)?;
                    findings.absorb(own, &rows);
                    made.push(Made { charges, rows: Some(rows) });
                }
            }
        }
        Ok(made)
    }

    fn part(
        &self,
        index: usize,
        columns: &[ArrayRef],
        findings: &mut Findings,
    ) -> Result<RecordBatch, ArrowError> {
        let (plan, kept) = (&self.layout.plan, &self.layout.kept);
        let delivered = Delivered::new(&plan.names, &plan.places, columns);
        let charges = delivered.charges(&plan.parts[index].columns, kept, self.schema, findings)?;
        Partitions::check(&charges, findings);
        self.validator.check(&charges, &self.layout.asked, self.every, findings);
        Ok(charges)
    }
}
