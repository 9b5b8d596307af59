//! Budgets and sizes of buckets from AWS: what moto's say is what Bursar says. Beside them the disks of an embedded
//! ClickHouse.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Stage;
use super::moto::Moto;
use crate::{contract, shell};

/// Name, what it watches, basis, period, limit and thresholds of the budgets that are taken.
const BUDGETS: [[&str; 6]; 3] = [
    ["aws:all of it", "all charges", "effective", "quarter", "1200.5", "80 100"],
    [
        "aws:lambda",
        "RegionId = us-east-1, ServiceName = AWS Lambda",
        "billed",
        "month",
        "1200.5",
        "50 100",
    ],
    ["aws:team", "tag:team = web", "billed", "year", "1200.5", "80 100"],
];
/// What has to be told of those that are not taken, or not quite.
const TOLD: [&str; 5] = [
    "daily: not taken, its period is DAILY",
    "two: not taken, it filters Service by 2 values",
    "usage: not taken, it is of type USAGE",
    "aws:all of it: AWS's leaves out credits",
    "aws:lambda: its notification (forecasted percentage 100",
];
const SIZES: [(&str, &str); 2] = [
    ("aws_s3_bucket_size_bytes{bucket=\"logs\"}", "2000000000512"),
    ("aws_s3_bucket_size_bytes{bucket=\"backups\"}", "4606"),
];
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(stage: &Stage) -> Result<()> {
    let folder = stage.folder("aws")?;
    let moto = Moto::start(stage, &folder)?;
    shell::run(moto.keys(stage.script("aws.py").arg(&moto.endpoint)))?;
    budgets(&moto, &folder)?;
    buckets(&moto, &folder)
}

fn settings<'a>(command: &'a mut Command, folder: &Path, moto: &Moto) -> &'a mut Command {
    moto.keys(command)
        .env("BURSAR_DATA_DIR", folder)
        .env("BURSAR_DATABASE_URL", format!("sqlite://{}", folder.join("bursar.db").display()))
}

fn budgets(moto: &Moto, folder: &Path) -> Result<()> {
    let words = ["budget", "import", "aws", "--output", "csv"];
    let import = || {
        let mut import = moto.stage.cost(&folder.join("lake"), &words);
        let answer = settings(&mut import, folder, moto).output()?;
        let told = String::from_utf8_lossy(&answer.stderr).into_owned();
        ensure!(answer.status.success(), "`budget import aws`: {told}");
        Ok((String::from_utf8(answer.stdout)?, told))
    };
    let (csv, told) = import()?;
    let mut rows: Vec<[String; 6]> = Vec::new();
    for line in csv.lines().skip(1) {
        let fields = fields(line);
        let of = |column: usize| fields.get(column).cloned().unwrap_or_default();
        rows.push([0, 1, 2, 3, 8, 11].map(of));
    }
    rows.sort();
    ensure!(rows == BUDGETS, "taken were {rows:?}");
    for line in TOLD {
        ensure!(told.contains(line), "{line:?} is not told: {told}");
    }
    let again = import()?;
    ensure!(again == (csv, told), "the same budgets again: {again:?}");
    println!("aws: {} budgets taken, {} lines told of others", BUDGETS.len(), TOLD.len());
    Ok(())
}

/// The fields of a line of CSV; a quoted one may hold commas.
fn fields(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let marked = parts.map(|(number, part)| match number % 2 {
        0 => part.replace(',', "\u{1f}"),
        _ => part.to_owned(),
    });
    marked.collect::<String>().split('\u{1f}').map(str::to_owned).collect()
}

fn buckets(moto: &Moto, folder: &Path) -> Result<()> {
    let (port, clickhouse) = (shell::free_port()?, shell::free_port()?);
    let password = folder.join("password");
    std::fs::write(&password, "s3cret\n")?;
    let mut embedded = moto.stage.script("clickhouse.py");
    embedded.args([&clickhouse.to_string(), "watcher", "s3cret"]);
    let _clickhouse = contract::start(embedded, folder, "clickhouse", clickhouse)?;
    let mut serve = Command::new(&moto.stage.bursar);
    contract::clear_settings(&mut serve);
    settings(&mut serve, folder, moto)
        .env("BURSAR_LISTEN", format!("127.0.0.1:{port}"))
        .env("BURSAR_COLLECT_EVERY", "1s")
        .env("BURSAR_COLLECT_S3_BUCKETS", "all")
        .env("BURSAR_COLLECT_CLICKHOUSE_URL", format!("http://127.0.0.1:{clickhouse}"))
        .env("BURSAR_COLLECT_CLICKHOUSE_USER", "watcher")
        .env("BURSAR_COLLECT_CLICKHOUSE_PASSWORD_FILE", &password)
        .arg("serve");
    let _service = contract::start(serve, folder, "bursar", port)?;
    let until = Instant::now() + PATIENCE;
    loop {
        let text = scrape(port)?;
        let has = |(name, size): &(&str, &str)| text.contains(&format!("{name} {size}\n"));
        let disk = |metric: &str| -> Option<f64> {
            let head = format!("{metric}{{disk=\"default\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&head)?.parse().ok())
        };
        let disk = disk("clickhouse_disk_used_bytes").zip(disk("clickhouse_disk_total_bytes"));
        let is_disk = disk.is_some_and(|(used, total)| 0.0 < used && used < total);
        if is_disk && SIZES.iter().all(has) && !text.contains("somebody-elses") {
            println!("aws: sizes of {} buckets and of ClickHouse's disk in /metrics", SIZES.len());
            return Ok(());
        }
        let is_ours = |line: &&str| line.contains("bucket") || line.contains("disk");
        let lines: Vec<_> = text.lines().filter(is_ours).collect();
        let log = shell::tail(&folder.join("bursar.log"));
        ensure!(Instant::now() < until, "no such sizes after {PATIENCE:?}: {lines:?}\n{log}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn scrape(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("no service")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
