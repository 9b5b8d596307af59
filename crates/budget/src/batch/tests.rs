use std::sync::Arc;

use focus::{Attribution, ModelName, Scope, TenantId, UserId};
use jiff::SignedDuration;
use money::{ServiceTier, TokenUsage};
use proptest::prelude::*;

use super::*;
use crate::{Origin, Quote, Release, Reserve, Resolution, Resolve, Settle, State};

fn now() -> Timestamp {
    "2026-10-15T12:00:00Z".parse().unwrap()
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn call(model: u8, user: u8) -> Attribution {
    Attribution {
        tenant: tenant(),
        model: ModelName::parse(["m", "n"][usize::from(model) % 2]).unwrap(),
        user: Some(UserId::parse(["ada", "bob"][usize::from(user) % 2]).unwrap()),
        report_type: None,
    }
}

fn quote(nanos: i128) -> Quote {
    let amount = Some(Money::from_nanos(nanos));
    Quote {
        usage: TokenUsage::default(),
        tier: ServiceTier::Standard,
        amount,
        given: true,
        estimated: false,
    }
}

fn book(limits: [i64; 3]) -> Book {
    let mut book = Book::empty(tenant());
    let ada = Scope { user: Some(UserId::parse("ada").unwrap()), ..Scope::tenant(tenant()) };
    let m = Scope::model(tenant(), ModelName::parse("m").unwrap());
    let before = now() - SignedDuration::from_hours(24 * 60);
    for (scope, limit) in [Scope::tenant(tenant()), m, ada].into_iter().zip(limits) {
        let limit = Money::from_nanos(i128::from(limit));
        book.add_budget(Arc::new(Budget::new(scope, limit, before).unwrap()));
    }
    book
}

/// What can be done with one of a few keys.
#[derive(Debug, Clone)]
enum Move {
    Reserve {
        key: u8,
        model: u8,
        user: u8,
        amount: u16,
    },
    Settle {
        key: u8,
        part: u16,
    },
    Release {
        key: u8,
    },
    Expire {
        key: u8,
    },
    Resolve {
        key: u8,
        charge: bool,
    },
    /// What was not saved is lost; the caller will ask again.
    Crash,
    /// The batch is saved; the next begins a while later.
    Save {
        minutes: u16,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let key = 0u8..12;
    let one = prop_oneof![
        5 => (key.clone(), 0u8..2, 0u8..2, 0u16..500)
            .prop_map(|(key, model, user, amount)| Move::Reserve { key, model, user, amount }),
        4 => (key.clone(), 0u16..=1000).prop_map(|(key, part)| Move::Settle { key, part }),
        1 => key.clone().prop_map(|key| Move::Release { key }),
        1 => key.clone().prop_map(|key| Move::Expire { key }),
        1 => (key, any::<bool>()).prop_map(|(key, charge)| Move::Resolve { key, charge }),
        1 => Just(Move::Crash),
        2 => (0u16..30).prop_map(|minutes| Move::Save { minutes }),
    ];
    prop::collection::vec(one, 1..120)
}

/// A store of maps: what was saved, and the batch that is not saved yet.
struct World {
    book: Book,
    reservations: HashMap<Key, Arc<Reservation>>,
    entries: Vec<Entry>,
    batch: Batch,
    at: Timestamp,
}

impl World {
    fn new(book: Book) -> Self {
        let batch = Batch::new(Defaults::default(), now());
        let (reservations, entries) = (HashMap::new(), Vec::new());
        let mut world = Self { book, reservations, entries, batch, at: now() };
        world.crash();
        world
    }

    fn crash(&mut self) {
        self.batch = Batch::new(Defaults::default(), self.at);
        self.batch.add_book(self.book.clone());
        self.reservations.values().cloned().for_each(|r| self.batch.add_reservation(r));
    }

    fn save(&mut self, minutes: u16) {
        let fresh = Batch::new(Defaults::default(), self.at);
        let changes = std::mem::replace(&mut self.batch, fresh).finish();
        self.book = changes.books.into_iter().next().unwrap();
        self.reservations.extend(changes.reservations.into_iter().map(|r| (r.key, r)));
        self.entries.extend(changes.entries);
        self.at += SignedDuration::from_mins(i64::from(minutes));
        self.crash();
    }

    fn take(&mut self, one: &Move) {
        let key = |number: u8| Key::from_u64_pair(1, u64::from(number));
        let command = match *one {
            Move::Crash => return self.crash(),
            Move::Save { minutes } => return self.save(minutes),
            Move::Reserve { key: number, model, user, amount } => {
                let (call, estimate) = (call(model, user), quote(i128::from(amount)));
                Command::Reserve(Reserve {
                    key: key(number),
                    call,
                    estimate,
                    timeout: None,
                    covered: false,
                    fresh: false,
                })
            }
            // Within the hold: what a true upper bound promises.
            Move::Settle { key: number, part } => {
                let Some(reservation) = self.batch.reservations.get(&key(number)) else { return };
                if reservation.state == State::Released {
                    return;
                }
                let actual = quote(reservation.hold.nanos() * i128::from(part) / 1000);
                Command::Settle(Settle { key: key(number), call: None, actual })
            }
            Move::Release { key: number } => Command::Release(Release { key: key(number) }),
            Move::Expire { key: number } => Command::Expire(key(number)),
            Move::Resolve { key: number, charge } => {
                let resolution = if charge { Resolution::Charge } else { Resolution::Release };
                Command::Resolve(Resolve { key: key(number), resolution })
            }
        };
        // Refusals are answers, too; what they must not do is change a balance.
        let _ = self.batch.run(&command);
    }
}

proptest! {
    #[test]
    fn no_interleaving_passes_a_limit_and_the_ledger_folds_to_the_balances(
        limits in [0i64..1500, 0i64..1500, 0i64..1500],
        history in moves(),
    ) {
        let mut world = World::new(book(limits));
        for one in &history {
            world.take(one);
            let book = world.batch.book(&tenant()).unwrap();
            for line in book.lines(world.at).unwrap() {
                prop_assert!(line.account.counted().unwrap() <= line.budget.limit, "{one:?}");
                prop_assert!(!line.account.held.is_negative(), "{one:?}");
                prop_assert!(!line.account.unresolved.is_negative(), "{one:?}");
            }
        }
        world.save(0);
        let mut verifier = crate::Verifier::default();
        world.entries.iter().for_each(|entry| verifier.entry(entry));
        if world.book.head.seq > 0 {
            verifier.head(&world.book.head);
        }
        world.book.accounts().iter().for_each(|account| verifier.account(account));
        world.reservations.values().for_each(|reservation| verifier.reservation(reservation));
        prop_assert_eq!(verifier.finish().faults, Vec::<String>::new());
    }
}

#[test]
fn a_changed_or_missing_entry_breaks_the_chain() {
    let mut world = World::new(book([1_000, 1_000, 1_000]));
    for key in 0..4 {
        world.take(&Move::Reserve { key, model: 0, user: 0, amount: 10 });
    }
    world.save(0);
    let faults = |entries: &[Entry]| {
        let mut verifier = crate::Verifier::default();
        entries.iter().for_each(|entry| verifier.entry(entry));
        verifier.head(&world.book.head);
        world.book.accounts().iter().for_each(|account| verifier.account(account));
        world.reservations.values().for_each(|reservation| verifier.reservation(reservation));
        verifier.finish().faults.len()
    };
    assert_eq!(faults(&world.entries), 0);
    let mut changed = world.entries.clone();
    changed[1].amount = Money::from_nanos(9);
    assert!(faults(&changed) > 0);
    assert!(faults(&world.entries[..3]) > 0, "a cut tail shows");
    assert!(faults(&[&world.entries[..1], &world.entries[2..]].concat()) > 0, "a gap shows");
}

#[test]
fn default_budgets_step_back_when_one_is_set() {
    let mut world = World::new(Book::empty(tenant()));
    world.take(&Move::Reserve { key: 1, model: 0, user: 0, amount: 10 });
    let made = world.batch.book(&tenant()).unwrap().budgets().to_vec();
    assert_eq!((made.len(), made[0].origin), (1, Origin::Default));
    world.save(0);
    let before = now() - SignedDuration::from_hours(24 * 60);
    let set = Budget::new(Scope::tenant(tenant()), Money::from_dollars(5), before).unwrap();
    world.book.add_budget(Arc::new(set));
    let covering = world.book.covering(&call(0, 0));
    assert_eq!(covering.len(), 1);
    assert_eq!(covering[0].origin, Origin::Set);
}

#[test]
fn postings_read_back_as_they_were_written() {
    let mut world = World::new(book([1_000, 1_000, 1_000]));
    world.take(&Move::Reserve { key: 1, model: 0, user: 0, amount: 10 });
    world.save(0);
    for entry in &world.entries {
        assert_eq!(Entry::parse_postings(&entry.postings_text()).as_ref(), Some(&entry.postings));
    }
    for garbage in ["x", "a@b=1/2/3", "=//", "7805b11f-0897-0872-7ea3-f5f67b5155d7@1=1/2"] {
        assert_eq!(Entry::parse_postings(garbage), None);
    }
}
