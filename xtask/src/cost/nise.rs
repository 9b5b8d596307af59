//! Big bills of other people's making, added up by Python's decimals: the same to the last digit.

use anyhow::Result;

use super::Stage;
use crate::shell;

/// Days of the report among all proofs, and where this one is asked for: 169,000 rows.
const DAYS: (u8, u8) = (2, 25);

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("nise")?;
    let days = if stage.is_alone { DAYS.1 } else { DAYS.0 };
    let mut nise = stage.script("nise.py");
    nise.arg(&stage.bursar).arg(folder).args([stage.seed.to_string(), days.to_string()]);
    shell::run(&mut nise)
}
