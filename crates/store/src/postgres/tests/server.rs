//! A Postgres server of a test's own, which speaks TLS and takes nothing else.

use std::{
    fs, net,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Lets `postgres` in as it is and everybody else by password, and nobody without TLS.
const ACCESS: &str = "
hostssl all postgres localhost trust
hostssl all all localhost scram-sha-256
";

const SETTINGS: &str = "
listen_addresses = 'localhost'
unix_socket_directories = ''
ssl = on
fsync = off
shared_buffers = 16MB
";

/// Stopped, with all its files gone, when it is dropped.
pub(super) struct Server {
    folder: tempfile::TempDir,
    owner: Option<(u32, u32)>,
    port: u16,
}

impl Server {
    /// Starts one whose certificate is for `localhost` alone.
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Postgres refuses to run as root.
        let owner = (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])));
        let port = net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, owner, port };
        server.give(server.folder.path());
        let initdb = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"];
        let data = server.data();
        server
            .run(server.program("initdb").args(initdb).args(["--no-sync", "--pgdata"]).arg(&data));
        let trusted = authority("trusted");
        server.write("trusted.pem", &trusted.pem());
        server.write("stranger.pem", &authority("stranger").pem());
        let key = KeyPair::generate().unwrap();
        let named = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = named.signed_by(&key, &trusted).unwrap();
        server.write("data/server.crt", &certificate.pem());
        server.write("data/server.key", &key.serialize_pem());
        server.write("data/pg_hba.conf", ACCESS);
        server.write("data/postgresql.conf", &format!("{SETTINGS}port = {port}\n"));
        // The server would keep a pipe open for as long as it runs, so it gets none.
        let log = server.folder.path().join("log");
        let mut start = server.program("pg_ctl");
        start.args(["--wait", "--silent", "start", "--pgdata"]).arg(&data).arg("--log").arg(&log);
        start.stdout(Stdio::null());
        let started = start.status().unwrap();
        assert!(started.success(), "{}", fs::read_to_string(log).unwrap_or_default());
        server
    }

    /// Its own database, as `postgres`.
    pub(super) fn url(&self, parameters: &str) -> String {
        format!("postgres://postgres@localhost:{}/postgres?{parameters}", self.port)
    }

    /// A file beside the data: `trusted.pem` holds the CA, `stranger.pem` another.
    pub(super) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.give(&path);
    }

    fn give(&self, path: &Path) {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    /// A program of Postgres, under the user who may run it.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(binaries().join(name));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, command: &mut Command) {
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.args(["--wait", "--mode=immediate", "stop", "--pgdata"]).arg(self.data());
        // Not started, or gone already: there is nothing to stop.
        let _ = stop.output();
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What `id` says of a user.
fn id(arguments: &[&str]) -> u32 {
    let said = Command::new("id").args(arguments).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
}

/// The folder of `initdb` and `pg_ctl`: Debian keeps them off `PATH`.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|found| found.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.extend(std::env::split_paths(&path));
    let found = folders.into_iter().rfind(|folder| folder.join("pg_ctl").is_file());
    found.expect("no initdb and pg_ctl: install a Postgres server; `cargo xtask test` does")
}
