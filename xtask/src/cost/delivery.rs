//! Deliveries of AWS's and Azure's exports on S3: what the lake says is what the same files say
//! that lie in a folder, restated and all, and a service that is killed while it takes them in
//! shows of each month the old bill or the new one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Stage;
use crate::upstream::mixed;
use crate::{contract, shell};

const BUCKET: &str = "bills";
const SOURCES: [&str; 2] = ["aws", "azure"];
/// Services that are killed.
const KILLS: u64 = 8;
/// Until when a service must have taken everything in.
const INGESTED_MAX: Duration = Duration::from_secs(60);
const QUESTIONS: [&[&str]; 3] = [
    &["report", "--by", "month,service,region"],
    &["report", "--by", "resource", "--basis", "effective"],
    &["query", "select count(*), sum(BilledCost), sum(ListCost) from focus_data_table"],
];
/// A line a month, in the charges and in their sums by day.
const MONTHS: &str = "select BillingPeriodStart, count(*), sum(BilledCost) from focus_data_table \
                      group by 1 order by 1";

struct House<'a> {
    stage: &'a Stage,
    endpoint: String,
    /// Where deliveries lie as files.
    copies: PathBuf,
    folder: PathBuf,
}

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("delivery")?;
    let port = shell::free_port()?;
    let (endpoint, copies) = (format!("http://127.0.0.1:{port}"), folder.join("copies"));
    let house = House { stage, endpoint, copies, folder: folder.clone() };
    let mut server = Command::new(stage.python.with_file_name("moto_server"));
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let _server = contract::start(server, &folder, "moto", port)?;
    shell::run(house.keys(stage.script("bucket.py").args([&house.endpoint, BUCKET])))?;

    let (remote, local) = (folder.join("remote"), folder.join("local"));
    for execution in 1..=2 {
        house.deliver(execution)?;
        for source in SOURCES {
            house.ingest(&remote, source, &house.address(source))?;
            house.ingest(&local, source, &house.copy(source))?;
        }
        house.compare(&remote, &local)?;
    }
    let versions = house.ask(&remote, &["history"])?;
    for source in SOURCES {
        house.ingest(&remote, source, &house.address(source))?;
    }
    ensure!(house.ask(&remote, &["history"])? == versions, "the same executions changed the lake");
    println!("delivery: two executions of two exports, {} questions: equal", QUESTIONS.len());
    house.killed(&local)
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

    /// Puts an execution of each export into the bucket and into the folder.
    fn deliver(&self, execution: u64) -> Result<()> {
        let seed = self.stage.seed.wrapping_add(execution).to_string();
        let mut deliver = self.stage.script("delivery.py");
        deliver.args([&self.endpoint, BUCKET]).arg(&self.copies);
        shell::run(self.keys(deliver.args([&format!("e{execution}"), &seed])))
    }

    fn address(&self, source: &str) -> PathBuf {
        PathBuf::from(format!("s3://{BUCKET}/out/{source}"))
    }

    fn copy(&self, source: &str) -> PathBuf {
        self.copies.join("out").join(source)
    }

    fn ask(&self, lake: &Path, words: &[&str]) -> Result<String> {
        let words = [words, &["--output", "csv"]].concat();
        shell::output(self.keys(&mut self.stage.cost(lake, &words)))
    }

    fn ingest(&self, lake: &Path, source: &str, at: &Path) -> Result<()> {
        let mut ingest = self.stage.cost(lake, &["ingest"]);
        ingest.arg(at).args(["--source", source]);
        shell::output(self.keys(&mut ingest)).map(drop)
    }

    fn compare(&self, remote: &Path, local: &Path) -> Result<()> {
        for question in QUESTIONS {
            let (theirs, ours) = (self.ask(remote, question)?, self.ask(local, question)?);
            ensure!(theirs == ours, "{question:?}: {theirs}\nfrom the bucket, but\n{ours}");
        }
        Ok(())
    }

    /// Services are killed while they take in what is newer than what they have.
    fn killed(&self, local: &Path) -> Result<()> {
        let lake = self.folder.join("lake");
        let (mut olds, mut news, mut both) = (0, 0, 0);
        for number in 0..KILLS {
            // What a service has, and what it finds: executions that nobody has seen yet.
            if number == 0 {
                self.serve(number, |house| house.wait_for(&lake, local))?;
            }
            let before = self.ask(&lake, &["query", MONTHS])?;
            self.deliver(number + 3)?;
            for source in SOURCES {
                self.ingest(local, source, &self.copy(source))?;
            }
            let after = self.ask(local, &["query", MONTHS])?;
            let wait = Duration::from_millis(mixed(self.stage.seed ^ number) % 1500);
            self.serve(number, |_| {
                std::thread::sleep(wait);
                Ok(())
            })?;
            let found = self.ask(&lake, &["query", MONTHS])?;
            match (found == before, found == after) {
                (true, _) => olds += 1,
                (_, true) => news += 1,
                _ => both += 1,
            }
            self.whole(&lake, &found)?;
            self.serve(number, |house| house.wait_for(&lake, local))?;
            self.compare(&lake, local)?;
        }
        println!(
            "delivery: {KILLS} services killed: {olds} as before, {both} with some executions \
             whole, {news} as after; each went on to the end"
        );
        Ok(())
    }

    /// Whatever was committed, the charges are those that the log tells of, and the days theirs.
    fn whole(&self, lake: &Path, found: &str) -> Result<()> {
        let days = MONTHS
            .replace("count(*)", "sum(ChargeCount)")
            .replace("focus_data_table", "charges_by_day");
        let days = self.ask(lake, &["query", &days])?;
        let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        ensure!(lines(&days) == lines(found), "charges and days differ: {found}\nand\n{days}");
        // A report is refused where its lines don't add up to the sums in the log.
        self.ask(lake, &["report", "--by", "month"]).map(drop)
    }

    fn serve(&self, number: u64, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let config = self.folder.join("bursar.toml");
        let tables = SOURCES.map(|source| {
            let at = self.address(source);
            format!("[cost.source.{source}]\npath = \"{}\"\nevery = \"1s\"\n", at.display())
        });
        std::fs::write(&config, tables.concat())?;
        let port = shell::free_port()?;
        let mut serve = Command::new(&self.stage.bursar);
        contract::clear_settings(&mut serve);
        self.keys(&mut serve)
            .arg("serve")
            .env("BURSAR_CONFIG", config)
            .env("BURSAR_LISTEN", format!("127.0.0.1:{port}"))
            .env("BURSAR_DATABASE_URL", format!("sqlite://{}/bursar.db", self.folder.display()));
        let server = contract::start(serve, &self.folder, &format!("serve-{number}"), port)?;
        let done = work(self);
        // As it goes out of scope it is killed, at whatever it does.
        drop(server);
        done
    }

    /// Waits until a lake says what another one says.
    fn wait_for(&self, lake: &Path, other: &Path) -> Result<()> {
        let wanted = self.ask(other, &["query", MONTHS])?;
        let started = Instant::now();
        while self.ask(lake, &["query", MONTHS])? != wanted {
            let late = started.elapsed() > INGESTED_MAX;
            let log = || shell::tail(&self.folder.join("serve-0.log"));
            ensure!(!late, "the service has not taken everything in; a log ends:\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}
