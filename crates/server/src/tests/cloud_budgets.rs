//! Budgets for cloud cost: set, listed, watched, told of.

use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::AtomicU64},
};

use async_trait::async_trait;
use focus::{
    Decimal,
    cost::{
        AsOf, Asked, Costs, CostsError, Dimension, Imported, Question, Report, Table, Value as Cell,
    },
};
use jiff::{ToSpan, civil::date};

use super::*;

/// Bills that say what they are told to.
#[derive(Default)]
struct Bills {
    version: AtomicU64,
    spent: Mutex<BTreeMap<String, Decimal>>,
    asked: AtomicU64,
}

impl Bills {
    /// From now on a service has cost this much in every month.
    fn restate(&self, service: &str, spent: &str) {
        let spent = Decimal::parse(spent).unwrap();
        self.spent.lock().unwrap().insert(service.to_owned(), spent);
        self.version.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Costs for Bills {
    async fn version(&self) -> Result<u64, CostsError> {
        Ok(self.version.load(Ordering::Relaxed))
    }

    async fn imports(&self, _: Option<AsOf>) -> Result<Vec<Imported>, CostsError> {
        Ok(Vec::new())
    }

    async fn report(&self, asked: &Asked) -> Result<Report, CostsError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        assert_eq!(asked.as_of, (version > 0).then_some(AsOf::Version(version)));
        let (_, service) = asked.only.first().expect("a filter");
        if service == "odd" {
            return Err(CostsError::Question("no such column".to_owned()));
        }
        let spent = self.spent.lock().unwrap().get(service).copied().unwrap_or_default();
        let totals = BTreeMap::from([("USD".to_owned(), spent)]);
        let row = |day| vec![Cell::Date(day), Cell::Text("USD".to_owned()), Cell::Decimal(spent)];
        let days = date(2026, 11, 1).series(1.day()).take(11);
        let rows = if asked.by == [Dimension::Day] { days.map(row).collect() } else { Vec::new() };
        Ok(Report { table: Table { version, rows, ..Table::default() }, totals })
    }

    async fn answer(&self, _: &Question) -> Result<Table, CostsError> {
        Err(CostsError::Question("not here".to_owned()))
    }
}

const BUDGETS: &str = "/api/v1/cost/budgets";

async fn admin(service: &Harness, method: &str, path: &str, body: Option<Value>) -> Answer {
    service.ask(method, path, body, TOKEN).await
}

async fn create(service: &Harness, name: &str, watched: &str, limit: &str) -> Answer {
    let limit: Value = serde_json::from_str(limit).unwrap();
    let body = json!({ "name": name, "filter": { "service": watched }, "limit": limit });
    admin(service, "POST", BUDGETS, Some(body)).await
}

/// What the job does again and again; then what was told so far.
async fn watched(service: &Harness) -> Vec<String> {
    crate::cloud_budget::watch(service.front.state().clone()).await;
    let events = admin(service, "GET", "/api/v1/events", None).await.json();
    let text = |event: &Value| match &event["percent"] {
        Value::Null => format!("{} {}", event["cloud"]["month_first"], event["kind"]),
        percent => format!("{} {percent}", event["cloud"]["month_first"]),
    };
    let events = events["events"].as_array().unwrap();
    events.iter().map(|event| text(event).replace('"', "")).collect()
}

#[tokio::test]
async fn restated_bills_fire_no_threshold_twice() {
    let bills = Arc::new(Bills::default());
    let service = Harness::billed(bills.clone());
    assert_eq!(create(&service, "lambda", "AWS Lambda", "10").await.status, StatusCode::CREATED);
    assert_eq!(watched(&service).await, Vec::<String>::new());
    bills.restate("AWS Lambda", "8.000000000000000001");
    assert_eq!(watched(&service).await, ["2026-11 80"]);
    bills.restate("AWS Lambda", "3");
    bills.restate("AWS Lambda", "9");
    assert_eq!(watched(&service).await, ["2026-11 80"]);
    bills.restate("AWS Lambda", "10");
    assert_eq!(watched(&service).await, ["2026-11 80", "2026-11 100"]);
    // A lower limit tells what it has not told; a higher one takes nothing back.
    let path = format!("{BUDGETS}/lambda");
    admin(&service, "PUT", &path, Some(json!({ "limit": 9 }))).await;
    let all = ["2026-11 80", "2026-11 100", "2026-11 exhausted"];
    assert_eq!(watched(&service).await, all);
    admin(&service, "PUT", &path, Some(json!({ "limit": 11 }))).await;
    assert_eq!(watched(&service).await, all);
    // The next month: what comes late for the one before is told, too, but was.
    service.pass(Duration::from_secs(24 * 60 * 60 * 25));
    let next = watched(&service).await;
    assert_eq!(next, [all.as_slice(), &["2026-12 80"]].concat());
}

#[tokio::test]
async fn sums_are_asked_once_for_each_version_of_the_lake() {
    let bills = Arc::new(Bills::default());
    let service = Harness::billed(bills.clone());
    bills.restate("AWS Lambda", "8");
    create(&service, "lambda", "AWS Lambda", "10").await;
    for _ in 0..3 {
        watched(&service).await;
        admin(&service, "GET", BUDGETS, None).await;
    }
    // What was spent, and on which days.
    assert_eq!(bills.asked.load(Ordering::Relaxed), 2);
    bills.restate("AWS Lambda", "9");
    watched(&service).await;
    assert_eq!(bills.asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn what_a_budget_will_have_spent_is_shown_from_its_days() {
    let bills = Arc::new(Bills::default());
    let service = Harness::billed(bills.clone());
    // Eleven days of eight dollars each.
    bills.restate("AWS Lambda", "8");
    create(&service, "lambda", "AWS Lambda", "200").await;
    watched(&service).await;
    let shown = async || {
        let text = admin(&service, "GET", "/metrics", None).await.text;
        let is_end = |line: &&str| line.starts_with("cloud_cost_budget_forecast{");
        text.lines().filter(is_end).map(str::to_owned).collect::<Vec<_>>()
    };
    let labels = r#"{budget="lambda",currency="USD",period="month"}"#;
    assert_eq!(shown().await, [format!("cloud_cost_budget_forecast{labels} 240")]);
    // Of a month without a bill nothing can be told.
    service.pass(Duration::from_secs(24 * 60 * 60 * 25));
    watched(&service).await;
    assert!(shown().await.is_empty());
}

#[tokio::test]
async fn a_list_says_how_budgets_stand_and_why_one_does_not() {
    let bills = Arc::new(Bills::default());
    let service = Harness::billed(bills.clone());
    bills.restate("AWS Lambda", "8.123456789012345678");
    create(&service, "lambda", "AWS Lambda", "1e1").await;
    create(&service, "odd", "odd", "0.01").await;
    let list = admin(&service, "GET", BUDGETS, None).await;
    assert!(list.text.contains(r#""spent":8.123456789012345678"#), "{}", list.text);
    let list = list.json();
    let [lambda, odd] = list["budgets"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(lambda["filter"], json!({ "ServiceName": "AWS Lambda" }));
    assert_eq!(lambda["current"]["percentage_used"], json!(81.23));
    assert_eq!(lambda["current"]["month_last"], "2026-11");
    assert_eq!(odd["unknown_because"], "no such column");
    // The odd one keeps the other from nothing.
    assert_eq!(watched(&service).await, ["2026-11 80"]);
}

#[tokio::test]
async fn what_is_told_of_cloud_cost_and_its_budgets_are_the_operators() {
    let bills = Arc::new(Bills::default());
    let service = Harness::billed(bills.clone());
    bills.restate("AWS Lambda", "8");
    create(&service, "lambda", "AWS Lambda", "10").await;
    assert_eq!(watched(&service).await.len(), 1);
    let key = json!({ "tenant_id": "acme", "name": "reader" });
    let key = admin(&service, "POST", "/api/v1/keys", Some(key)).await.json();
    let secret = key["secret"].as_str().unwrap().to_owned();
    let events = service.ask("GET", "/api/v1/events", None, &secret).await;
    assert_eq!(events.json()["events"], json!([]));
    let body = json!({ "name": "x", "limit": 1 });
    for (method, path, body) in [
        ("GET", BUDGETS, None),
        ("POST", BUDGETS, Some(body)),
        ("PUT", "/api/v1/cost/budgets/lambda", Some(json!({ "limit": 1 }))),
        ("DELETE", "/api/v1/cost/budgets/lambda", None),
    ] {
        let answer = service.ask(method, path, body, &secret).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn what_no_budget_can_mean_is_refused_with_its_field() {
    let service = Harness::billed(Arc::new(Bills::default()));
    for (field, body) in [
        ("name", json!({ "name": "a/b", "limit": 1 })),
        ("limit", json!({ "name": "a", "limit": -1 })),
        ("limit", json!({ "name": "a", "limit": "1" })),
        ("filter", json!({ "name": "a", "limit": 1, "filter": { "colour": "red" } })),
        ("filter", json!({ "name": "a", "limit": 1, "filter": { "day": "2026-11-01" } })),
        ("basis", json!({ "name": "a", "limit": 1, "basis": "net" })),
        ("currency", json!({ "name": "a", "limit": 1, "currency": "usd" })),
        ("period", json!({ "name": "a", "limit": 1, "period": "week" })),
        ("thresholds", json!({ "name": "a", "limit": 1, "thresholds": [] })),
        ("colour", json!({ "name": "a", "limit": 1, "colour": "red" })),
    ] {
        let answer = admin(&service, "POST", BUDGETS, Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.text);
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.text);
    }
    create(&service, "My budget", "AWS Lambda", "1").await;
    let again = create(&service, "My budget", "AWS Lambda", "1").await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let path = format!("{BUDGETS}/My%20budget");
    assert_eq!(admin(&service, "DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(admin(&service, "DELETE", &path, None).await.status, StatusCode::NOT_FOUND);
    let put = admin(&service, "PUT", &path, Some(json!({ "limit": 1 }))).await;
    assert_eq!(put.status, StatusCode::NOT_FOUND);
}
