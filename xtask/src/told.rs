//! Who is told when a budget runs out: from a call through the gateway to mails and pages, on real parts.
//!
//! Owns: the programs that are needed, their order, and when Bursar is killed. Prometheus loads the rules
//! and Alertmanager the routes that are shipped in `deploy`; mail and webhooks arrive at servers of ours.
//! What is called and what has to arrive is in `xtask/told`.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::workspace::{Folder, Process};
use crate::{contract, cost, panels, services, shell, suite, upstream, workspace};

/// Of which program.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// A program that was built elsewhere.
    #[arg(long)]
    bursar: Option<PathBuf>,
}

/// Only this run's servers know them.
const ADMIN_TOKEN: &str = "told-test-admin-token";
const ALERT_TOKEN: &str = "told-test-alertmanager-token";
const HOOK_SECRET: &str = "told-test-secret-of-the-webhook";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let python = cost::environment(&scripts(), "venv-told")?;
    let bursar = suite::program(arguments.bursar.as_deref())?;
    for package in ["prometheus", "prometheus-alertmanager"] {
        if shell::which(package).is_none() {
            shell::apt_install(&[package])?;
        }
    }
    let postgres = services::Postgres::find_or_start()?;
    let database = postgres.database("told")?;
    let folder = Folder::fresh("told")?;
    let ports = Ports::free()?;
    let stage = Stage {
        bursar,
        python,
        folder: &folder.0,
        database: database.url(),
        ports,
        runs: 0.into(),
    };
    let verdict = stage.play();
    verdict.with_context(|| stage.logs())
}

fn scripts() -> PathBuf {
    workspace::root().join("xtask").join("told")
}

/// Where everything listens.
struct Ports {
    bursar: u16,
    vendor: u16,
    sinks: u16,
    mail: u16,
    prometheus: u16,
    alertmanager: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        Ok(Self {
            bursar: shell::free_port()?,
            vendor: shell::free_port()?,
            sinks: shell::free_port()?,
            mail: shell::free_port()?,
            prometheus: shell::free_port()?,
            alertmanager: shell::free_port()?,
        })
    }
}

/// Where it all happens.
struct Stage<'a> {
    bursar: PathBuf,
    python: PathBuf,
    folder: &'a Path,
    database: String,
    ports: Ports,
    /// How often Bursar was started.
    runs: Cell<u32>,
}

impl Stage<'_> {
    /// All of it. Bursar is killed by SIGKILL where its process is dropped.
    fn play(&self) -> Result<()> {
        self.describe()?;
        let clock = panels::moved_clock(self.folder)?;
        let _sinks =
            contract::start(self.script("sinks.py"), self.folder, "sinks", self.ports.sinks)?;
        shell::run(&mut self.script("deployed.py"))?;
        let _vendor = self.vendor()?;
        let first = self.serve(None)?;
        let _routing = self.alertmanager()?;
        let _watching = self.prometheus()?;
        for step in ["crossed", "outage", "pending"] {
            self.step(step)?;
        }
        drop(first);
        let second = self.serve(Some(&clock))?;
        self.step("survived")?;
        drop(second);
        self.step("monday")?;
        let _third = self.serve(Some(&clock))?;
        self.step("digest")?;
        self.step("turned")
    }

    /// What the scripts have to know.
    fn describe(&self) -> Result<()> {
        let Ports { bursar, vendor, sinks, mail, prometheus, alertmanager } = self.ports;
        let told = json!({
            "folder": self.folder,
            "deploy": workspace::root().join("deploy"),
            "ports": { "bursar": bursar, "vendor": vendor, "sinks": sinks, "mail": mail,
                "prometheus": prometheus, "alertmanager": alertmanager },
            "secrets": { "admin": ADMIN_TOKEN, "alertmanager": ALERT_TOKEN, "hook": HOOK_SECRET,
                "vendor": upstream::KEY, "mail": {
                    "bursar": "password of Bursar", "bursar@example.com": "password of alerts" } },
        });
        std::fs::write(self.description(), told.to_string())?;
        std::fs::write(self.folder.join("clock"), "+0\n").context("failed to set a clock")
    }

    fn description(&self) -> PathBuf {
        self.folder.join("stage.json")
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        // No caches beside the sources.
        command.arg("-B").arg(scripts().join(name)).arg(self.description());
        command
    }

    fn step(&self, name: &str) -> Result<()> {
        shell::run(self.script("flow.py").arg(name))
    }

    fn vendor(&self) -> Result<Process> {
        let port = self.ports.vendor;
        let mut upstream = Command::new(std::env::current_exe()?);
        upstream.args(["upstream", "--listen", &format!("127.0.0.1:{port}")]);
        contract::start(upstream, self.folder, "vendor", port)
    }

    /// Bursar, on a clock that is moved where there is a library that does it.
    fn serve(&self, clock: Option<&Path>) -> Result<Process> {
        let mut serve = Command::new(&self.bursar);
        contract::clear_settings(&mut serve);
        serve.env("BURSAR_DATABASE_URL", &self.database).arg("serve");
        serve.arg("--config").arg(self.folder.join("bursar.toml"));
        if let Some(clock) = clock {
            serve.env("LD_PRELOAD", clock).env("CLOCK_OFFSET_FILE", self.folder.join("clock"));
        }
        self.runs.set(self.runs.get() + 1);
        contract::start(serve, self.folder, &self.name(), self.ports.bursar)
    }

    /// Of Bursar's log: each run has one.
    fn name(&self) -> String {
        format!("bursar-{}", self.runs.get())
    }

    fn prometheus(&self) -> Result<Process> {
        let port = self.ports.prometheus;
        let mut prometheus = Command::new("prometheus");
        prometheus
            .arg(format!("--config.file={}", self.folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.folder.join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        contract::start(prometheus, self.folder, "prometheus", port)
    }

    /// It trusts the mail server's authority as it trusts the system's.
    fn alertmanager(&self) -> Result<Process> {
        let port = self.ports.alertmanager;
        let mut alertmanager = Command::new("prometheus-alertmanager");
        alertmanager
            .env("SSL_CERT_FILE", self.folder.join("authority.pem"))
            .arg(format!("--config.file={}", self.folder.join("alertmanager.yaml").display()))
            .arg(format!("--storage.path={}", self.folder.join("alertmanager").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=");
        contract::start(alertmanager, self.folder, "alertmanager", port)
    }

    /// The ends of all logs.
    fn logs(&self) -> String {
        let names = [self.name(), "alertmanager".into(), "prometheus".into(), "sinks".into()];
        let end = |name: &String| {
            let log = self.folder.join(format!("{name}.log"));
            format!("the log of {name} ends:\n{}\n", shell::tail(&log))
        };
        names.iter().map(end).collect()
    }
}
