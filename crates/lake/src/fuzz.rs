//! What the fuzz targets call: readers of what comes from outside, and what must hold of them.

use arrow::array::Array;

use crate::{
    csv::{Cutter, columns},
    findings::Findings,
    limit::Limits,
};

/// Cuts any bytes as a CSV bill, with short records allowed alone.
///
/// # Panics
///
/// If records are lost, or columns differ in length: that is what is looked for.
pub fn csv(bytes: &[u8]) {
    let limits = Limits { record_bytes: 1 << 10, ..Limits::default() };
    let mut cutter = Cutter::new(bytes, limits);
    let Ok(header) = cutter.header() else { return };
    let mut next = 1;
    while let Ok(Some(block)) = cutter.block() {
        assert_eq!(block.row, next, "records are numbered one after the other");
        next += block.rows;
        let mut findings = Findings::default();
        let columns = columns(&block, header.len(), &mut findings);
        let rows = columns.first().map_or(0, |column| column.len());
        assert!(columns.iter().all(|column| column.len() == rows), "columns of one length");
        assert_eq!(rows as u64, block.rows, "as many records as were counted");
    }
}
