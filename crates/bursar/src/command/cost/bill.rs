//! Charges that are made here, as a FOCUS bill that comes in by the same door as everybody's.

use std::{fs::File, io::BufWriter};

use anyhow::Context as _;
use focus::{Column, Row as _, charge::Charge};
use tempfile::NamedTempFile;

/// A bill that is being written: FOCUS 1.4 as CSV, with one custom column.
pub(super) struct Bill {
    csv: csv::Writer<BufWriter<File>>,
    file: NamedTempFile,
    custom: &'static str,
}

impl Bill {
    pub(super) fn new(custom: &'static str) -> anyhow::Result<Self> {
        let file = tempfile::Builder::new().suffix(".csv").tempfile();
        let file = file.context("failed to make a file for charges")?;
        let mut csv = csv::Writer::from_writer(BufWriter::new(file.reopen()?));
        csv.write_record(Column::ALL.iter().map(|column| column.name()).chain([custom]))?;
        Ok(Self { csv, file, custom })
    }

    pub(super) fn add(&mut self, charge: &Charge) -> anyhow::Result<()> {
        let row = charge.record();
        let custom = charge.custom().find(|(name, _)| *name == self.custom);
        let custom = custom.map_or("", |(_, text)| text);
        let texts = Column::ALL.iter().map(|column| row.text(*column).unwrap_or_default());
        self.csv.write_record(texts.chain([custom]))?;
        Ok(())
    }

    /// The whole bill. It is gone when the file is dropped.
    pub(super) fn done(mut self) -> anyhow::Result<NamedTempFile> {
        self.csv.flush()?;
        Ok(self.file)
    }
}
