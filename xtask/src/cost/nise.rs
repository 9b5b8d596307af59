//! Big bills of other people's making, added up by Python's decimals: the same to the last digit.

use anyhow::Result;

use super::Stage;
use crate::shell;

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("nise")?;
    let mut nise = stage.script("nise.py");
    shell::run(nise.arg(&stage.bursar).arg(folder).arg(stage.seed.to_string()))
}
