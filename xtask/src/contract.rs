//! The API contract: Schemathesis reads `/openapi.json` of a fresh server, once on each database, and tries to
//! catch it lying.
//!
//! Owns: its pinned version, its seed, its bounds. Fails on any 5xx and on any answer that the document does
//! not describe.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace::Process;
use crate::{shell, suite, workspace};

/// The version whose checks and options we know.
const VERSION: &str = "4.32.5";
/// Fixed, so that a red run is red again.
pub(crate) const SEED: u64 = 20_260_101;
/// Requests per operation and phase, at most.
const EXAMPLES_MAX: &str = "25";
/// A run beyond this hangs or grew; either is a failure.
const RUN_MAX: Duration = Duration::from_secs(480);
const START_MAX: Duration = Duration::from_secs(30);
/// Only this run's server knows it.
const TOKEN: &str = "contract-test-admin-token";

/// Holds the server to its document on a fresh SQLite file and on an empty Postgres database.
pub(crate) fn run(seed: u64, postgres: &str) -> Result<()> {
    let schemathesis = schemathesis()?;
    suite::build()?;
    let folder = workspace::target()?.join("contract").join("sqlite");
    let sqlite = format!("sqlite://{}", folder.join("bursar.db").display());
    hold(&schemathesis, &folder, &sqlite, seed).context("on SQLite")?;
    let folder = workspace::target()?.join("contract").join("postgres");
    hold(&schemathesis, &folder, postgres, seed).context("on Postgres")
}

fn hold(schemathesis: &Path, folder: &Path, database: &str, seed: u64) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).context("failed to clear the last contract run")?;
    }
    std::fs::create_dir_all(folder)?;
    let port = shell::free_port()?;
    let log = folder.join("server.log");
    let mut server = serve(folder, database, port)?;

    let verdict = probe(schemathesis, folder, port, seed);
    // A server that died mid-run shows as refused connections; its log says why.
    if let Some(status) = server.0.try_wait()? {
        bail!(
            "the server ended with {status} during the run, its log ends:\n{}",
            shell::tail(&log)
        );
    }
    verdict
}

fn serve(folder: &Path, database: &str, port: u16) -> Result<Process> {
    let mut command = Command::new(workspace::target()?.join("debug").join("bursar"));
    clear_settings(&mut command);
    command
        .arg("serve")
        .env("BURSAR_LISTEN", format!("127.0.0.1:{port}"))
        .env("BURSAR_DATABASE_URL", database)
        .env("BURSAR_ADMIN_TOKEN", TOKEN);
    start(command, folder, "server", port)
}

/// Starts a server in a folder, with its log there under this name, and waits until its port accepts.
pub(crate) fn start(mut command: Command, folder: &Path, name: &str, port: u16) -> Result<Process> {
    let log = folder.join(format!("{name}.log"));
    command
        .current_dir(folder)
        // What Bursar makes beside its database stays in the folder, too.
        .env("BURSAR_LAKE_URL", folder.join("lake"))
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?);
    let child =
        command.spawn().with_context(|| format!("failed to start `{}`", shell::shown(&command)))?;
    let mut server = Process(child);
    wait_until_up(&mut server, port, &log)?;
    Ok(server)
}

/// What the shell has set for Bursar must not reach a server under test.
pub(crate) fn clear_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BURSAR_") {
            command.env_remove(name);
        }
    }
}

/// Waits until the port accepts, or says why it never will.
fn wait_until_up(server: &mut Process, port: u16, log: &Path) -> Result<()> {
    let deadline = Instant::now() + START_MAX;
    loop {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        if let Some(status) = server.0.try_wait()? {
            bail!("the server ended with {status}, its log ends:\n{}", shell::tail(log));
        }
        if Instant::now() > deadline {
            bail!(
                "the server did not listen in {START_MAX:?}, its log ends:\n{}",
                shell::tail(log)
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn probe(schemathesis: &Path, folder: &Path, port: u16, seed: u64) -> Result<()> {
    let mut command = Command::new(schemathesis);
    command
        .current_dir(folder)
        .args(["--no-color", "--config-file"])
        .arg(workspace::root().join("xtask").join("schemathesis.toml"))
        .args(["run", &format!("http://127.0.0.1:{port}/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", "all", "--max-examples", EXAMPLES_MAX, "--seed", &seed.to_string()])
        .args(["--request-timeout", "10", "--continue-on-failure"]);
    eprintln!("$ {}", shell::shown(&command));
    let mut child = Process(command.spawn().context("failed to start schemathesis")?);
    let deadline = Instant::now() + RUN_MAX;
    loop {
        if let Some(status) = child.0.try_wait()? {
            if status.success() {
                return Ok(());
            }
            bail!("the API breaks its contract (seed {seed}): see the failures above");
        }
        if Instant::now() > deadline {
            bail!("the contract run took over {RUN_MAX:?}: lower EXAMPLES_MAX or find what hangs");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Schemathesis in a Python environment of our own under the target folder.
fn schemathesis() -> Result<PathBuf> {
    let venv = workspace::target()?.join("venv");
    let program = venv.join("bin").join("schemathesis");
    let installed = shell::output(Command::new(&program).arg("--version")).unwrap_or_default();
    if installed.contains(VERSION) {
        return Ok(program);
    }
    shell::python_environment(&venv)?;
    let mut install = Command::new(venv.join("bin").join("python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    shell::run(install.arg(format!("schemathesis=={VERSION}")))?;
    Ok(program)
}
