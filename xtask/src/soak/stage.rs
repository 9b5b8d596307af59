//! What a soak runs: a vendor, three gateways, a metered service, Redis, and the ways between them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::outage::{Way, by_way};
use super::watch::Watched;
use crate::workspace::{self, Process};
use crate::{contract, services, shell, upstream};

/// The limits that are passed in a soak: short, so that each is met often.
const LIMITS: &str =
    "[http]\nhead_timeout = \"5s\"\n[gateway]\nbody_timeout = \"5s\"\ndrain = \"5s\"\n";
const UPSTREAM_LIMITS: &str = "timeout = \"5s\"\nidle_timeout = \"3s\"\nattempts = 2\n";
/// A tenant of the metered service with room, and one without.
pub(super) const RICH: &str = "rich";
pub(super) const POOR: &str = "poor";

/// Bursar with a gateway.
pub(super) struct Gateway {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Where its ledger is, by the way that is never cut.
    pub(super) database: String,
    /// Whether its store goes away.
    pub(super) is_cut: bool,
    /// Whether it lets calls through all the same.
    pub(super) is_open: bool,
    process: Process,
}

pub(super) struct Stage {
    pub(super) vendor: SocketAddr,
    pub(super) gateways: Vec<Gateway>,
    pub(super) service: SocketAddr,
    pub(super) way: Way,
    folder: PathBuf,
    redis_port: u16,
    redis: Option<Process>,
    service_process: Process,
    _vendor_process: Process,
}

impl Stage {
    pub(super) async fn set(folder: &Path, postgres: &str) -> Result<Self> {
        let vendor = free()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["upstream", "--listen", &vendor.to_string()]);
        let vendor_process = contract::start(command, folder, "vendor", vendor.port())?;
        let redis_port = shell::free_port()?;
        let redis = services::redis::start(redis_port)?;
        let (_, target) = by_way(postgres, vendor)?;
        let way = Way::to(target).await?;
        let (far, _) = by_way(postgres, way.address)?;
        let sqlite = format!("sqlite://{}", folder.join("soak.db").display());
        let kinds = [
            ("SQLite", sqlite.clone(), sqlite, false, false),
            ("Postgres, closed", far.clone(), postgres.to_owned(), true, false),
            ("Postgres, open", far, postgres.to_owned(), true, true),
        ];
        let mut gateways = Vec::new();
        for (name, reached_by, database, is_cut, is_open) in kinds {
            let (address, process) = gateway(folder, gateways.len(), vendor, &reached_by, is_open)?;
            gateways.push(Gateway { name, address, database, is_cut, is_open, process });
        }
        let first = gateways.first().context("no gateway")?;
        let service = free()?;
        let mut command = Command::new(example()?);
        command
            .env("SHARED_LISTEN", service.to_string())
            .env("SHARED_BURSAR", format!("http://{}", first.address))
            .env("SHARED_REDIS", format!("redis://127.0.0.1:{redis_port}"))
            .env("SHARED_SPOOL", folder.join("usage.jsonl"));
        let service_process = contract::start(command, folder, "service", service.port())?;
        let stage = Self {
            vendor,
            gateways,
            service,
            way,
            folder: folder.to_owned(),
            redis_port,
            redis: Some(redis),
            service_process,
            _vendor_process: vendor_process,
        };
        stage.budgets()?;
        Ok(stage)
    }

    fn budgets(&self) -> Result<()> {
        let mut tenants: Vec<_> =
            (0..16).map(|number| (format!("soak-{number}"), "1000000")).collect();
        tenants.extend([(RICH.to_owned(), "1000000"), (POOR.to_owned(), "0.005")]);
        for (tenant, limit) in tenants {
            for gateway in &self.gateways {
                shell::output(
                    self.bursar(&gateway.database)?.args(["budget", "set", &tenant, limit]),
                )?;
            }
        }
        Ok(())
    }

    /// The command line on a gateway's database.
    pub(super) fn bursar(&self, database: &str) -> Result<Command> {
        let mut command = Command::new(binary()?);
        contract::clear_settings(&mut command);
        command.current_dir(&self.folder).env("BURSAR_DATABASE_URL", database);
        Ok(command)
    }

    /// Redis is gone from now on.
    pub(super) fn kill_redis(&mut self) {
        drop(self.redis.take());
    }

    pub(super) fn start_redis(&mut self) -> Result<()> {
        self.redis = Some(services::redis::start(self.redis_port)?);
        Ok(())
    }

    /// Those whose lines have to be flat.
    pub(super) fn watched(&self) -> Vec<Watched> {
        let gateway = |gateway: &Gateway| Watched {
            name: gateway.name,
            process: gateway.process.0.id(),
            gateway: Some(gateway.address),
        };
        let mut all: Vec<_> = self.gateways.iter().map(gateway).collect();
        let process = self.service_process.0.id();
        all.push(Watched { name: "meter", process, gateway: None });
        all
    }

    /// Tells everybody to end, which they have to do well.
    pub(super) fn end(&mut self) -> Result<()> {
        self.service_process.stop("INT").context("the metered service")?;
        for gateway in &mut self.gateways {
            gateway.process.stop("TERM").context(gateway.name)?;
        }
        Ok(())
    }
}

fn gateway(
    folder: &Path,
    number: usize,
    vendor: SocketAddr,
    database: &str,
    is_open: bool,
) -> Result<(SocketAddr, Process)> {
    let address = free()?;
    let fail = if is_open { "open" } else { "closed" };
    let upstream = |api: &str, path: &str, models: &str| {
        format!(
            "[upstream.{api}]\napi = {api:?}\nurl = \"http://{vendor}{path}\"\nkey = {:?}\n\
             models = {models:?}\n{UPSTREAM_LIMITS}",
            upstream::KEY
        )
    };
    let text = format!(
        "listen = \"{address}\"\ndata_dir = {:?}\n{LIMITS}fail = {fail:?}\n{}{}",
        folder.join(format!("data-{number}")),
        upstream("anthropic", "", "claude-*"),
        upstream("openai", "/v1", "*"),
    );
    let config = folder.join(format!("gateway-{number}.toml"));
    std::fs::write(&config, text)?;
    let mut command = Command::new(binary()?);
    contract::clear_settings(&mut command);
    command.arg("--config").arg(config).arg("serve");
    command.env("BURSAR_DATABASE_URL", database).env("BURSAR_LOG", "error");
    let process = contract::start(command, folder, &format!("gateway-{number}"), address.port())?;
    Ok((address, process))
}

/// Starts a server that listens there.
fn free() -> Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], shell::free_port()?)))
}

fn binary() -> Result<PathBuf> {
    Ok(workspace::target()?.join("release").join("bursar"))
}

/// The service of `examples/shared`.
fn example() -> Result<PathBuf> {
    Ok(workspace::target()?.join("release").join("examples").join("shared"))
}

/// Builds what is run.
pub(super) fn build() -> Result<()> {
    shell::run(workspace::cargo().args(["build", "--release", "--package", "bursar"]))?;
    let example = ["--example", "shared", "--package", "meter", "--features", "redis"];
    shell::run(workspace::cargo().args(["build", "--release"]).args(example))
}
