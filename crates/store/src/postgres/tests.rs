//! What other programs see and do in the database, and what replicas do to each other.
//!
//! Each test has a database of its own on the server that `BURSAR_TEST_POSTGRES_URL` names.

mod contract;
mod deliveries;
mod locks;
mod replicas;
mod schema;
mod server;
mod tls;

use std::{env, sync::Arc};

use ::budget::{
    Escrow, Key, Outcome, Quote, Reserve, Settle, Store,
    conformance::{self, Hands},
};
use focus::{Attribution, ModelName, TenantId};
use jiff::Timestamp;
use money::{Money, ServiceTier, TokenUsage};
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use super::{Postgres, migrations};
use crate::Options;

/// A database that is dropped when its test ends well; one that fails leaves it to be looked at.
struct Database {
    server: String,
    name: String,
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(async move {
        // Ends when the client goes, or when a test has ended it.
        let _ = connection.await;
    });
    client
}

impl Database {
    async fn make() -> Self {
        let server = env::var("BURSAR_TEST_POSTGRES_URL")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432".to_owned());
        // The database that the URL may name is left alone.
        let host = server.find("://").map_or(0, |at| at + 3);
        let end = server[host..].find('/').map_or(server.len(), |at| host + at);
        let server = server[..end].to_owned();
        let name = format!("bursar_test_{}", Uuid::new_v4().simple());
        let sql = format!("create database {name} template template0 encoding 'UTF8'");
        let database = Self { server, name };
        connect(&database.server_url()).await.batch_execute(&sql).await.unwrap();
        database
    }

    fn server_url(&self) -> String {
        format!("{}/postgres", self.server.trim_end_matches('/'))
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server.trim_end_matches('/'), self.name)
    }

    async fn store(&self, options: Options) -> Postgres {
        Postgres::connect(&self.url(), options).await.unwrap()
    }

    async fn hand(&self) -> Client {
        connect(&self.url()).await
    }

    async fn drop(self) {
        let sql = format!("drop database {} with (force)", self.name);
        connect(&self.server_url()).await.batch_execute(&sql).await.unwrap();
    }
}

/// Options whose clock stands at an instant.
fn standing(hands: &Hands) -> Options {
    let hands = hands.clone();
    Options { clock: Arc::new(move || hands.now()), ..Options::default() }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn call(tenant: &str) -> Attribution {
    Attribution {
        tenant: TenantId::parse(tenant).unwrap(),
        model: ModelName::parse("claude-3-5-sonnet-20241022").unwrap(),
        user: None,
        report_type: None,
    }
}

fn usd(text: &str) -> Money {
    text.parse().unwrap()
}

/// 1,000 input and 500 output tokens.
fn quote(amount: &str) -> Quote {
    let usage = TokenUsage { input: 1_000, output: 500, ..TokenUsage::default() };
    Quote {
        usage,
        tier: ServiceTier::Standard,
        amount: Some(usd(amount)),
        given: false,
        estimated: false,
    }
}

fn reserve(call: &Attribution, amount: &str) -> Reserve {
    let (key, estimate) = (Uuid::new_v4(), quote(amount));
    Reserve { key, call: call.clone(), estimate, timeout: None, covered: false, fresh: false }
}

fn settle(key: Key, amount: &str) -> Settle {
    Settle { key, call: None, actual: quote(amount) }
}

/// Charges a call that was not reserved.
async fn charge(store: &Postgres, call: &Attribution, amount: &str) -> Outcome {
    let settle = Settle { key: Uuid::new_v4(), call: Some(call.clone()), actual: quote(amount) };
    store.settle(settle).await.unwrap()
}

async fn one(hand: &Client, sql: &str) -> Row {
    hand.query_one(sql, &[]).await.unwrap()
}

async fn text(hand: &Client, sql: &str) -> String {
    one(hand, &format!("select ({sql})::text")).await.get(0)
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test]
async fn postgres_conforms() {
    let databases = std::sync::Mutex::new(Vec::new());
    conformance::run(|hands| {
        let databases = &databases;
        async move {
            let database = Database::make().await;
            let store = database.store(standing(&hands)).await;
            databases.lock().unwrap().push(database);
            Arc::new(store) as Arc<dyn Store>
        }
    })
    .await;
    for database in databases.into_inner().unwrap() {
        database.drop().await;
    }
}
