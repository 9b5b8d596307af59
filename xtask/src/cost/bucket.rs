//! A lake in a bucket: what it says is what the same bills say in a folder, whoever else writes.
//!
//! The server is moto's, which refuses a second object of a name as S3 does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::Stage;
use crate::{contract, shell};

const BUCKET: &str = "bills";
const ROWS: &str = "3000";
/// Sources that are ingested at once.
const SOURCES: u64 = 4;
const QUESTIONS: [&[&str]; 3] = [
    &["report", "--by", "service,region"],
    &["report", "--by", "resource", "--basis", "effective"],
    &["query", "select count(*), sum(BilledCost) from focus_data_table"],
];

struct House<'a> {
    stage: &'a Stage,
    endpoint: String,
}

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("bucket")?;
    let port = shell::free_port()?;
    let house = House { stage, endpoint: format!("http://127.0.0.1:{port}") };
    let mut server = Command::new(stage.python.with_file_name("moto_server"));
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let _server = contract::start(server, &folder, "moto", port)?;
    let mut make = stage.script("bucket.py");
    shell::run(house.keys(make.args([&house.endpoint, BUCKET])))?;

    let exports = exports(stage, &folder)?;
    let (bucket, local) = (PathBuf::from(format!("s3://{BUCKET}/lake")), folder.join("lake"));
    // All at once: each commit's name is given once, and who comes too late takes the next.
    std::thread::scope(|scope| {
        let (house, bucket) = (&house, &bucket);
        let mut running = Vec::new();
        for export in &exports {
            running.push(scope.spawn(move || house.ingest(bucket, export)));
        }
        running.into_iter().try_for_each(|one| {
            one.join().map_err(|_| anyhow::anyhow!("the thread of an ingest died"))?
        })
    })?;
    for export in &exports {
        house.ingest(&local, export)?;
    }
    let versions = house.ask(&bucket, &["history"])?.lines().count() - 1;
    ensure!(versions == exports.len(), "{versions} versions of {} ingests", exports.len());
    house.compare(&bucket, &local)?;
    // The same again changes nothing, and small files that were put together hold the same.
    house.ingest(&bucket, &exports[0])?;
    let again = house.ask(&bucket, &["history"])?.lines().count() - 1;
    ensure!(again == versions, "the same bill again made version {again}");
    house.ask(&bucket, &["compact"])?;
    house.compare(&bucket, &local)?;
    println!("bucket: {versions} ingests at once, {} questions twice: equal", QUESTIONS.len());
    house.refused(&bucket)
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

impl House<'_> {
    fn keys<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ALLOW_HTTP", "true")
    }

    fn ask(&self, lake: &Path, words: &[&str]) -> Result<String> {
        let words = [words, &["--output", "csv"]].concat();
        shell::output(self.keys(&mut self.stage.cost(lake, &words)))
    }

    fn ingest(&self, lake: &Path, export: &Path) -> Result<()> {
        let source = export.file_stem().unwrap_or_default();
        let mut ingest = self.stage.cost(lake, &["ingest"]);
        ingest.arg(export).arg("--source").arg(source);
        shell::output(self.keys(&mut ingest)).map(drop)
    }

    fn compare(&self, bucket: &Path, local: &Path) -> Result<()> {
        for question in QUESTIONS {
            let (theirs, ours) = (self.ask(bucket, question)?, self.ask(local, question)?);
            ensure!(theirs == ours, "{question:?}: {theirs}\nin the bucket, but\n{ours}");
        }
        Ok(())
    }

    /// A bucket that is not there is an error that names it.
    fn refused(&self, bucket: &Path) -> Result<()> {
        let missing = PathBuf::from("s3://no-such-bucket/lake");
        let mut ask = self.stage.cost(&missing, &["imports"]);
        let answer = self.keys(&mut ask).output()?;
        let said = String::from_utf8_lossy(&answer.stderr);
        let told = !answer.status.success() && said.contains("no-such-bucket");
        ensure!(told, "{} on {}: {said}", answer.status, bucket.display());
        Ok(())
    }
}
