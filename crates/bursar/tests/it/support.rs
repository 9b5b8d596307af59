//! Starts servers, talks to them, makes databases.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The shared folder of real data.
pub(crate) fn data() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = env::var_os("BURSAR_TEST_DATA").map_or_else(beside, PathBuf::from);
    assert!(folder.is_dir(), "no folder {}: set BURSAR_TEST_DATA", folder.display());
    folder
}

/// Runs the program to its end.
pub(crate) fn bursar(database: &str, arguments: &[&str]) -> Output {
    let mut command = program(database);
    command.args(arguments).output().expect("bursar runs")
}

/// What a run has printed as JSON; fails when the run has failed.
pub(crate) fn bursar_json(database: &str, arguments: &[&str]) -> Value {
    let output = bursar(database, &[arguments, &["--output", "json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "bursar {arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub(crate) fn program(database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("BURSAR_")) {
        command.env_remove(name);
    }
    command.env("BURSAR_DATABASE_URL", database);
    command.env("BURSAR_LAKE_URL", lake());
    command
}

/// An empty lake for those who do without.
fn lake() -> &'static Path {
    static LAKE: OnceLock<PathBuf> = OnceLock::new();
    LAKE.get_or_init(|| env::temp_dir().join(format!("bursar-empty-lake-{}", std::process::id())))
}

/// A running service; killed when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts on a free port and waits until it is ready.
    pub(crate) fn start(database: &str) -> Self {
        Self::start_at(database, free_address())
    }

    /// Starts on a free port with an admin token and waits until it is ready.
    pub(crate) fn start_locked(database: &str, token: &str) -> Self {
        let mut command = program(database);
        command.env("BURSAR_ADMIN_TOKEN", token);
        Self::spawn(command, free_address())
    }

    /// Starts at an address and waits until it is ready.
    pub(crate) fn start_at(database: &str, address: SocketAddr) -> Self {
        Self::spawn(program(database), address)
    }

    /// Starts with a config file and waits until it is ready.
    pub(crate) fn start_with(database: &str, config: &Path) -> Self {
        let mut command = program(database);
        command.arg("--config").arg(config);
        Self::spawn(command, free_address())
    }

    /// Starts beside a lake of its own.
    pub(crate) fn start_on_lake(database: &str, lake: &Path) -> Self {
        let mut command = program(database);
        command.env("BURSAR_LAKE_URL", lake);
        Self::spawn(command, free_address())
    }

    /// Starts beside a lake of its own, with a config file.
    pub(crate) fn start_on_lake_with(database: &str, lake: &Path, config: &Path) -> Self {
        let mut command = program(database);
        command.env("BURSAR_LAKE_URL", lake).arg("--config").arg(config);
        Self::spawn(command, free_address())
    }

    /// Starts as a command says, but where it listens.
    pub(crate) fn start_as(command: Command) -> Self {
        Self::spawn(command, free_address())
    }

    /// Starts a gateway alone.
    pub(crate) fn start_gateway(database: &str, config: &Path) -> Self {
        let mut command = program(database);
        command.arg("--config").arg(config);
        Self::spawn_as("gateway", command, free_address())
    }

    fn spawn(command: Command, address: SocketAddr) -> Self {
        Self::spawn_as("serve", command, address)
    }

    fn spawn_as(what: &str, mut command: Command, address: SocketAddr) -> Self {
        command.arg(what).env("BURSAR_LISTEN", address.to_string()).env("BURSAR_LOG", "error");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut server = Self { process: process.expect("bursar starts"), address };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let ended = server.process.try_wait().expect("a process");
            assert!(ended.is_none(), "bursar has ended: {ended:?}");
            assert!(Instant::now() < until, "bursar does not listen");
            std::thread::yield_now();
        }
        server
    }

    /// Waits until it answers: what comes next is no part of its start.
    pub(crate) fn answering(self) -> Self {
        let mut client = Client::connect(self.address).expect("a service");
        client.get("/readyz", 200);
        self
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("a process to kill");
        self.process.wait().expect("its end");
    }

    /// SIGTERM; the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        self.process.wait().expect("its end").code()
    }
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("an address")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An HTTP connection that is kept.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// The admin token or a tenant's key, where one is needed.
    pub(crate) secret: String,
    /// Who pays at a gateway, where that is believed.
    pub(crate) tenant: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream: BufReader::new(stream), secret: String::new(), tenant: String::new() })
    }

    /// Sends a request; the status and the body.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<(u16, String)> {
        let tenant = match self.tenant.as_str() {
            "" => String::new(),
            tenant => format!("x-tenant-id: {tenant}\r\n"),
        };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             x-api-key: {}\r\n{tenant}content-length: {}\r\n\r\n{body}",
            self.secret,
            body.len()
        );
        self.stream.get_mut().write_all(text.as_bytes())?;
        let broken = || std::io::Error::other("a broken answer");
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
        let mut length = Some(0);
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            if line == "\r\n" {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse().map_err(|_| broken())?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                length = None;
            }
        }
        let body = match length {
            Some(length) => self.read(length)?,
            None => self.read_chunks()?,
        };
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn read(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a body whose length is told part by part, in hexadecimal digits.
    fn read_chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            body.extend(self.read(length)?);
            self.read(2)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Asks, and expects an answer of this status.
    pub(crate) fn get(&mut self, path: &str, expected: u16) -> String {
        let (status, answer) = self.send("GET", path, "").expect("an answer");
        assert_eq!(status, expected, "{path}: {answer}");
        answer
    }

    /// Asks again and again until the answer is as wanted, which must be soon.
    pub(crate) fn wait_for(&mut self, path: &str, is_wanted: impl Fn(u16, &str) -> bool) {
        // Within a second or so on an idle machine; a busy one gets more.
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let (status, answer) = self.send("GET", path, "").expect("an answer");
            if is_wanted(status, &answer) {
                return;
            }
            assert!(Instant::now() < until, "{path}: after 10 s still {status} {answer}");
            // Asking without a pause would keep the service from what it is asked for.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Posts, and expects an answer of this status.
    pub(crate) fn post(&mut self, path: &str, body: &str, expected: u16) -> String {
        let (status, answer) = self.send("POST", path, body).expect("an answer");
        assert_eq!(status, expected, "{path} {body}: {answer}");
        answer
    }
}

/// A Postgres database of a test's own; dropped with it.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(crate) fn make() -> Self {
        let server = env::var("BURSAR_TEST_POSTGRES_URL")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432".to_owned());
        // Each test makes a database of its own: the one that the URL may name is left alone.
        let host = server.find("://").map_or(0, |at| at + 3);
        let end = server[host..].find('/').map_or(server.len(), |at| host + at);
        let server = server[..end].to_owned();
        let name = format!("bursar_it_{}", uuid::Uuid::new_v4().simple());
        let database = Self { server, name };
        assert!(database.sql(&format!("create database {}", database.name)), "no database made");
        database
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    fn sql(&self, sql: &str) -> bool {
        let url = format!("{}/postgres", self.server);
        let psql = Command::new("psql").args(["--quiet", &url, "--command", sql]).status();
        psql.expect("psql runs").success()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.sql(&format!("drop database if exists {} with (force)", self.name));
    }
}

/// A folder for an SQLite file, and the file's URL.
pub(crate) fn sqlite() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("bursar.db").display());
    (folder, url)
}
