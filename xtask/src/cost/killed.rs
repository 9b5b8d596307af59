//! Ingests and compactions that are killed at any moment: the lake is as before or as after.
//!
//! Owns the moments, from the seed. Two exports of one source restate each other; whichever is in,
//! its totals stand alone, in the charges as in their sums by day.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Stage;
use crate::shell;
use crate::upstream::mixed;

/// How many are killed.
const INGESTS: u64 = 30;
const COMPACTIONS: u64 = 20;
const ROWS: &str = "2000";
/// Enough for several files of a month and provider, so that there is something to put together.
const ROWS_SCATTERED: &str = "9000";
const TOTALS: &str = "select count(*), sum(BilledCost), sum(EffectiveCost) from focus_data_table \
                      union all \
                      select sum(ChargeCount), sum(BilledCost), sum(EffectiveCost) \
                      from charges_by_day";

/// How kills ended.
#[derive(Default)]
struct Ends {
    /// Nothing of it is there.
    before: u32,
    /// It had committed.
    after: u32,
    /// Some of its commits are there; each changes no total.
    between: u32,
    /// Over before the kill came.
    done: u32,
}

struct House<'a> {
    stage: &'a Stage,
    lake: PathBuf,
    exports: [PathBuf; 2],
    totals: [String; 2],
    /// Which export is in.
    current: usize,
    /// How many came to their end: each has an id of its own.
    ingests: u32,
}

pub(super) fn run(stage: &Stage) -> Result<()> {
    println!("killed: seed {}", stage.seed);
    let folder = stage.folder("killed")?;
    let (ingests, compactions) = std::thread::scope(|scope| {
        let compactions = scope.spawn(|| {
            House::build(stage, folder.join("compactions"), ROWS_SCATTERED)?.compactions()
        });
        let ingests =
            House::build(stage, folder.join("ingests"), ROWS).and_then(|mut h| h.ingests());
        (ingests, compactions.join())
    });
    let ends = ingests?;
    println!(
        "killed: {INGESTS} ingests: {} as before, {} as after, {} of those done by then",
        ends.before, ends.after, ends.done
    );
    let ends = compactions.map_err(|_| anyhow::anyhow!("the thread of compactions died"))??;
    println!(
        "killed: {COMPACTIONS} compactions: {} as before, {} half way, {} as after, {} of those \
         done by then; every total kept",
        ends.before, ends.between, ends.after, ends.done
    );
    Ok(())
}

impl<'a> House<'a> {
    fn build(stage: &'a Stage, folder: PathBuf, count: &str) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let exports = [folder.join("one.csv"), folder.join("two.csv")];
        for (number, export) in (1..).zip(&exports) {
            let mut rows = stage.script("rows.py");
            let seed = stage.seed.wrapping_add(number).to_string();
            shell::run(rows.arg(export).args([&seed, count]))?;
        }
        let lake = folder.join("lake");
        let mut house =
            Self { stage, lake, exports, totals: Default::default(), current: 0, ingests: 0 };
        for which in [1, 0] {
            house.ingest(which)?;
            house.totals[which] = house.totals_now()?;
        }
        ensure!(house.totals[0] != house.totals[1], "two exports have the same totals");
        Ok(house)
    }

    fn ingests(&mut self) -> Result<Ends> {
        let mut ends = Ends::default();
        let length = self.length(|house| house.ingest(1 - house.current))?;
        for number in 0..INGESTS {
            let next = 1 - self.current;
            let mut ingest = self.ingest_command(next);
            ingest.args(["--execution", &format!("killed-{number}")]);
            let wait = self.moment(length, number);
            ends.done += u32::from(!kill_after(&mut ingest, wait)?);
            let found = self.totals_now()?;
            let after = found == self.totals[next];
            ensure!(
                after || found == self.totals[self.current],
                "ingest {number}, killed after {wait:?}, left a mix: {found}, not one of {:?}",
                self.totals
            );
            match after {
                true => ends.after += 1,
                false => ends.before += 1,
            }
            // A new id: even what is in already is taken in again.
            self.ingest(next)?;
            let found = self.totals_now()?;
            ensure!(found == self.totals[next], "the ingest after kill {number} left {found}");
        }
        Ok(ends)
    }

    fn compactions(&mut self) -> Result<Ends> {
        let mut ends = Ends::default();
        // Each begins with the same lake, whose files nobody has put together.
        let scattered = self.lake.clone();
        self.lake = scattered.with_extension("copy");
        copy(&scattered, &self.lake)?;
        let length = self.length(|house| house.compact())?;
        for number in 0..COMPACTIONS {
            std::fs::remove_dir_all(&self.lake)?;
            copy(&scattered, &self.lake)?;
            let versions = self.versions()?;
            let mut compact = self.stage.cost(&self.lake, &["compact"]);
            let wait = self.moment(length, INGESTS + number);
            ends.done += u32::from(!kill_after(&mut compact, wait)?);
            let found = self.totals_now()?;
            let wanted = &self.totals[self.current];
            ensure!(
                found == *wanted,
                "compaction {number}, killed after {wait:?}, left {found}, not {wanted}"
            );
            let killed = self.versions()?;
            self.compact()?;
            let whole = self.versions()?;
            match (killed == versions, killed == whole) {
                (true, _) => ends.before += 1,
                (_, true) => ends.after += 1,
                _ => ends.between += 1,
            }
            ensure!(self.totals_now()? == *wanted, "the compaction after kill {number} lost money");
        }
        let next = 1 - self.current;
        self.ingest(next)?;
        ensure!(self.totals_now()? == self.totals[next], "the ingest after kills is not whole");
        Ok(ends)
    }

    /// How long it takes when nobody kills it.
    fn length(&mut self, work: impl Fn(&mut Self) -> Result<()>) -> Result<Duration> {
        let started = Instant::now();
        work(self)?;
        Ok(started.elapsed())
    }

    /// A moment in a run, or shortly after.
    fn moment(&self, length: Duration, number: u64) -> Duration {
        const STEPS: u32 = 10_000;
        let step = mixed(self.stage.seed ^ mixed(number)) % u64::from(STEPS);
        length.mul_f64(1.1 * step as f64 / f64::from(STEPS))
    }

    fn ingest_command(&self, which: usize) -> Command {
        let mut command = self.stage.cost(&self.lake, &["ingest"]);
        command.arg(&self.exports[which]).args(["--source", "restated"]);
        command
    }

    fn ingest(&mut self, which: usize) -> Result<()> {
        self.ingests += 1;
        let mut command = self.ingest_command(which);
        shell::output(command.args(["--execution", &format!("run-{}", self.ingests)]))?;
        self.current = which;
        Ok(())
    }

    fn compact(&self) -> Result<()> {
        shell::output(&mut self.stage.cost(&self.lake, &["compact"])).map(drop)
    }

    /// What the charges add up to; the sums by day must say the same.
    fn totals_now(&self) -> Result<String> {
        let words = ["query", TOTALS, "--output", "csv"];
        let text = shell::output(&mut self.stage.cost(&self.lake, &words))?;
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let [charges, days] = lines[..] else { anyhow::bail!("no two lines: {text}") };
        ensure!(charges == days, "charges and days differ: {charges} and {days}");
        Ok(charges.to_owned())
    }

    fn versions(&self) -> Result<usize> {
        let words = ["history", "--output", "csv"];
        let text = shell::output(&mut self.stage.cost(&self.lake, &words))?;
        Ok(text.lines().count())
    }
}

/// A folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

/// Kills a command at this moment of its run; false when it was over by then.
fn kill_after(command: &mut Command, wait: Duration) -> Result<bool> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child: Child =
        command.spawn().with_context(|| format!("failed to start `{}`", shell::shown(command)))?;
    std::thread::sleep(wait);
    let over = child.try_wait()?;
    if let Some(status) = over {
        ensure!(status.success(), "`{}` ended with {status}", shell::shown(command));
        return Ok(false);
    }
    child.kill().context("failed to kill")?;
    child.wait()?;
    Ok(true)
}
