//! Cases of deliveries.

use std::collections::{BTreeMap, BTreeSet};

use focus::Scope;
use jiff::{SignedDuration, Timestamp};

use super::{Bench, call, tenant};
use crate::{
    Claimed, Delivery, DeliveryFilter, DeliveryState, Ended, NewDelivery, Pace, Page, Severity,
    Step, Topic,
};

const CHANNEL: &str = "ops mail é";

fn new(bench: &Bench, key: &str, recipient: Option<&str>) -> NewDelivery {
    NewDelivery {
        key: key.to_owned(),
        topic: Topic::BudgetThreshold,
        severity: Severity::Warning,
        recipient: recipient.map(str::to_owned),
        facts: format!("{{\"what\":\"{key} … '\"}}"),
        at: bench.hands.now(),
        due_at: bench.hands.now(),
        state: DeliveryState::Pending,
    }
}

async fn plan(bench: &Bench, keys: &[&str]) -> u64 {
    let keys = keys.iter().map(|key| new(bench, key, None)).collect();
    bench.store.plan(CHANNEL, None, keys, bench.hands.now()).await.unwrap()
}

async fn claim(bench: &Bench, pace: &Pace) -> Option<Claimed> {
    bench.store.claim(CHANNEL, pace, bench.hands.now()).await.unwrap()
}

async fn finish(bench: &Bench, claimed: &Claimed, ended: Ended) -> bool {
    bench.store.finish(claimed.lease, ended, bench.hands.now()).await.unwrap()
}

async fn all(bench: &Bench) -> Vec<Delivery> {
    bench.store.deliveries(DeliveryFilter::default()).await.unwrap()
}

fn keys(claimed: &Claimed) -> Vec<&str> {
    claimed.deliveries.iter().map(|one| one.key.as_str()).collect()
}

fn later(bench: &Bench, seconds: i64) -> Timestamp {
    bench.hands.now() + SignedDuration::from_secs(seconds)
}

fn pass(bench: &Bench, seconds: i64) {
    bench.hands.pass(SignedDuration::from_secs(seconds));
}

pub(super) async fn a_new_channel_begins_at_the_outboxs_end(bench: &Bench) {
    let (store, start) = (&bench.store, bench.hands.now());
    let first = store.follow(CHANNEL, start).await.unwrap();
    assert_eq!((first.since, first.after), (start, 0));
    bench.budget(Scope::tenant(tenant()), "1").await;
    bench.track(1, &call("m", None, None), Some("0.9")).await.unwrap();
    let told = store.events(Page::default()).await.unwrap();
    let [(event, _)] = told.as_slice() else { panic!("{told:?}") };
    pass(bench, 60);
    // What was told before a channel was there is not for it.
    let second = store.follow("second", bench.hands.now()).await.unwrap();
    assert_eq!((second.since, second.after), (bench.hands.now(), *event));
    assert_eq!(store.follow(CHANNEL, bench.hands.now()).await.unwrap(), first);
}

pub(super) async fn a_key_is_planned_once_and_a_step_is_taken_once(bench: &Bench) {
    let (store, now) = (&bench.store, bench.hands.now());
    store.follow(CHANNEL, now).await.unwrap();
    let step = Some(Step { from: 0, to: 7 });
    let two = || vec![new(bench, "a", None), new(bench, "b", Some("é@example.com"))];
    assert_eq!(store.plan(CHANNEL, step, two(), now).await.unwrap(), 2);
    // Another process has read the same events and comes second.
    let other = vec![new(bench, "c", None)];
    assert_eq!(store.plan(CHANNEL, step, other, now).await.unwrap(), 0);
    assert_eq!(store.follow(CHANNEL, now).await.unwrap().after, 7);
    assert_eq!(store.plan(CHANNEL, None, two(), now).await.unwrap(), 0);
    assert_eq!(store.plan(CHANNEL, None, vec![], now).await.unwrap(), 0);
    let kept = all(bench).await;
    let [b, a] = kept.as_slice() else { panic!("{kept:?}") };
    assert!(a.id < b.id);
    let NewDelivery { key, topic, severity, recipient, facts, at, due_at, state } =
        new(bench, "b", Some("é@example.com"));
    let id = b.id;
    let expected = Delivery {
        id,
        key,
        topic,
        severity,
        channel: CHANNEL.to_owned(),
        recipient,
        facts,
        at,
        state,
        attempts: 0,
        wanted_at: due_at,
        due_at,
        batch: None,
        leased_until: None,
        error: None,
        updated_at: now,
    };
    assert_eq!(*b, expected);
}

pub(super) async fn what_is_due_is_claimed_once_and_in_one_batch(bench: &Bench) {
    let pace = Pace { group_most: 3, ..Pace::default() };
    let now = bench.hands.now();
    assert_eq!(claim(bench, &pace).await, None);
    plan(bench, &["a", "b", "c", "d"]).await;
    let admin = vec![new(bench, "e", Some("admin@example.com"))];
    bench.store.plan(CHANNEL, None, admin, now).await.unwrap();
    let noted = NewDelivery { state: DeliveryState::Noted, ..new(bench, "n", None) };
    let night = NewDelivery { due_at: later(bench, 3600), ..new(bench, "night", None) };
    bench.store.plan(CHANNEL, None, vec![noted, night], now).await.unwrap();
    let other = bench.store.claim("other", &pace, now).await.unwrap();
    assert_eq!(other, None);

    let first = claim(bench, &pace).await.unwrap();
    assert_eq!((keys(&first), first.batch.as_str()), (vec!["a", "b", "c"], "a"));
    let until = now + pace.lease;
    assert!(first.deliveries.iter().all(|one| one.leased_until == Some(until)));
    let second = claim(bench, &pace).await.unwrap();
    assert_eq!((keys(&second), second.batch.as_str()), (vec!["d"], "d"));
    let third = claim(bench, &pace).await.unwrap();
    assert_eq!(keys(&third), ["e"]);
    assert_eq!(claim(bench, &pace).await, None);
    let backlog = bench.store.backlog(now).await.unwrap();
    let mine = backlog.iter().find(|backlog| backlog.channel == CHANNEL).unwrap();
    assert_eq!((mine.pending, mine.dead, mine.oldest), (5, 0, Some(now)));

    assert!(finish(bench, &first, Ended::Delivered).await);
    assert!(!finish(bench, &first, Ended::Delivered).await);
    let delivered = DeliveryFilter {
        state: Some(DeliveryState::Delivered),
        channel: Some(CHANNEL.to_owned()),
        from: Some(now),
        page: Page { after: None, limit: 2 },
    };
    let page = bench.store.deliveries(delivered.clone()).await.unwrap();
    assert_eq!(page.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    let page = Page { after: page.last().map(|one| one.id), limit: 2 };
    let page = bench.store.deliveries(DeliveryFilter { page, ..delivered }).await.unwrap();
    assert_eq!(page.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["a"]);
    let later = DeliveryFilter { from: Some(later(bench, 1)), ..DeliveryFilter::default() };
    assert!(bench.store.deliveries(later).await.unwrap().is_empty());
}

pub(super) async fn a_lease_ends_and_the_batch_goes_out_again_as_it_was(bench: &Bench) {
    let pace = Pace::default();
    plan(bench, &["a", "b"]).await;
    let first = claim(bench, &pace).await.unwrap();
    plan(bench, &["c"]).await;
    // The sender has died: nobody sends what is its own, until its lease has ended.
    pass(bench, 119);
    let other = claim(bench, &pace).await.unwrap();
    assert_eq!(keys(&other), ["c"]);
    assert!(finish(bench, &other, Ended::Delivered).await);
    assert_eq!(claim(bench, &pace).await, None);
    pass(bench, 1);
    let second = claim(bench, &pace).await.unwrap();
    assert_eq!((keys(&second), &second.batch), (vec!["a", "b"], &first.batch));
    // It was not dead, but slow: what it says no longer counts.
    assert!(!finish(bench, &first, Ended::Dead { error: "late".to_owned() }).await);
    let again = Ended::Again { due_at: later(bench, 30), error: "no é".to_owned() };
    assert!(finish(bench, &second, again).await);
    plan(bench, &["d"]).await;
    pass(bench, 29);
    let other = claim(bench, &pace).await.unwrap();
    assert_eq!(keys(&other), ["d"]);
    assert!(finish(bench, &other, Ended::Delivered).await);
    pass(bench, 1);
    let third = claim(bench, &pace).await.unwrap();
    assert_eq!((keys(&third), &third.batch), (vec!["a", "b"], &first.batch));
    let [a, _] = third.deliveries.as_slice() else { panic!("{third:?}") };
    assert_eq!((a.attempts, a.error.as_deref()), (1, Some("no é")));
    assert_eq!(a.wanted_at, a.at);
    assert!(finish(bench, &third, Ended::Delivered).await);
    let kept = all(bench).await;
    assert!(kept.iter().all(|one| one.state == DeliveryState::Delivered && one.error.is_none()));
}

pub(super) async fn a_dead_delivery_is_tried_again_when_somebody_asks(bench: &Bench) {
    let (pace, store) = (Pace::default(), &bench.store);
    plan(bench, &["a", "b"]).await;
    let first = claim(bench, &pace).await.unwrap();
    assert!(finish(bench, &first, Ended::Dead { error: "refused".to_owned() }).await);
    plan(bench, &["c"]).await;
    let other = claim(bench, &pace).await.unwrap();
    assert!(finish(bench, &other, Ended::Dead { error: "refused".to_owned() }).await);
    pass(bench, 3600);
    assert_eq!(claim(bench, &pace).await, None);
    let backlog = store.backlog(bench.hands.now()).await.unwrap();
    let mine = backlog.iter().find(|backlog| backlog.channel == CHANNEL).unwrap();
    assert_eq!((mine.pending, mine.dead, mine.oldest), (0, 3, None));
    let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
    let dead = store.deliveries(dead).await.unwrap();
    assert_eq!(dead[0].error.as_deref(), Some("refused"));

    let now = bench.hands.now();
    assert_eq!(store.retry(Some(9999), now).await.unwrap(), 0);
    // One of a batch brings all of it: they go out as they did.
    let id = dead.iter().find(|one| one.key == "b").unwrap().id;
    assert_eq!(store.retry(Some(id), now).await.unwrap(), 2);
    let again = claim(bench, &pace).await.unwrap();
    assert_eq!((keys(&again), &again.batch), (vec!["a", "b"], &first.batch));
    assert_eq!(again.deliveries[0].attempts, 0);
    assert!(finish(bench, &again, Ended::Delivered).await);
    assert_eq!(store.retry(None, now).await.unwrap(), 1);
    assert_eq!(store.retry(None, now).await.unwrap(), 0);
}

pub(super) async fn a_channel_sends_no_more_than_its_pace_allows(bench: &Bench) {
    let pace = Pace { group_most: 1, per_minute: 6, burst: 2, ..Pace::default() };
    plan(bench, &["a", "b", "c", "d"]).await;
    let mut sent = Vec::new();
    for _ in 0..30 {
        while let Some(claimed) = claim(bench, &pace).await {
            assert!(finish(bench, &claimed, Ended::Delivered).await);
            sent.push(claimed.batch);
        }
        if sent.len() == 4 {
            break;
        }
        pass(bench, 1);
    }
    assert_eq!(sent, ["a", "b", "c", "d"]);
    let passed = bench.hands.now().duration_since(all(bench).await[0].at);
    assert_eq!(passed, SignedDuration::from_secs(20));
}

pub(super) async fn what_was_delivered_is_forgotten_after_a_while(bench: &Bench) {
    let pace = Pace { group_most: 1, ..Pace::default() };
    plan(bench, &["a", "b", "c"]).await;
    let noted = NewDelivery { state: DeliveryState::Noted, ..new(bench, "n", None) };
    bench.store.plan(CHANNEL, None, vec![noted], bench.hands.now()).await.unwrap();
    let first = claim(bench, &pace).await.unwrap();
    assert!(finish(bench, &first, Ended::Delivered).await);
    let second = claim(bench, &pace).await.unwrap();
    assert!(finish(bench, &second, Ended::Dead { error: "refused".to_owned() }).await);
    assert_eq!(bench.store.forget(bench.hands.now()).await.unwrap(), 0);
    assert_eq!(bench.store.forget(later(bench, 1)).await.unwrap(), 2);
    let kept = all(bench).await;
    let kept: Vec<&str> = kept.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(kept, ["c", "b"]);
}

/// What senders have seen of deliveries.
#[derive(Default)]
struct Seen {
    planned: u32,
    /// The keys of each batch, as it was first claimed.
    batches: BTreeMap<String, Vec<String>>,
    /// Until when somebody is at a key.
    leased: BTreeMap<String, Timestamp>,
    delivered: BTreeSet<String>,
    held: Vec<Claimed>,
}

impl Seen {
    fn claimed(&mut self, claimed: Claimed, now: Timestamp) {
        let names: Vec<String> = claimed.deliveries.iter().map(|one| one.key.clone()).collect();
        let first = self.batches.entry(claimed.batch.clone()).or_insert_with(|| names.clone());
        assert_eq!(*first, names, "a batch goes out as it did");
        for one in &claimed.deliveries {
            let until = self.leased.insert(one.key.clone(), one.leased_until.unwrap());
            assert!(until.is_none_or(|until| until <= now), "{} is another's", one.key);
            assert!(!self.delivered.contains(&one.key), "{} was delivered", one.key);
        }
        self.held.push(claimed);
    }

    async fn ended(&mut self, bench: &Bench, at: usize, choice: u64) {
        let claimed = self.held.swap_remove(at);
        let error = "no".to_owned();
        let ended = match choice {
            0 => Ended::Again { due_at: later(bench, 7), error },
            1 => Ended::Dead { error },
            _ => Ended::Delivered,
        };
        if finish(bench, &claimed, ended.clone()).await {
            for one in &claimed.deliveries {
                self.leased.remove(&one.key);
                if ended == Ended::Delivered {
                    self.delivered.insert(one.key.clone());
                }
            }
        }
    }
}

/// Senders that come and go at random: nothing is lost, nobody has what is another's, and what goes
/// out again is what went out.
pub(super) async fn senders_that_fail_and_die_lose_nothing(bench: &Bench) {
    let pace = Pace { group_most: 3, burst: 1_000, ..Pace::default() };
    let (mut seen, mut random) = (Seen::default(), 7_u64);
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (random >> 33) % below
    };
    for _ in 0..300 {
        match draw(8) {
            0 | 1 => {
                let key = format!("key-{:03}", seen.planned);
                let recipient = (draw(3) == 0).then_some("admin@example.com");
                let new = vec![new(bench, &key, recipient)];
                bench.store.plan(CHANNEL, None, new, bench.hands.now()).await.unwrap();
                seen.planned += 1;
            }
            2..=4 => {
                if let Some(claimed) = claim(bench, &pace).await {
                    seen.claimed(claimed, bench.hands.now());
                }
            }
            5 if !seen.held.is_empty() => {
                let at = usize::try_from(draw(seen.held.len() as u64)).unwrap();
                let choice = draw(5);
                // One in five dies without a word; its lease ends by itself.
                match choice {
                    4 => drop(seen.held.swap_remove(at)),
                    choice => seen.ended(bench, at, choice).await,
                }
            }
            6 => pass(bench, i64::try_from(draw(60)).unwrap()),
            _ => drop(bench.store.retry(None, bench.hands.now()).await.unwrap()),
        }
    }
    pass(bench, 3_600);
    bench.store.retry(None, bench.hands.now()).await.unwrap();
    seen.held.clear();
    while let Some(claimed) = claim(bench, &pace).await {
        seen.claimed(claimed, bench.hands.now());
        seen.ended(bench, 0, 2).await;
    }
    assert!(seen.planned > 40, "{}", seen.planned);
    assert_eq!(seen.delivered.len(), seen.planned as usize);
}
