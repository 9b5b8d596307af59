//! The dashboards in `deploy/grafana`: read as Grafana reads them, and every query of theirs asked.
//!
//! Owns: the programs that are needed and their order. Bursar makes three weeks of calls on a clock that
//! is moved, takes bills in, and runs twice on one Postgres; a real Prometheus scrapes both. What is
//! asked and compared is in `xtask/panels`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{Folder, Process};
use crate::{contract, cost, services, shell, suite, upstream, workspace};

/// Which part, and of which program.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// The files alone, without any query.
    #[arg(long)]
    files: bool,
    /// A program that was built elsewhere.
    #[arg(long)]
    bursar: Option<PathBuf>,
}

/// Known to `xtask/panels/api.py`.
const TOKEN: &str = "panels-test-admin-token";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let python = cost::environment(&scripts(), "venv-panels")?;
    let script = |name: &str| {
        let mut command = Command::new(&python);
        // No caches beside the sources.
        command.arg("-B").arg(scripts().join(name));
        command
    };
    shell::run(&mut script("structure.py"))?;
    if arguments.files {
        return Ok(());
    }
    let bursar = suite::program(arguments.bursar.as_deref())?;
    if shell::which("prometheus").is_none() {
        shell::apt_install(&["prometheus"])?;
    }
    let postgres = services::Postgres::find_or_start()?;
    let database = postgres.database("panels")?;
    let role = Role { name: format!("bursar_panels_{}", std::process::id()), url: database.url() };
    let folder = Folder::fresh("panels")?;
    let stage = Stage { bursar, folder: &folder.0, database: database.url() };

    shell::run(script("world.py").arg("bills").arg(folder.0.join("bills")))?;
    stage.past(|port, clock| shell::run(script("world.py").args(["past", port]).arg(clock)))?;
    let (ports, _replicas) = stage.replicas()?;
    let port = ports[0].to_string();
    let prometheus = shell::free_port()?;
    let _scraping = stage.prometheus(prometheus, ports)?;
    shell::run(script("world.py").args(["today", &port]))?;
    role.create()?;
    shell::run(script("tables.py").args([&port, &role.url, &role.name]))?;
    shell::run(script("series.py").args([port, prometheus.to_string()]))
        .with_context(|| format!("Bursar's log ends:\n{}", stage.log()))
}

fn scripts() -> PathBuf {
    workspace::root().join("xtask").join("panels")
}

/// The library that moves the clock of one program. Who has built Bursar has a C compiler.
pub(crate) fn moved_clock(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("clock.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
    shell::output(compile.arg(scripts().join("clock.c")))?;
    Ok(library)
}

/// Where it all happens.
struct Stage<'a> {
    bursar: PathBuf,
    folder: &'a Path,
    database: String,
}

impl Stage<'_> {
    /// A service while its clock is moved by the file that is told.
    fn past(&self, calls: impl FnOnce(&str, &Path) -> Result<()>) -> Result<()> {
        let clock = self.folder.join("clock");
        std::fs::write(&clock, "+0\n")?;
        let port = shell::free_port()?;
        let mut serve = self.serve(port);
        serve.env("LD_PRELOAD", moved_clock(self.folder)?).env("CLOCK_OFFSET_FILE", &clock);
        let _service = contract::start(serve, self.folder, "past", port)?;
        calls(&port.to_string(), &clock).with_context(|| {
            format!("Bursar's log ends:\n{}", shell::tail(&self.folder.join("past.log")))
        })
    }

    /// Two services on one database and one lake, and the vendor behind their gateways.
    fn replicas(&self) -> Result<([u16; 2], [Process; 3])> {
        let vendor = shell::free_port()?;
        let mut upstream = Command::new(std::env::current_exe()?);
        upstream.args(["upstream", "--listen", &format!("127.0.0.1:{vendor}")]);
        let upstream = contract::start(upstream, self.folder, "upstream", vendor)?;
        let config = self.folder.join("bursar.toml");
        std::fs::write(&config, settings(&self.folder.join("bills"), vendor))?;
        let ports = [shell::free_port()?, shell::free_port()?];
        let start = |name: &str, port| {
            let mut serve = self.serve(port);
            serve.arg("--config").arg(&config);
            contract::start(serve, self.folder, name, port)
        };
        let first = start("bursar", ports[0])?;
        for (name, limit, rest) in BUDGETS {
            let mut set = Command::new(&self.bursar);
            contract::clear_settings(&mut set);
            set.env("BURSAR_DATABASE_URL", &self.database).current_dir(self.folder);
            shell::output(set.args(["cost", "budget", "set", name, limit]).args(rest))?;
        }
        Ok((ports, [upstream, first, start("second", ports[1])?]))
    }

    fn serve(&self, port: u16) -> Command {
        let mut serve = Command::new(&self.bursar);
        contract::clear_settings(&mut serve);
        serve
            .env("BURSAR_LISTEN", format!("127.0.0.1:{port}"))
            .env("BURSAR_DATABASE_URL", &self.database)
            .env("BURSAR_DATA_DIR", self.folder.join(format!("data-{port}")))
            .env("BURSAR_ADMIN_TOKEN", TOKEN)
            .arg("serve");
        serve
    }

    fn prometheus(&self, port: u16, replicas: [u16; 2]) -> Result<Process> {
        let config = self.folder.join("prometheus.yml");
        let [a, b] = replicas;
        std::fs::write(self.folder.join("rules.yml"), RULES)?;
        std::fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [rules.yml]\n\
                 scrape_configs:\n\
                 - job_name: bursar\n  \
                   authorization: {{credentials: {TOKEN}}}\n  \
                   static_configs: [{{targets: ['127.0.0.1:{a}', '127.0.0.1:{b}']}}]\n"
            ),
        )?;
        let mut prometheus = Command::new("prometheus");
        prometheus
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", self.folder.join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        contract::start(prometheus, self.folder, "prometheus", port)
    }

    fn log(&self) -> String {
        shell::tail(&self.folder.join("bursar.log"))
    }
}

/// Budgets that don't watch the same charges, one that is past its limit, and one that is no monthly one.
const BUDGETS: [(&str, &str, &[&str]); 4] = [
    ("aws", "900.5", &["--only", "provider=AWS"]),
    ("google", "40", &["--only", "provider=Google Cloud"]),
    ("hetzner", "120", &["--only", "provider=Hetzner", "--currency", "EUR"]),
    ("all", "50000", &["--period", "quarter"]),
];

/// An alert of each kind that the dashboards mark.
const RULES: &str = "\
groups:
- name: alerts
  rules:
  - {alert: BudgetExceeded80Percent, expr: vector(1), labels: {budget: aws}}
  - {alert: BursarGatewayFailOpen, expr: vector(1)}
";

fn settings(bills: &Path, vendor: u16) -> String {
    let source = |name: &str| {
        let path = bills.join(name);
        format!("[cost.source.{name}]\npath = {path:?}\nevery = \"1m\"\nlacking = true\n")
    };
    let sources: String = ["aws", "microsoft", "google", "hetzner"].map(source).concat();
    format!(
        "[gateway]\ntrusted_networks = \"127.0.0.0/8\"\n\n[upstream.anthropic]\napi = \"anthropic\"\n\
         url = \"http://127.0.0.1:{vendor}\"\nkey = \"{}\"\nmodels = \"claude-*\"\n\n{sources}",
        upstream::KEY
    )
}

/// The role of dashboards under a name of this run's own, gone at the end: roles are the whole server's.
struct Role {
    name: String,
    url: String,
}

impl Role {
    fn create(&self) -> Result<()> {
        let file = workspace::root().join("deploy").join("grafana").join("reader.sql");
        let name = format!("reader={}", self.name);
        // Twice: it may be run again at any time.
        for _ in 0..2 {
            let mut create = self.psql();
            create.env("GRAFANA_READER_PASSWORD", "it's a secret");
            shell::output(create.args(["--set", &name, "--file"]).arg(&file))?;
        }
        // The service does so every hour.
        let refresh = "refresh materialized view ai_budget_summary";
        shell::output(self.psql().args(["--command", refresh])).map(drop)
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--no-password", "--quiet", "--set", "ON_ERROR_STOP=1"]);
        psql.args(["--dbname", &self.url]);
        psql
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let name = &self.name;
        let gone = format!(
            "do $$ begin
                if exists (select from pg_roles where rolname = '{name}') then
                    drop owned by {name};
                    drop role {name};
                end if;
            end $$"
        );
        if let Err(error) = shell::output(self.psql().args(["--command", &gone])) {
            eprintln!("failed to drop the role {name}: {error:#}");
        }
    }
}
