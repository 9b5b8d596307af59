//! Deliveries of AWS's and Azure's exports on S3: what the lake says is what the same files say
//! that lie in a folder, restated and all, and a service that is killed while it takes them in
//! shows of each month the old bill or the new one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Stage;
use super::moto::{Moto, Question};
use crate::upstream::mixed;
use crate::{contract, shell};

const BUCKET: &str = "bills";
const SOURCES: [&str; 2] = ["aws", "azure"];
/// Services that are killed.
const KILLS: u64 = 8;
/// Until when a service must have taken everything in.
const INGESTED_MAX: Duration = Duration::from_secs(60);
const QUESTIONS: [Question; 3] = [
    &["report", "--by", "month,service,region"],
    &["report", "--by", "resource", "--basis", "effective"],
    &["query", "select count(*), sum(BilledCost), sum(ListCost) from focus_data_table"],
];
/// A line a month, in the charges and in their sums by day.
const MONTHS: &str = "select BillingPeriodStart, count(*), sum(BilledCost) from focus_data_table \
                      group by 1 order by 1";

struct House<'a> {
    moto: Moto<'a>,
    /// Where deliveries lie as files.
    copies: PathBuf,
    folder: PathBuf,
}

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("delivery")?;
    let moto = Moto::start(stage, &folder)?.with_bucket(BUCKET)?;
    let house = House { moto, copies: folder.join("copies"), folder: folder.clone() };

    let (remote, local) = (folder.join("remote"), folder.join("local"));
    for execution in 1..=2 {
        house.deliver(execution)?;
        for source in SOURCES {
            house.moto.ingest(&remote, source, &house.address(source))?;
            house.moto.ingest(&local, source, &house.copy(source))?;
        }
        house.moto.compare(&remote, &local, &QUESTIONS)?;
    }
    let versions = house.moto.ask(&remote, &["history"])?;
    for source in SOURCES {
        house.moto.ingest(&remote, source, &house.address(source))?;
    }
    ensure!(
        house.moto.ask(&remote, &["history"])? == versions,
        "the same executions changed the lake"
    );
    println!("delivery: two executions of two exports, {} questions: equal", QUESTIONS.len());
    house.killed(&local)
}

impl House<'_> {
    /// Puts an execution of each export into the bucket and into the folder.
    fn deliver(&self, execution: u64) -> Result<()> {
        let seed = self.moto.stage.seed.wrapping_add(execution).to_string();
        let mut deliver = self.moto.stage.script("delivery.py");
        deliver.args([&self.moto.endpoint, BUCKET]).arg(&self.copies);
        shell::run(self.moto.keys(deliver.args([&format!("e{execution}"), &seed])))
    }

    fn address(&self, source: &str) -> PathBuf {
        PathBuf::from(format!("s3://{BUCKET}/out/{source}"))
    }

    fn copy(&self, source: &str) -> PathBuf {
        self.copies.join("out").join(source)
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
            let before = self.moto.ask(&lake, &["query", MONTHS])?;
            self.deliver(number + 3)?;
            for source in SOURCES {
                self.moto.ingest(local, source, &self.copy(source))?;
            }
            let after = self.moto.ask(local, &["query", MONTHS])?;
            let wait = Duration::from_millis(mixed(self.moto.stage.seed ^ number) % 1500);
            self.serve(number, |_| {
                std::thread::sleep(wait);
                Ok(())
            })?;
            let found = self.moto.ask(&lake, &["query", MONTHS])?;
            match (found == before, found == after) {
                (true, _) => olds += 1,
                (_, true) => news += 1,
                _ => both += 1,
            }
            self.whole(&lake, &found)?;
            self.serve(number, |house| house.wait_for(&lake, local))?;
            self.moto.compare(&lake, local, &QUESTIONS)?;
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
        let days = self.moto.ask(lake, &["query", &days])?;
        let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        ensure!(lines(&days) == lines(found), "charges and days differ: {found}\nand\n{days}");
        // A report is refused where its lines don't add up to the sums in the log.
        self.moto.ask(lake, &["report", "--by", "month"]).map(drop)
    }

    fn serve(&self, number: u64, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let config = self.folder.join("bursar.toml");
        let tables = SOURCES.map(|source| {
            let at = self.address(source);
            format!("[cost.source.{source}]\npath = \"{}\"\nevery = \"1s\"\n", at.display())
        });
        std::fs::write(&config, tables.concat())?;
        let port = shell::free_port()?;
        let mut serve = Command::new(&self.moto.stage.bursar);
        contract::clear_settings(&mut serve);
        self.moto
            .keys(&mut serve)
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
        let wanted = self.moto.ask(other, &["query", MONTHS])?;
        let started = Instant::now();
        while self.moto.ask(lake, &["query", MONTHS])? != wanted {
            let late = started.elapsed() > INGESTED_MAX;
            let log = || shell::tail(&self.folder.join("serve-0.log"));
            ensure!(!late, "the service has not taken everything in; a log ends:\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}
