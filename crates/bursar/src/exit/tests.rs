use std::io::{self, Write};

use super::*;
use crate::output::{Cell, Format, Printer, Report};

/// A pipe whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure_in_any_form() {
    let mut report = Report::new("rows", &["word"]);
    report.rows = vec![vec![Cell::text("long ".repeat(10_000))]; 2];
    for format in [Format::Table, Format::Json, Format::Csv] {
        let printer = Printer { format, colored: false };
        let error = printer.write(&report, &mut Gone).unwrap_err();
        assert!(Exit::is_broken_pipe(&error), "{format:?}: {error:?}");
    }
    let full = anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull));
    assert!(!Exit::is_broken_pipe(&full));
}
