//! Big bills of other people's making, added up by Python's decimals: the same to the last digit.

use anyhow::Result;

use super::Stage;
use crate::shell;

/// The report's last day among all proofs, and where this one is asked for: four weeks, 219,000 rows.
const LAST_DAY: (u8, u8) = (2, 29);

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("nise")?;
    let last = if stage.is_alone { LAST_DAY.1 } else { LAST_DAY.0 };
    let mut nise = stage.script("nise.py");
    nise.arg(&stage.bursar).arg(folder).args([stage.seed.to_string(), last.to_string()]);
    shell::run(&mut nise)
}
