//! The official validator on what the lake gives back: no rule fails that the input keeps.

use anyhow::Result;

use super::Stage;
use crate::shell;

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("validator")?;
    let mut validator = stage.script("validator.py");
    shell::run(validator.arg(&stage.bursar).arg(folder).arg(stage.seed.to_string()))
}
