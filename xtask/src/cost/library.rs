//! The official FOCUS use-case library, unmodified, in Bursar and in DuckDB: the same answers.

use anyhow::Result;

use super::Stage;
use crate::shell;

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("library")?;
    let mut library = stage.script("library.py");
    shell::run(library.arg(&stage.bursar).arg(folder).arg(stage.seed.to_string()))
}
