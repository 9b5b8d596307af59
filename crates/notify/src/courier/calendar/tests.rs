use std::sync::Arc;

use async_trait::async_trait;
use budget::{CloudBudgets, CloudPeriod, NewDelivery, Outbox, Severity, Wanted, Watched};
use focus::{
    Decimal,
    cost::{Asked, Basis, Dimension, Imported, Question, Report, Table, Value},
};
use jiff::civil::{Weekday, date, time};

use super::*;
use crate::{
    courier::tests::{Bench, post, webhook},
    testing::{Reply, Sink},
};

#[tokio::test]
async fn the_digest_and_the_review_come_once_to_whoever_was_there() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let bench = Bench::new();
    let calendar = Calendar {
        digest: Some(Weekly { day: Weekday::Monday, time: time(9, 0, 0, 0), zone: TimeZone::UTC }),
        review: Some(Monthly { time: time(9, 0, 0, 0), zone: TimeZone::UTC }),
        ..Calendar::default()
    };
    let topics = [Topic::Digest, Topic::Review].into_iter().collect();
    let wanted = Wanted { topics: Some(topics), severity: Severity::Critical };
    let post = || Post { wanted: wanted.clone(), ..post("hook", webhook(&sink)) };
    let courier = Courier { calendar: calendar.clone(), ..bench.courier(vec![post()]) };
    let hook = &courier.posts[0];
    bench.limit("100").await;
    bench.spend("85").await;
    courier.plan_calendar().await.unwrap();
    courier.turn(hook).await.unwrap();
    assert_eq!(bench.states().await, [], "the Monday before was before it");
    let now = bench.hands.now();
    let noted = NewDelivery::noted("alert/1".to_owned(), "IdlePod", "It idles.", now, now);
    bench.store.plan("alertmanager", None, vec![noted], now).await.unwrap();
    // Monday the 16th, in two processes.
    bench.pass(4 * 86_400);
    let other = Courier { calendar, ..bench.courier(vec![post()]) };
    for _ in 0..2 {
        courier.plan_calendar().await.unwrap();
        other.plan_calendar().await.unwrap();
        bench.pass(5);
        courier.turn(hook).await.unwrap();
    }
    let [digest] = sink.taken().try_into().unwrap();
    let digest = digest.json();
    assert_eq!(digest["subject"], "The week in costs: $85.00 for AI");
    let sections = &digest["items"][0]["facts"]["sections"];
    assert_eq!(sections[0]["rows"][0][0], "acme");
    assert_eq!(sections[1]["rows"][0][0], "budget threshold");
    assert_eq!(sections[1]["rows"][0][1], "1");
    assert_eq!(sections[2]["rows"][0], serde_json::json!(["IdlePod", "It idles."]));
    // The first of December is a Tuesday; the digest of the day before comes with the review.
    bench.pass(15 * 86_400);
    courier.plan_calendar().await.unwrap();
    bench.pass(5);
    courier.turn(hook).await.unwrap();
    let last = sink.taken().pop().unwrap().json();
    let topics: Vec<_> = last["items"].as_array().unwrap().iter().map(|i| &i["topic"]).collect();
    assert_eq!(topics, ["digest", "review"]);
    assert_eq!(last["items"][1]["facts"]["spent"]["amount"], "85");
}

/// Bills of one source, with a day's cost for each day of November so far.
struct Bills {
    last: Timestamp,
    daily: &'static str,
}

#[async_trait]
impl Costs for Bills {
    async fn version(&self) -> Result<u64, CostsError> {
        Ok(1)
    }

    async fn imports(&self, _: Option<AsOf>) -> Result<Vec<Imported>, CostsError> {
        Ok(vec![Imported {
            source: "aws/main".to_owned(),
            period: "2026-11".parse().unwrap(),
            execution: "1".to_owned(),
            format: "FOCUS 1.4".to_owned(),
            at: self.last,
            rows: 1,
            sums: BTreeMap::new(),
            notes: Vec::new(),
        }])
    }

    async fn report(&self, asked: &Asked) -> Result<Report, CostsError> {
        if asked.by.len() == 3 {
            return Ok(Report { table: by_service(), totals: BTreeMap::new() });
        }
        assert_eq!(asked.by, [Dimension::Day]);
        let cost = Decimal::parse(self.daily).unwrap();
        let row = |day: i8| {
            let day = date(2026, 11, day);
            vec![Value::Date(day), Value::Text("USD".to_owned()), Value::Decimal(cost)]
        };
        let table = Table { rows: (1..12).map(row).collect(), ..Table::default() };
        Ok(Report { table, totals: BTreeMap::new() })
    }

    async fn answer(&self, _: &Question) -> Result<Table, CostsError> {
        unreachable!("nobody asks that")
    }
}

/// Sixty days until the 12th of November of two services: one steady, one that cost five times as
/// much on the last of them.
fn by_service() -> Table {
    let text = |text: &str| Value::Text(text.to_owned());
    let row = |service: &str, day: Date, cost: i128| {
        let cost = Value::Decimal(Decimal::new(cost, 0));
        vec![text("AWS"), text(service), Value::Date(day), text("USD"), cost]
    };
    let last = date(2026, 11, 12);
    let days = (0..60).map(|ago: i32| (ago, last.saturating_sub(jiff::ToSpan::days(ago))));
    let rows = days.flat_map(|(ago, day)| {
        [row("Amazon S3", day, 40), row("AWS Lambda", day, if ago == 0 { 200 } else { 40 })]
    });
    Table { rows: rows.collect(), ..Table::default() }
}

#[tokio::test]
async fn days_that_cost_far_more_than_usual_are_told_once_by_each_of_two_processes_together() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let bench = Bench::new();
    bench.limit("100000").await;
    let calendar = Calendar { anomaly: Some(Decimal::new(10, 0)), ..Calendar::default() };
    let bills = Arc::new(Bills { last: bench.hands.now(), daily: "1" });
    let wanted = Wanted { topics: Some([Topic::Anomaly].into()), severity: Severity::Info };
    let start = || Courier {
        costs: Some(bills.clone()),
        calendar: calendar.clone(),
        ..bench.courier(vec![Post { wanted: wanted.clone(), ..post("hook", webhook(&sink)) }])
    };
    let (courier, other) = (start(), start());
    courier.turn(&courier.posts[0]).await.unwrap();
    // The 12th of November on: three weeks of ten dollars a day, then one of a hundred.
    for day in 0..24 {
        bench.spend(if day == 21 { "100" } else { "10" }).await;
        for courier in [&courier, &other] {
            courier.plan_calendar().await.unwrap();
            bench.pass(5);
            courier.turn(&courier.posts[0]).await.unwrap();
        }
        bench.pass(86_400 - 10);
    }
    // A third process that knows nothing of what was planned.
    start().plan_calendar().await.unwrap();
    bench.pass(5);
    courier.turn(&courier.posts[0]).await.unwrap();
    let told: Vec<_> = sink.taken().iter().map(|request| request.json()).collect();
    let items: Vec<_> = told.iter().flat_map(|one| one["items"].as_array().unwrap()).collect();
    let subjects: Vec<_> = items.iter().map(|item| item["subject"].as_str().unwrap()).collect();
    assert_eq!(
        subjects,
        [
            "AWS Lambda at AWS cost $200.00 on 12 Nov 2026, far more than usual",
            "Acme spent $100.00 on AI on 3 Dec 2026, far more than usual",
        ]
    );
    assert_eq!(items[0]["facts"]["expected"]["amount"], "40");
    assert_eq!(items[1]["facts"]["expected"]["amount"], "10");
    assert_eq!(items[1]["facts"]["tenant_id"], "acme");
}

#[tokio::test]
async fn bills_that_stay_away_are_told_once() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let bench = Bench::new();
    let bills = Arc::new(Bills { last: bench.hands.now(), daily: "1" });
    let calendar = Calendar { stale: Some(SignedDuration::from_hours(26)), ..Calendar::default() };
    let posts = vec![post("hook", webhook(&sink))];
    let courier = Courier { costs: Some(bills), calendar, ..bench.courier(posts) };
    let hook = &courier.posts[0];
    for hours in [0, 25, 1, 1, 24] {
        bench.pass(hours * 3_600);
        courier.plan_calendar().await.unwrap();
        bench.pass(5);
        courier.turn(hook).await.unwrap();
    }
    let [told] = sink.taken().try_into().unwrap();
    assert_eq!(told.json()["subject"], "No bills from aws/main since 12 Nov 2026, 12:00 UTC");
}

#[tokio::test]
async fn a_budget_that_will_be_exceeded_is_told_once_a_month() {
    let sink = Sink::start(vec![Reply::status(200)]).await;
    let bench = Bench::new();
    let watched = Watched::new(vec![], Basis::Billed, "USD", CloudPeriod::Month).unwrap();
    for (name, limit) in [("small", 100), ("right", 299), ("large", 301)] {
        let limit = Decimal::new(limit, 0);
        let budget = CloudBudget::new(name, watched.clone(), limit, bench.hands.now()).unwrap();
        bench.store.put_cloud(budget).await.unwrap();
    }
    // Ten dollars a day: $110 in the eleven days that are over, $300 at the end.
    let bills = Arc::new(Bills { last: bench.hands.now(), daily: "10" });
    let calendar = Calendar { forecast: true, ..Calendar::default() };
    let posts = vec![post("hook", webhook(&sink))];
    let courier = Courier { costs: Some(bills), calendar, ..bench.courier(posts) };
    let hook = &courier.posts[0];
    courier.turn(hook).await.unwrap();
    for _ in 0..3 {
        courier.plan_calendar().await.unwrap();
        bench.pass(5);
        courier.turn(hook).await.unwrap();
        bench.pass(86_400);
    }
    let [told] = sink.taken().try_into().unwrap();
    let item = &told.json()["items"][0];
    assert_eq!(item["subject"], "Cloud budget right will be exceeded");
    assert_eq!(item["facts"]["forecast"]["amount"], "300");
}
