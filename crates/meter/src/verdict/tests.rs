use std::sync::{Arc, Mutex};

use focus::{ModelName, TenantId};

use super::*;

const NOW: &str = "2026-11-25T10:00:00Z";

fn payer() -> Payer {
    Payer { tenant: TenantId::parse("acme").unwrap(), user: None, report_type: None }
}

fn estimate(input: u64) -> Estimate {
    Estimate::new(ModelName::parse("m").unwrap(), input, 5)
}

fn refusal(retry_after: u64, resets_at: Option<i64>) -> Refusal {
    Refusal {
        message: "no".to_owned(),
        current_usage: Usd("0.000000001".parse().unwrap()),
        limit: Usd("10".parse().unwrap()),
        percentage: "100.01".parse().unwrap(),
        retry_after,
        resets_at,
    }
}

fn at(seconds: i64) -> Timestamp {
    NOW.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
}

fn local() -> Verdicts {
    Verdicts::new("http://bursar", Duration::from_secs(60), 100, None)
}

#[tokio::test]
async fn a_refusal_is_repeated_for_what_is_no_smaller_until_it_may_have_changed() {
    let soon = at(30).as_millisecond();
    // How long to wait and when the budget resets, then until when it is repeated.
    for (retry_after, resets_at, lasts) in
        [(1000, None, 60), (20, None, 20), (1000, Some(soon), 30), (1, Some(soon), 1)]
    {
        let verdicts = local();
        verdicts.put(&payer(), &estimate(10), &refusal(retry_after, resets_at), at(0));
        let found = |input, seconds| {
            let (verdicts, estimate) = (&verdicts, estimate(input));
            async move { verdicts.find(&payer(), &estimate, at(seconds)).await }
        };
        assert!(found(10, 0).await.is_some());
        assert!(found(11, 0).await.is_some());
        assert_eq!(found(9, 0).await, None);
        let left = found(10, lasts - 1).await.unwrap().retry_after;
        assert_eq!(left, retry_after - u64::try_from(lasts).unwrap() + 1);
        assert_eq!(found(10, lasts).await, None);
    }
}

#[tokio::test]
async fn others_are_not_refused_for_it() {
    let verdicts = local();
    verdicts.put(&payer(), &estimate(10), &refusal(60, None), at(0));
    let other = Payer { tenant: TenantId::parse("other").unwrap(), ..payer() };
    assert_eq!(verdicts.find(&other, &estimate(10), at(0)).await, None);
    let user = Some(focus::UserId::parse("ada").unwrap());
    assert_eq!(verdicts.find(&Payer { user, ..payer() }, &estimate(10), at(0)).await, None);
    let tier = money::ServiceTier::Batch;
    assert_eq!(verdicts.find(&payer(), &Estimate { tier, ..estimate(10) }, at(0)).await, None);
}

#[test]
fn keys_are_those_of_the_fastify_plugin() {
    // Computed in Node from the plugin's own code.
    let user = Some(focus::UserId::parse("zoë\"\\").unwrap());
    let payer = Payer { user, ..payer() };
    let key = local().key(&payer, &estimate(1));
    assert_eq!(key, "bursar:verdict:bj3iF0WtMD4T_UxGxrhGQmVtDYMWqM3_KsJgBpSaPzs");
}

#[test]
fn values_are_those_of_the_fastify_plugin() {
    let kept = Kept {
        counts: [10, 5, 0, 0, 0],
        refusal: refusal(7, Some(1_000)),
        retry_at: 2_000,
        expires_at: 3_000,
    };
    let text = kept.write().unwrap();
    assert_eq!(
        text,
        "{\"counts\":[10,5,0,0,0],\"refusal\":{\"currentUsageUsd\":\"0.000000001\",\
         \"monthlyLimitUsd\":\"10\",\"percentageUsed\":\"100.01\",\"message\":\"no\",\
         \"retryAfterSeconds\":7,\"resetsAt\":1000},\"retryAt\":2000,\"expiresAt\":3000}"
    );
    let read = Kept::read(&text, 0, 60_000).unwrap();
    assert_eq!(read.refusal, Refusal { retry_after: 1, ..kept.refusal });
    assert_eq!(Kept::read(&text, 0, 1_500).unwrap().expires_at, 1_500);
    for wrong in [
        "",
        "null",
        "{}",
        &text.replace("\"10\"", "10"),
        &text.replace("100.01", "1e5"),
        &text.replace("[10,5,0,0,0]", "[10,5]"),
        &text.replace("2000", "-2000"),
        &text.replace("3000", "9007199254740992"),
    ] {
        assert_eq!(Kept::read(wrong, 0, 60_000), None, "{wrong}");
    }
}

#[derive(Default)]
struct Board(Mutex<Option<(String, String)>>);

#[async_trait]
impl Shared for Board {
    async fn get(&self, key: &str) -> Option<String> {
        let kept = self.0.lock().unwrap();
        kept.as_ref().filter(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    async fn set(&self, key: &str, value: String, _: Duration) {
        *self.0.lock().unwrap() = Some((key.to_owned(), value));
    }
}

#[tokio::test]
async fn what_one_was_told_another_knows() {
    let board = Arc::new(Board::default());
    let cache = || {
        let shared: Arc<dyn Shared> = board.clone();
        Verdicts::new("http://bursar", Duration::from_secs(60), 100, Some(shared))
    };
    let (one, other) = (cache(), cache());
    one.put(&payer(), &estimate(10), &refusal(60, None), at(0));
    while board.0.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(other.find(&payer(), &estimate(10), at(0)).await.unwrap().retry_after, 60);
    *board.0.lock().unwrap() = None;
    assert!(other.find(&payer(), &estimate(10), at(1)).await.is_some(), "it is kept here, too");
    assert_eq!(cache().find(&payer(), &estimate(10), at(1)).await, None);
}
