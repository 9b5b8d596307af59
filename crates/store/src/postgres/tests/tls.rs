//! Connections with TLS: what a URL asks for, and a server that takes nothing else.

use ::budget::{LedgerFilter, Records, Upkeep};

use super::{
    super::tls::{Mode, Roots, Target},
    server::Server,
    *,
};
use crate::OpenError;

#[test]
fn a_url_says_how_the_connection_is_protected() {
    let file = |path: &str| Roots::File(path.to_owned());
    for (url, mode, roots) in [
        ("postgres://me@db.internal/x", Mode::VerifyFull, Roots::System),
        ("postgres://me@db.internal/x?sslrootcert=/ca.pem", Mode::VerifyFull, file("/ca.pem")),
        ("postgres://me@10.0.0.7/x?sslmode=disable", Mode::Disable, Roots::System),
        ("postgres://me@db/x?connect_timeout=3&sslmode=prefer", Mode::Prefer, Roots::System),
        ("postgres://me@db/x?sslmode=require&connect_timeout=3", Mode::Require, Roots::System),
        ("postgres://me@db/x?sslrootcert=a%20b&sslmode=require", Mode::VerifyCa, file("a b")),
        ("postgres://me@db/x?sslmode=verify-ca&sslrootcert=c", Mode::VerifyCa, file("c")),
        ("postgres://me@db/x?sslrootcert=system", Mode::VerifyFull, Roots::System),
        ("postgres://me:who?sslmode=disable@db/x", Mode::VerifyFull, Roots::System),
        ("postgres://me@localhost/x", Mode::Prefer, Roots::System),
        ("postgres://me@127.0.0.1:1,[::1]:2/x", Mode::Prefer, Roots::System),
        ("postgres://me@127.0.0.1,db/x", Mode::VerifyFull, Roots::System),
        ("postgres://me@localhost/x?hostaddr=10.0.0.7", Mode::VerifyFull, Roots::System),
        ("postgres://me@localhost/x?sslrootcert=c", Mode::VerifyFull, file("c")),
        ("postgres://me@%2Frun%2Fpostgresql/x?sslmode=require", Mode::Disable, Roots::System),
    ] {
        let found = Target::parse(url).unwrap();
        assert_eq!((found.mode, found.roots), (mode, roots), "{url}");
    }
    for (url, words) in [
        ("postgres://me@db/x?sslmode=allow", "sslmode is disable, prefer, require, verify-ca or"),
        ("postgres://me@db/x?sslmode=prefer&sslrootcert=c", "say verify-full"),
        ("postgres://me@db/x?sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("postgres://me:se@cret@db/x", "an @ in the user or the password has to be written as %40"),
        ("postgres://me:secret@db:port/x", "invalid value for option `port`"),
    ] {
        let error = Target::parse(url).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("cret"), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_takes_tls_alone_is_reached_by_those_who_ask_for_it() {
    let server = Server::start();
    let (ca, stranger) = (server.file("trusted.pem"), server.file("stranger.pem"));
    let missing = server.file("missing.pem");
    let open = async |host: &str, parameters: String| {
        let url = server.url(&parameters).replace("localhost", host);
        Postgres::connect(&url, Options::default()).await
    };
    for (host, parameters) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}")),
        ("localhost", format!("sslrootcert={ca}")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}")),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={ca}")),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("localhost", "sslmode=prefer".to_owned()),
        ("localhost", String::new()),
    ] {
        let store = open(host, parameters.clone()).await;
        store.unwrap_or_else(|error| panic!("{host} {parameters}: {error}")).close().await;
    }
    for (host, parameters, words) in [
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={ca}"),
            "name the server in the database url as its certificate does",
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={stranger}"),
            "certificate is not signed by a CA in",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={stranger}"),
            "certificate is not signed by a CA in",
        ),
        (
            "localhost",
            "sslmode=verify-full".to_owned(),
            "with sslrootcert=PATH in the database url",
        ),
        ("localhost", format!("sslrootcert={missing}"), "missing.pem can't be read"),
    ] {
        let error = open(host, parameters.clone()).await.unwrap_err();
        let told = matches!(&error, OpenError::Tls(said) if said.contains(words));
        assert!(told, "{host} {parameters}: {error}");
    }
    let error = open("localhost", "sslmode=disable".to_owned()).await.unwrap_err().to_string();
    assert!(error.contains("no encryption; the database url says sslmode=disable"), "{error}");
    let target = Target::parse(&server.url(&format!("sslrootcert={ca}"))).unwrap();
    let (hand, connection) = target.config.connect(target.connector().unwrap()).await.unwrap();
    tokio::spawn(connection);
    hand.execute("alter system set ssl = off", &[]).await.unwrap();
    hand.execute("select pg_reload_conf()", &[]).await.unwrap();
    // The server goes over to it when it sees the signal.
    let error = loop {
        if let Err(error) = open("localhost", "sslmode=require".to_owned()).await {
            break error.to_string();
        }
    };
    assert!(error.contains("the server offers none: turn it on there"), "{error}");
}

#[tokio::test]
async fn a_call_is_reserved_and_settled_over_tls_with_a_password() {
    let server = Server::start();
    let ca = server.file("trusted.pem");
    let url = server.url(&format!("sslrootcert={ca}"));
    let target = Target::parse(&url).unwrap();
    let (hand, connection) = target.config.connect(target.connector().unwrap()).await.unwrap();
    let connection = tokio::spawn(connection);
    let role = "create role keeper login password 's3cret/@?'; create database kept owner keeper";
    for statement in role.split(';') {
        hand.execute(statement, &[]).await.unwrap();
    }
    // Bound to the channel: who sits between two TLS connections could not pass the password on.
    let url = url.replace("postgres@", "keeper:s3cret%2F%40%3F@").replace("/postgres?", "/kept?");
    let url = format!("{url}&channel_binding=require");
    let store = Postgres::connect(&url, Options::default()).await.unwrap();
    let request = reserve(&call("acme"), "0.5");
    let key = request.key;
    store.reserve(request).await.unwrap();
    store.settle(settle(key, "0.25")).await.unwrap();
    let entries = store.entries(LedgerFilter::default()).await.unwrap();
    assert_eq!(entries.len(), 2);
    let encrypted = "
        select count(*) > 0 and bool_and(ssl)
        from pg_stat_ssl
        join pg_stat_activity using (pid)
        where application_name = 'bursar'";
    assert_eq!(text(&hand, encrypted).await, "true");
    store.close().await;
    let wrong = url.replace("s3cret", "s3cre7");
    let error = Postgres::connect(&wrong, Options::default()).await.unwrap_err().to_string();
    assert!(error.contains("password authentication failed") && !error.contains("cre7"), "{error}");
    drop(hand);
    connection.await.unwrap().unwrap();
}
