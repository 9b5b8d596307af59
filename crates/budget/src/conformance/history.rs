//! Random histories: the same steps on two stores must give the same answers and balances.

use focus::{Attribution, PeriodRule, PeriodUnit, ReportType, Scope, UserId};
use jiff::SignedDuration;

use super::{Hands, key, model, quote, tenant, usd};
use crate::{Budget, CommandResult, Release, Reserve, Resolution, Resolve, Settle, Store};

/// One step of a history.
#[derive(Debug, Clone)]
pub enum Step {
    /// Time goes by.
    Pass(SignedDuration),
    /// A budget is set or changed.
    Put(Box<Budget>),
    /// Holds.
    Reserve(Reserve),
    /// Charges.
    Settle(Settle),
    /// Frees.
    Release(Release),
    /// Decides.
    Resolve(Resolve),
    /// Expires and applies policy.
    Sweep,
}

/// Makes steps from a seed: the same seed, the same steps.
#[derive(Debug, Clone)]
pub struct History {
    state: u64,
}

impl History {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `bound` (SplitMix64).
    pub fn number(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn call(&mut self) -> Attribution {
        let user = ["ada", "bob"].get(self.number(3) as usize);
        let kind = ["weekly", "q2q"].get(self.number(4) as usize);
        Attribution {
            tenant: tenant(),
            model: model(if self.number(2) == 0 { "m" } else { "n" }),
            user: user.map(|user| UserId::parse(user).expect("a name")),
            report_type: kind.map(|kind| ReportType::parse(kind).expect("a name")),
        }
    }

    fn amount(&mut self) -> String {
        format!("0.{:09}", self.number(900_000_000))
    }

    fn scope(&mut self) -> Scope {
        let Attribution { tenant, model, user, report_type } = self.call();
        match self.number(4) {
            0 => Scope::tenant(tenant),
            1 => Scope::model(tenant, model),
            2 => Scope { user, ..Scope::tenant(tenant) },
            _ => Scope { report_type, ..Scope::tenant(tenant) },
        }
    }

    /// The next step, at the clock's time.
    pub fn step(&mut self, hands: &Hands) -> Step {
        // Few keys, so that replays and conflicts happen often.
        let key = key(self.number(60));
        let amount = self.amount();
        let tokens = self.number(3);
        match self.number(20) {
            0 => Step::Pass(SignedDuration::from_mins(self.number(600) as i64)),
            1 => Step::Pass(SignedDuration::from_hours(self.number(200) as i64)),
            2 => {
                let unit = match self.number(4) {
                    0 => PeriodUnit::Day,
                    1 => PeriodUnit::Week,
                    _ => PeriodUnit::Month,
                };
                let rule = PeriodRule::calendar(unit).expect("a rule");
                let limit = usd(&format!("{}.{:09}", self.number(9), self.number(1_000_000_000)));
                let budget = Budget::with_rule(self.scope(), limit, rule, hands.now());
                Step::Put(Box::new(budget.expect("a budget")))
            }
            3 => Step::Sweep,
            4 | 5 => Step::Release(Release { key }),
            6 => {
                let resolution =
                    if self.number(2) == 0 { Resolution::Charge } else { Resolution::Release };
                Step::Resolve(Resolve { key, resolution })
            }
            7..=10 => {
                let call = (self.number(2) == 0).then(|| self.call());
                let priced = self.number(8) > 0;
                let actual = quote(tokens, priced.then_some(amount.as_str()));
                Step::Settle(Settle { key, call, actual })
            }
            _ => {
                let (call, estimate) = (self.call(), quote(tokens, Some(&amount)));
                let covered = self.number(2) == 0;
                Step::Reserve(Reserve { key, call, estimate, timeout: None, covered, fresh: false })
            }
        }
    }
}

/// Takes a step on a store. The clock is moved by the caller.
pub async fn apply(store: &dyn Store, hands: &Hands, step: &Step) -> Option<CommandResult> {
    match step.clone() {
        Step::Pass(_) => None,
        Step::Put(budget) => {
            store.put(*budget).await.expect("a budget is kept");
            None
        }
        Step::Reserve(reserve) => Some(store.reserve(reserve).await),
        Step::Settle(settle) => Some(store.settle(settle).await),
        Step::Release(release) => Some(store.release(release).await),
        Step::Resolve(resolve) => Some(store.resolve(resolve).await),
        Step::Sweep => {
            store.sweep(hands.now()).await.expect("a sweep");
            None
        }
    }
}
