//! A lake in a bucket: what it says is what the same bills say in a folder, whoever else writes.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::Stage;
use super::moto::{Moto, Question};
use crate::shell;

const BUCKET: &str = "bills";
const ROWS: &str = "3000";
/// Sources that are ingested at once.
const SOURCES: u64 = 4;
const QUESTIONS: [Question; 3] = [
    &["report", "--by", "service,region"],
    &["report", "--by", "resource", "--basis", "effective"],
    &["query", "select count(*), sum(BilledCost) from focus_data_table"],
];

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("bucket")?;
    let moto = Moto::start(stage, &folder)?.with_bucket(BUCKET)?;
    let exports = exports(stage, &folder)?;
    let (bucket, local) = (PathBuf::from(format!("s3://{BUCKET}/lake")), folder.join("lake"));
    // All at once: each commit's name is given once, and who comes too late takes the next.
    std::thread::scope(|scope| {
        let (moto, bucket) = (&moto, &bucket);
        let mut running = Vec::new();
        for export in &exports {
            running.push(scope.spawn(move || ingest(moto, bucket, export)));
        }
        running.into_iter().try_for_each(|one| {
            one.join().map_err(|_| anyhow::anyhow!("the thread of an ingest died"))?
        })
    })?;
    for export in &exports {
        ingest(&moto, &local, export)?;
    }
    let versions = moto.ask(&bucket, &["history"])?.lines().count() - 1;
    ensure!(versions == exports.len(), "{versions} versions of {} ingests", exports.len());
    moto.compare(&bucket, &local, &QUESTIONS)?;
    // The same again changes nothing, and small files that were put together hold the same.
    ingest(&moto, &bucket, &exports[0])?;
    let again = moto.ask(&bucket, &["history"])?.lines().count() - 1;
    ensure!(again == versions, "the same bill again made version {again}");
    moto.ask(&bucket, &["compact"])?;
    moto.compare(&bucket, &local, &QUESTIONS)?;
    println!("bucket: {versions} ingests at once, {} questions twice: equal", QUESTIONS.len());
    refused(&moto)
}

fn exports(stage: &Stage, folder: &Path) -> Result<Vec<PathBuf>> {
    let export = |number: u64| {
        let path = folder.join(format!("source-{number}.csv"));
        let seed = stage.seed.wrapping_add(number).to_string();
        shell::run(stage.script("rows.py").arg(&path).args([&seed, ROWS]))?;
        Ok(path)
    };
    (0..SOURCES).map(export).collect()
}

fn ingest(moto: &Moto, lake: &Path, export: &Path) -> Result<()> {
    let source = export.file_stem().unwrap_or_default().to_string_lossy();
    moto.ingest(lake, &source, export)
}

/// A bucket that is not there is an error that names it.
fn refused(moto: &Moto) -> Result<()> {
    let missing = PathBuf::from("s3://no-such-bucket/lake");
    let mut ask = moto.stage.cost(&missing, &["imports"]);
    let answer = moto.keys(&mut ask).output()?;
    let said = String::from_utf8_lossy(&answer.stderr);
    let told = !answer.status.success() && said.contains("no-such-bucket");
    ensure!(told, "{} on a bucket that is not there: {said}", answer.status);
    Ok(())
}
