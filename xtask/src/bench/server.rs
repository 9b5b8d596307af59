//! A server under load: Bursar or the baseline, started, watched, stopped.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::script::Script;
use super::{Setting, load, machine};
use crate::workspace::Process;
use crate::{contract, shell};

pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    process: Process,
}

impl Server {
    /// The baseline, from this very program.
    pub(super) fn bare(setting: &Setting) -> Result<Self> {
        let address = address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare-server", "--listen", &address.to_string()]);
        Self::start(command, "bare", address, &setting.folder)
    }

    /// Bursar on a new SQLite database.
    pub(super) fn sqlite(setting: &Setting, name: &str) -> Result<Self> {
        let file = setting.folder.join(format!("{name}.db"));
        Self::bursar(setting, name, &format!("sqlite://{}", file.display()))
    }

    /// Bursar on the setting's Postgres database.
    pub(super) fn postgres(setting: &Setting) -> Result<Self> {
        Self::bursar(setting, "postgres", &setting.postgres)
    }

    /// A vendor that answers at once.
    pub(super) fn vendor(setting: &Setting, is_lean: bool) -> Result<Self> {
        let (address, name) = (address()?, if is_lean { "lean-vendor" } else { "vendor" });
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench-vendor", "--listen", &address.to_string()]);
        command.args(is_lean.then_some("--lean"));
        Self::start(command, name, address, &setting.folder)
    }

    /// A proxy that meters nothing.
    pub(super) fn proxy(setting: &Setting, upstream: &Self) -> Result<Self> {
        let address = address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench-proxy", "--listen", &address.to_string()]);
        command.args(["--upstream", &upstream.address.to_string()]);
        Self::start(command, &format!("proxy-{}", upstream.name), address, &setting.folder)
    }

    /// The scripted upstream, with totals alone in its journal.
    pub(super) fn upstream(setting: &Setting) -> Result<Self> {
        let address = address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["upstream", "--totals-only", "--listen", &address.to_string()]);
        Self::start(command, "upstream", address, &setting.folder)
    }

    /// Bursar with a gateway to a vendor, on a new SQLite database.
    pub(super) fn gateway(setting: &Setting, upstream: &Self) -> Result<Self> {
        let name = format!("gateway-{}", upstream.name);
        Self::gateway_on(setting, &name, upstream.address, None, "2s")
    }

    /// Bursar with a gateway that lets calls wait so long, on a Postgres database or a new SQLite one.
    pub(super) fn gateway_on(
        setting: &Setting,
        name: &str,
        upstream: SocketAddr,
        database: Option<&str>,
        wait: &str,
    ) -> Result<Self> {
        let address = address()?;
        let config = setting.folder.join(format!("{name}.toml"));
        let text = format!(
            "data_dir = {:?}\n[budget]\ndefault_limit_usd = 100000000\n[gateway]\nwait = {wait:?}\n\
             [upstream.vendor]\napi = \"openai\"\nurl = \"http://{upstream}/v1\"\nkey = {:?}\n",
            setting.folder.join(name),
            crate::upstream::KEY
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(&setting.binary);
        contract::clear_settings(&mut command);
        command.arg("--config").arg(config).arg("serve");
        command.env("BURSAR_LISTEN", address.to_string()).env("BURSAR_LOG", "warn");
        if let Some(url) = database {
            command.env("BURSAR_DATABASE_URL", url);
        }
        Self::start(command, name, address, &setting.folder)
    }

    fn bursar(setting: &Setting, name: &str, database: &str) -> Result<Self> {
        let address = address()?;
        let mut command = Command::new(&setting.binary);
        contract::clear_settings(&mut command);
        // No token: on loopback the door is open, and no rate limit stands in it.
        command
            .arg("serve")
            .env("BURSAR_LISTEN", address.to_string())
            .env("BURSAR_DATABASE_URL", database);
        Self::start(command, name, address, &setting.folder)
    }

    fn start(command: Command, name: &str, address: SocketAddr, folder: &Path) -> Result<Self> {
        let process = contract::start(command, folder, name, address.port())?;
        Ok(Self { name: name.to_owned(), address, process })
    }

    /// Kills Bursar (SIGKILL) on its SQLite database and starts it again: the new one, and the time
    /// from its start to the first check that it answers.
    pub(super) fn killed_and_restarted(self, setting: &Setting) -> Result<(Self, Duration)> {
        let name = self.name.clone();
        drop(self);
        let started = Instant::now();
        let server = Self::sqlite(setting, &name)?;
        load::first(server.address, Script::Check { tenants: 1 })?;
        Ok((server, started.elapsed()))
    }

    /// Ends it as an operator does, so that it finishes what it has to.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.stop("TERM").with_context(|| self.name.clone())
    }

    pub(super) fn cpu(&self) -> Result<Duration> {
        machine::cpu(self.process.0.id())
    }

    /// Resident memory in MiB.
    pub(super) fn memory(&self) -> Result<f64> {
        machine::memory(self.process.0.id())
    }
}

fn address() -> Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], shell::free_port()?)))
}
