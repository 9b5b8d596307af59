//! Services that tests need: Postgres, and Redis.
//!
//! Owns: finding one that lets us in, or a private cluster under the target folder. Never touches a database
//! that it did not create. Invariant: what a run started, the run stops, unless `services up` asked for it.

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use anyhow::{Context, Result, bail};

use crate::{shell, workspace};

pub(crate) mod redis;

/// What to do with the services.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Start what is missing and leave it running.
    Up,
    /// Stop what `up` started.
    Down,
    /// Say what runs.
    Status,
}

/// Set by people who have a Postgres of their own; used as it is.
pub(crate) const URL_VARIABLE: &str = "BURSAR_TEST_POSTGRES_URL";
const LOCAL: &str = "postgres://postgres@127.0.0.1:5432";

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Up => {
            let postgres = Postgres::find_or_start()?;
            println!("postgres: {} ({})", postgres.url, postgres.origin);
            // Left running on purpose: `down` stops it.
            std::mem::forget(postgres);
        }
        Command::Down => match Cluster::running()? {
            Some(cluster) => {
                cluster.stop()?;
                println!("postgres: stopped");
            }
            None => println!("postgres: nothing of ours runs"),
        },
        Command::Status => match Postgres::find()? {
            Some(postgres) => println!("postgres: {} ({})", postgres.url, postgres.origin),
            None => println!("postgres: none; `cargo xtask services up` starts one"),
        },
    }
    Ok(())
}

/// Tests of TLS start a server of their own, so its programs have to be here, whosesoever server the rest uses.
pub(crate) fn install_server() -> Result<()> {
    if binaries().is_none() {
        shell::apt_install(&["postgresql"])?;
    }
    Ok(())
}

/// A Postgres server that accepts us, without a database in its URL unless the user's variable named one.
pub(crate) struct Postgres {
    url: String,
    origin: &'static str,
    /// The cluster this value started and stops when dropped.
    started: Option<Cluster>,
}

impl Postgres {
    /// The first that answers: the user's own, our running cluster, one on the usual port.
    fn find() -> Result<Option<Self>> {
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            if !answers(&url) {
                bail!("{URL_VARIABLE} is set but nothing answers there: start it or unset it");
            }
            return Ok(Some(Self { url, origin: "from the environment", started: None }));
        }
        if let Some(cluster) = Cluster::running()? {
            let url = cluster.url()?;
            return Ok(Some(Self { url, origin: "private cluster", started: None }));
        }
        let local = LOCAL.to_owned();
        Ok(answers(&local).then_some(Self { url: local, origin: "local, trusted", started: None }))
    }

    /// As `find`; starts a private cluster when there is none, installing Postgres when it is missing.
    pub(crate) fn find_or_start() -> Result<Self> {
        if shell::which("psql").is_none() {
            shell::apt_install(&["postgresql"])?;
        }
        if let Some(found) = Self::find()? {
            return Ok(found);
        }
        install_server()?;
        let cluster = Cluster::start()?;
        Ok(Self { url: cluster.url()?, origin: "private cluster", started: Some(cluster) })
    }

    /// A fresh database that is dropped with the value returned.
    pub(crate) fn database(&self, purpose: &str) -> Result<Database<'_>> {
        let name = format!("bursar_{purpose}_{}", std::process::id());
        self.query(&format!("drop database if exists {name} with (force)"))?;
        self.query(&format!("create database {name}"))?;
        Ok(Database { server: self, name })
    }

    fn query(&self, sql: &str) -> Result<()> {
        shell::output(&mut psql(&self.url, sql)).map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.started.take().map(|cluster| cluster.stop()) {
            eprintln!("failed to stop the private Postgres: {error:#}");
        }
    }
}

/// A database of our own on a server that may not be.
pub(crate) struct Database<'server> {
    server: &'server Postgres,
    name: String,
}

impl Database<'_> {
    /// The server's URL with this database in place of any other; parameters stay.
    pub(crate) fn url(&self) -> String {
        with_database(&self.server.url, &self.name)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let sql = format!("drop database if exists {} with (force)", self.name);
        if let Err(error) = self.server.query(&sql) {
            eprintln!("failed to drop {}: {error:#}", self.name);
        }
    }
}

fn with_database(url: &str, name: &str) -> String {
    let (head, parameters) = url.split_once('?').map_or((url, None), |(a, b)| (a, Some(b)));
    let authority = head.find("://").map_or(0, |at| at + 3);
    let end = head[authority..].find('/').map_or(head.len(), |at| authority + at);
    let parameters = parameters.map(|text| format!("?{text}")).unwrap_or_default();
    format!("{}/{name}{parameters}", &head[..end])
}

fn psql(url: &str, sql: &str) -> Program {
    let mut command = Program::new("psql");
    // Without a database in the URL, psql asks for one named after the user; `postgres` always exists.
    let has_database = url
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split('?').next().unwrap_or("").contains('/'));
    let url = if has_database { url.to_owned() } else { with_database(url, "postgres") };
    command
        .args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align"])
        .args(["--set", "ON_ERROR_STOP=1", "--dbname", &url, "--command", sql])
        .env("PGCONNECT_TIMEOUT", "5");
    command
}

fn answers(url: &str) -> bool {
    shell::succeeds(&mut psql(url, "select 1"))
}

/// The folder of `initdb` and `pg_ctl`: Debian keeps them off `PATH`.
fn binaries() -> Option<PathBuf> {
    if let Some(found) = shell::which("pg_ctl") {
        return found.parent().map(Path::to_path_buf);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<_> =
        versions.flatten().map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("pg_ctl").is_file());
    folders.sort();
    folders.pop()
}

/// A private cluster: trust on loopback, its own port, fsync on, because tests kill servers to see what lasts.
struct Cluster {
    folder: PathBuf,
}

impl Cluster {
    fn running() -> Result<Option<Self>> {
        for folder in [home()?, fallback_home()] {
            let cluster = Self { folder };
            if cluster.url().is_ok_and(|url| answers(&url)) {
                return Ok(Some(cluster));
            }
        }
        Ok(None)
    }

    fn start() -> Result<Self> {
        let mut folder = home()?;
        prepare(&folder)?;
        // Postgres refuses to run as root, and its user may not reach a target folder under root's home.
        if !shell::succeeds(as_server(Path::new("/usr/bin/test")).arg("-w").arg(&folder)) {
            folder = fallback_home();
            prepare(&folder)?;
        }
        let cluster = Self { folder };
        let data = cluster.folder.join("data");
        let binaries = binaries().context("no initdb and pg_ctl found: install postgresql")?;
        if !data.join("PG_VERSION").is_file() {
            let mut initdb = as_server(&binaries.join("initdb"));
            initdb.arg("--pgdata").arg(&data);
            initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
            shell::output(&mut initdb)?;
        }
        let port = shell::free_port()?;
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
             -c max_connections=200"
        );
        let log = cluster.folder.join("log");
        let mut start = as_server(&binaries.join("pg_ctl"));
        start.arg("--pgdata").arg(&data).arg("--log").arg(&log).args(["--wait", "start"]);
        start.args(["--options", &options]);
        // Not `output`: the server would inherit the pipe and hold it open for ever.
        if !shell::succeeds(&mut start) {
            bail!("failed to start Postgres, its log ends:\n{}", shell::tail(&log));
        }
        Ok(cluster)
    }

    /// From the port that the server itself wrote down.
    fn url(&self) -> Result<String> {
        let file = self.folder.join("data").join("postmaster.pid");
        let text = std::fs::read_to_string(&file)?;
        let port = text.lines().nth(3).context("no port in postmaster.pid")?;
        Ok(format!("postgres://postgres@127.0.0.1:{}", port.trim()))
    }

    fn stop(&self) -> Result<()> {
        let binaries = binaries().context("no pg_ctl found: install postgresql")?;
        let mut stop = as_server(&binaries.join("pg_ctl"));
        stop.arg("--pgdata").arg(self.folder.join("data")).args(["--wait", "--mode=fast", "stop"]);
        shell::output(&mut stop).map(drop)
    }
}

fn home() -> Result<PathBuf> {
    Ok(workspace::target()?.join("services").join("postgres"))
}

fn fallback_home() -> PathBuf {
    std::env::temp_dir().join("bursar-services").join("postgres")
}

fn prepare(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    if shell::is_root() {
        shell::output(Program::new("chown").arg("postgres").arg(folder))?;
    }
    Ok(())
}

/// The program under the user that may run a server: ourselves, or `postgres` when we are root.
fn as_server(program: &Path) -> Program {
    let mut command = match shell::is_root() {
        true => {
            let mut runuser = Program::new("runuser");
            runuser.args(["-u", "postgres", "--"]).arg(program);
            runuser
        }
        false => Program::new(program),
    };
    command.current_dir("/");
    command
}

#[cfg(test)]
mod tests;
