//! Storage in `/metrics`: archived WAL of a real Postgres, and disks of a ClickHouse.
//!
//! The ClickHouse is scripted: it answers as its documentation has it, for an embedded one is as
//! large as all of Bursar's libraries together. Buckets are measured by `cargo xtask cost`, against
//! moto.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{Client, Server, program, sqlite};

fn serve(folder: &Path, database: &str, config: &str) -> Server {
    let file = folder.join("bursar.toml");
    fs::write(&file, config).expect("a config file");
    let mut command = program(database);
    command.env("BURSAR_LAKE_URL", folder.join("lake")).arg("--config").arg(file);
    Server::start_as(command)
}

/// The value of a metric without labels, or with just these.
fn value(text: &str, metric: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))?;
    line.parse().ok()
}

/// A Postgres of a test's own, which archives its WAL into a folder.
struct Cluster {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    port: u16,
}

impl Cluster {
    const SEGMENT: usize = 1 << 20;

    fn start() -> Self {
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let cluster = Self { folder, binaries: binaries(), port };
        let home = cluster.folder.path();
        fs::create_dir(home.join("archive")).expect("a folder");
        if is_root() {
            // Postgres refuses to run as root.
            let chown = Command::new("chown").args(["-R", "postgres"]).arg(home).status();
            assert!(chown.expect("chown runs").success());
        }
        let segment = format!("--wal-segsize={}", Self::SEGMENT >> 20);
        let mut make = cluster.command("initdb");
        make.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        make.arg(segment).arg("--no-sync").arg("--pgdata").arg(cluster.data());
        assert!(make.stdout(Stdio::null()).status().expect("initdb runs").success());
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off \
             -c archive_mode=on -c archive_command='cp %p {}/archive/%f'",
            home.display()
        );
        let mut start = cluster.command("pg_ctl");
        start.arg("--pgdata").arg(cluster.data()).arg("--log").arg(home.join("log"));
        start.args(["--wait", "start", "--options", &options]).stdout(Stdio::null());
        assert!(start.status().expect("pg_ctl runs").success(), "Postgres does not start");
        cluster
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn command(&self, name: &str) -> Command {
        let program = self.binaries.join(name);
        let mut command = match is_root() {
            true => {
                let mut runuser = Command::new("runuser");
                runuser.args(["-u", "postgres", "--"]).arg(program);
                runuser
            }
            false => Command::new(program),
        };
        command.current_dir("/");
        command
    }

    fn sql(&self, sql: &str) {
        let mut psql = Command::new("psql");
        psql.args(["--quiet", "--tuples-only", &self.url(), "--command", sql]);
        assert!(psql.stdout(Stdio::null()).status().expect("psql runs").success(), "{sql}");
    }

    fn archived(&self) -> usize {
        fs::read_dir(self.folder.path().join("archive")).expect("a folder").count()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        stop.arg("--pgdata").arg(self.data()).args(["--wait", "--mode=immediate", "stop"]);
        let _ = stop.stdout(Stdio::null()).status();
    }
}

fn is_root() -> bool {
    let answer = Command::new("id").arg("--user").output().expect("id runs");
    answer.stdout.trim_ascii() == b"0"
}

/// Debian keeps `initdb` and `pg_ctl` off the path.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.into_iter().next().expect("initdb: install postgresql")
}

#[test]
fn archived_wal_is_told_to_the_byte() {
    let cluster = Cluster::start();
    let (folder, database) = sqlite();
    let config =
        format!("[collect]\nevery = \"1s\"\n[collect.postgres_wal]\nurl = \"{}\"\n", cluster.url());
    let server = serve(folder.path(), &database, &config);
    let mut client = Client::connect(server.address).expect("a connection");
    let metric = "pg_wal_archive_bytes_total";
    client.wait_for("/metrics", |_, text| value(text, metric) == Some(0.0));

    for _ in 0..3 {
        cluster.sql("create table t (x int); drop table t; select pg_switch_wal()");
    }
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    let wanted = (3 * Cluster::SEGMENT) as f64;
    client.wait_for("/metrics", |_, text| value(text, metric) == Some(wanted));
    assert_eq!(cluster.archived(), 3);
    let success = "bursar_collect_success_timestamp_seconds{collector=\"postgres_wal\"}";
    let text = client.get("/metrics", 200);
    assert!(value(&text, success).is_some_and(|at| at > 1.7e9), "{text}");

    // A server that is gone is told; what it had archived stays.
    drop(cluster);
    let failures = "bursar_collect_failures_total{collector=\"postgres_wal\"}";
    client.wait_for("/metrics", |_, text| value(text, failures).is_some_and(|count| count >= 1.0));
    assert_eq!(value(&client.get("/metrics", 200), metric), Some(wanted));
}

/// What a scripted ClickHouse answers to the right user, a status and a text.
type Script = Arc<Mutex<(u16, String)>>;

/// Starts one; the questions that it was asked come beside.
fn clickhouse(script: &Script) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (script, asked) = (script.clone(), Arc::<Mutex<Vec<String>>>::default());
    let questions = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up ends a connection, no more.
            drop(answer(stream, &script, &questions));
        }
    });
    (address, asked)
}

fn answer(
    stream: TcpStream,
    script: &Script,
    questions: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut keys) = (String::new(), 0, Vec::new());
    while reader.read_line(&mut line)? > 2 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "x-clickhouse-user" | "x-clickhouse-key" => keys.push(value.trim().to_owned()),
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    questions.lock().expect("a lock").push(String::from_utf8_lossy(&body).into_owned());
    let (status, text) = match keys == ["watcher", "s3cret"] {
        true => script.lock().expect("a lock").clone(),
        false => (403, "Code: 516. DB::Exception: watcher: Authentication failed".to_owned()),
    };
    let out = reader.get_mut();
    let length = text.len();
    write!(
        out,
        "HTTP/1.1 {status} .\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
    )
}

#[test]
fn disks_of_a_clickhouse_are_told_by_name() {
    let endless = u64::MAX;
    let disks = format!("default\t1000\t4000\ncold\t250\t8000\ns3\t0\t{endless}\n");
    let script = Script::new(Mutex::new((200, disks)));
    let (address, asked) = clickhouse(&script);
    let (folder, database) = sqlite();
    let password = folder.path().join("password");
    fs::write(&password, "s3cret\n").expect("a file");
    let config = format!(
        "[collect]\nevery = \"1s\"\n[collect.clickhouse]\nurl = \"http://{address}\"\n\
         user = \"watcher\"\npassword_file = {password:?}\n"
    );
    let server = serve(folder.path(), &database, &config);
    let mut client = Client::connect(server.address).expect("a connection");
    client.wait_for("/metrics", |_, text| text.contains("clickhouse_disk_total_bytes{"));
    let text = client.get("/metrics", 200);
    for (metric, wanted) in [
        ("clickhouse_disk_used_bytes{disk=\"default\"}", Some(1_000.0)),
        ("clickhouse_disk_total_bytes{disk=\"default\"}", Some(4_000.0)),
        ("clickhouse_disk_used_bytes{disk=\"cold\"}", Some(250.0)),
        ("clickhouse_disk_total_bytes{disk=\"s3\"}", None),
    ] {
        assert_eq!(value(&text, metric), wanted, "{metric}: {text}");
    }
    let questions = asked.lock().expect("a lock").clone();
    assert!(questions[0].contains("from system.disks"), "{questions:?}");

    // A disk that is gone holds nothing; a failure leaves what is known, and is counted.
    script.lock().expect("a lock").1 = "default\t2000\t4000\n".to_owned();
    client.wait_for("/metrics", |_, text| {
        value(text, "clickhouse_disk_used_bytes{disk=\"cold\"}") == Some(0.0)
    });
    fs::write(&password, "another\n").expect("a file");
    let failures = "bursar_collect_failures_total{collector=\"clickhouse\"}";
    client.wait_for("/metrics", |_, text| value(text, failures).is_some_and(|count| count >= 1.0));
    let text = client.get("/metrics", 200);
    assert_eq!(value(&text, "clickhouse_disk_used_bytes{disk=\"default\"}"), Some(2_000.0));
}
