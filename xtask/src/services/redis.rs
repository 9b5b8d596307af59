//! Redis, for packages that share verdicts through it: one that answers, or one of our own in memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command as Program;
use std::time::Duration;

use anyhow::Result;

use crate::workspace::{self, Process};
use crate::{contract, shell};

/// Set by people who have a Redis of their own; used as it is.
pub(crate) const URL_VARIABLE: &str = "BURSAR_TEST_REDIS_URL";
const USUAL_PORT: u16 = 6379;

pub(crate) struct Redis {
    pub(crate) url: String,
    /// Ours, which ends with this value.
    _started: Option<Process>,
}

impl Redis {
    /// The user's own, one on the usual port, or one that is started, and installed first if it is missing.
    pub(crate) fn find_or_start() -> Result<Self> {
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            return Ok(Self { url, _started: None });
        }
        if answers(USUAL_PORT) {
            return Ok(Self { url: url(USUAL_PORT), _started: None });
        }
        let port = shell::free_port()?;
        let process = start(port)?;
        Ok(Self { url: url(port), _started: Some(process) })
    }
}

/// Tests of a Redis that is killed start one of their own, so its program has to be here.
pub(crate) fn install_server() -> Result<()> {
    if shell::which("redis-server").is_none() {
        shell::apt_install(&["redis-server"])?;
    }
    Ok(())
}

/// A Redis of our own in memory, installed first if it is missing.
pub(crate) fn start(port: u16) -> Result<Process> {
    install_server()?;
    let mut command = Program::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    let folder = workspace::target()?.join("services");
    std::fs::create_dir_all(&folder)?;
    command.args(["--save", "", "--appendonly", "no"]);
    contract::start(command, &folder, &format!("redis-{port}"), port)
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// Whether a Redis lets us in.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer == *b"+PONG")
    };
    ask().unwrap_or(false)
}
