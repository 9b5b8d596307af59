//! What stands in, on the disk, for holds that are committed and not on the disk yet.
//!
//! What is committed outlives the process, for the system has it; but of a machine that loses its
//! power the last commit may be gone. A *cover* is an amount for one set of accounts. A hold may be
//! answered before its commit is synced while the cover of its accounts, which is on the disk from a
//! commit before, is no less than all holds of these accounts that are answered so. When a file is
//! opened after its machine has started anew, each cover is held in the place of the calls that may
//! have been lost with their holds, and becomes unresolved like every hold that nobody settles.
//!
//! Invariants: at most one commit is not on the disk. When it began, each hard budget of a hold that
//! was answered early had room for all of its covers, so that these, held, don't go beyond a limit.
//! The covers of an account are a small part of its budget's limit.

use std::fmt;

use ::budget::{
    AccountId, Book, Budget, Command, CommandResult, Enforcement, Key, Quote, Reserve, StoreError,
};
use focus::Attribution;
use foldhash::{HashMap, HashMapExt as _};
use jiff::{SignedDuration, Timestamp};
use money::{Money, ServiceTier, TokenUsage};
use rusqlite::Connection;
use uuid::Uuid;

use super::{
    load,
    row::{self, accounts_text, nanos},
    save,
    writer::Books,
};
use crate::Options;

/// The most covers. What has none waits for the disk.
const COVERS_MOST: usize = 4_096;
/// A cover is so many times what one commit has needed: the next may need more.
const AHEAD: i128 = 2;

/// The covers that are on the disk, and stay there until another process writes.
pub(super) struct Covers {
    /// The most that the covers of an account may be, in percent of its budget's limit.
    percent: u8,
    /// Names the machine's start; nothing is covered where that is unknown.
    boot: Option<String>,
    by_accounts: HashMap<Vec<AccountId>, Cover>,
    /// What the covers of an account add up to.
    by_account: HashMap<AccountId, Money>,
    /// When the first of them is of no use any more.
    ends: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Cover {
    amount: Money,
    /// When the first of its periods ends.
    end: Timestamp,
}

/// A cover that a commit brings up to an amount, for calls like this one.
#[derive(Debug)]
pub(super) struct Raise {
    accounts: Vec<AccountId>,
    call: Attribution,
    cover: Cover,
}

/// What is decided of a batch before it is committed.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Of each command, whether it may be answered once it is committed.
    pub(super) early: Vec<bool>,
    pub(super) raises: Vec<Raise>,
}

/// What the holds of one set of accounts need in one batch.
#[derive(Debug, Clone, Copy)]
struct Need {
    all: Money,
    early: Money,
}

impl Covers {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            percent: options.cover_percent.min(100),
            boot: options.boot.clone(),
            by_accounts: HashMap::new(),
            by_account: HashMap::new(),
            ends: Timestamp::MAX,
        }
    }

    /// Another process has written, and may have put its covers in the place of these.
    pub(super) fn forget(&mut self) {
        self.by_accounts.clear();
        self.by_account.clear();
        self.ends = Timestamp::MAX;
    }

    /// Which commands of a batch may be answered before they are on the disk, and which covers the
    /// next one needs. `before` are the books that are on the disk, `after` those of the batch.
    pub(super) fn decide(
        &self,
        commands: &[&Command],
        results: &[CommandResult],
        before: &Books,
        after: &[Book],
        now: Timestamp,
    ) -> Decided {
        let mut decided = Decided::default();
        let mut needs: HashMap<&[AccountId], (Need, &Attribution)> = HashMap::new();
        for (command, result) in commands.iter().zip(results) {
            let Command::Reserve(Reserve { covered: true, .. }) = command else {
                decided.early.push(false);
                continue;
            };
            // A hold that was not made has changed nothing that anybody relies on.
            let mut is_early = result.is_err();
            if let Ok(outcome) = result
                && self.percent > 0
                && self.boot.is_some()
                && !outcome.replayed
            {
                let held = &outcome.reservation;
                let none = Need { all: Money::ZERO, early: Money::ZERO };
                let (need, _) = needs.entry(held.accounts.as_slice()).or_insert((none, &held.call));
                let early = need.early.checked_add(held.hold);
                need.all = need.all.checked_add(held.hold).unwrap_or(Money::MAX);
                if let Some(early) = early
                    && self.covers(&held.accounts, early)
                    && let Some(book) = before.get(&held.call.tenant)
                    && held.accounts.iter().all(|id| self.has_room(&book, *id))
                {
                    need.early = early;
                    is_early = true;
                }
            }
            decided.early.push(is_early);
        }
        let mut sums = None;
        for (accounts, (need, call)) in needs {
            if need.all <= self.amount(accounts) {
                continue;
            }
            let sums = sums.get_or_insert_with(|| self.by_account.clone());
            let book = after.iter().find(|book| book.head.tenant == call.tenant);
            let raise = book.and_then(|book| self.raise(book, accounts, need, call, sums, now));
            if let Some(raise) = &raise {
                add(sums, accounts, raise.cover.amount, self.amount(accounts));
            }
            decided.raises.extend(raise);
        }
        decided
    }

    fn amount(&self, accounts: &[AccountId]) -> Money {
        self.by_accounts.get(accounts).map_or(Money::ZERO, |cover| cover.amount)
    }

    fn covers(&self, accounts: &[AccountId], amount: Money) -> bool {
        self.by_accounts.get(accounts).is_some_and(|cover| amount <= cover.amount)
    }

    fn covers_of(&self, account: AccountId) -> Money {
        self.by_account.get(&account).copied().unwrap_or(Money::ZERO)
    }

    /// Whether an account's covers, held beside all that counts, are within its limit.
    fn has_room(&self, book: &Book, id: AccountId) -> bool {
        let (Some(budget), Some(account)) = (book.budget(id.budget), book.account(id)) else {
            return false;
        };
        let counted = account.counted().and_then(|sum| sum.checked_add(self.covers_of(id)));
        budget.enforcement == Enforcement::Shadow
            || counted.is_some_and(|counted| counted <= budget.limit)
    }

    /// A larger cover, where more is needed than there is and the budgets allow it.
    fn raise(
        &self,
        book: &Book,
        accounts: &[AccountId],
        need: Need,
        call: &Attribution,
        sums: &HashMap<AccountId, Money>,
        now: Timestamp,
    ) -> Option<Raise> {
        let amount = self.amount(accounts);
        // Those that have ended make room for others.
        let is_full = self.by_accounts.len() >= COVERS_MOST && now < self.ends;
        if need.all <= amount || (amount.is_zero() && is_full) {
            return None;
        }
        let mut most = need.all.nanos().saturating_mul(AHEAD);
        let mut end = Timestamp::MAX;
        for id in accounts {
            let (budget, account) = (book.budget(id.budget)?, book.account(*id)?);
            let sum = sums.get(id).copied().unwrap_or(Money::ZERO);
            let others = sum.saturating_sub_to_zero(amount);
            let part = self.part(budget);
            most = most.min(part.saturating_sub_to_zero(others).nanos());
            end = end.min(account.end);
        }
        let is_more = most > amount.nanos() && now < end;
        is_more.then(|| Raise {
            accounts: accounts.to_vec(),
            call: nameless(book, call),
            cover: Cover { amount: Money::from_nanos(most), end },
        })
    }

    /// The most that the covers of a budget's account may be.
    fn part(&self, budget: &Budget) -> Money {
        Money::from_nanos(budget.limit.nanos() / 100 * i128::from(self.percent))
    }

    /// Writes covers in the transaction that is open, and lets go of those whose period is over.
    pub(super) fn save(
        &self,
        db: &Connection,
        raises: &[Raise],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(boot) = &self.boot else { return Ok(()) };
        if raises.is_empty() {
            return Ok(());
        }
        if self.by_accounts.is_empty() {
            // Those of a process before, or of a time before another has written: all that they
            // stood in for is on the disk with this commit, and none of its holds is answered early.
            save::execute(db, "delete from cover", &[])?;
        } else if self.ends <= now {
            let sql = "delete from cover where period_end <= ?1";
            save::execute(db, sql, &[&now.as_microsecond()])?;
        }
        let sql = "insert or replace into cover (accounts, tenant_id, model, user_id, report_type,
                amount_nanos, period_end, key, boot)
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        for Raise { accounts, call, cover } in raises {
            save::execute(
                db,
                sql,
                &[
                    &accounts_text(accounts),
                    &call.tenant.as_str(),
                    &call.model.as_str(),
                    &call.user.as_ref().map(|user| user.as_str()),
                    &call.report_type.as_ref().map(|kind| kind.as_str()),
                    &nanos(cover.amount)?,
                    &cover.end.as_microsecond(),
                    &Uuid::new_v4(),
                    boot,
                ],
            )?;
        }
        Ok(())
    }

    /// What was saved is committed; the next commit comes after it is on the disk.
    pub(super) fn committed(&mut self, raises: Vec<Raise>, now: Timestamp) {
        if raises.is_empty() {
            return;
        }
        if self.ends <= now {
            self.by_accounts.retain(|_, cover| now < cover.end);
        }
        let raised = raises.into_iter().map(|raise| (raise.accounts, raise.cover));
        self.by_accounts.extend(raised);
        self.by_account.clear();
        self.ends = Timestamp::MAX;
        for (accounts, cover) in &self.by_accounts {
            self.ends = self.ends.min(cover.end);
            add(&mut self.by_account, accounts, cover.amount, Money::ZERO);
        }
    }

    /// Lets go of all covers: everything is on the disk, and nothing more is answered early.
    pub(super) fn close(&mut self, db: &Connection) -> Result<(), StoreError> {
        if !self.by_accounts.is_empty() {
            save::execute(db, "delete from cover", &[])?;
            self.forget();
        }
        Ok(())
    }
}

/// A cover of these accounts has come from one amount to another.
fn add(sums: &mut HashMap<AccountId, Money>, accounts: &[AccountId], to: Money, from: Money) {
    for id in accounts {
        let sum = sums.entry(*id).or_insert(Money::ZERO);
        *sum = sum.checked_add(to.saturating_sub_to_zero(from)).unwrap_or(Money::MAX);
    }
}

/// The call without its user and report type, where it counts in the same budgets.
fn nameless(book: &Book, call: &Attribution) -> Attribution {
    let nameless = Attribution { user: None, report_type: None, ..call.clone() };
    if book.covering(&nameless) == book.covering(call) { nameless } else { call.clone() }
}

/// A cover of which the machine has lost its memory since.
pub(super) struct Lost {
    key: Key,
    call: Attribution,
    amount: Money,
    end: Timestamp,
}

impl Lost {
    /// The covers of other starts than this one; all, where none is named.
    pub(super) fn read(db: &Connection, boot: Option<&str>) -> Result<Vec<Self>, StoreError> {
        let sql = "select * from cover where boot is not ?1 order by accounts";
        load::rows(db, sql, &[&boot], |found| {
            Ok(Self {
                key: row::column(found, "key")?,
                call: Attribution {
                    tenant: row::parsed(found, "tenant_id")?,
                    model: row::parsed(found, "model")?,
                    user: row::maybe_parsed(found, "user_id")?,
                    report_type: row::maybe_parsed(found, "report_type")?,
                },
                amount: row::money(found, "amount_nanos")?,
                end: row::time(found, "period_end")?,
            })
        })
    }

    /// Holds it in the place of what may have been lost; under the same key whenever it is tried.
    pub(super) fn hold(&self) -> Reserve {
        Reserve {
            key: self.key,
            call: self.call.clone(),
            estimate: Quote {
                usage: TokenUsage::default(),
                tier: ServiceTier::Standard,
                amount: Some(self.amount),
                given: true,
                estimated: true,
            },
            timeout: Some(SignedDuration::ZERO),
            covered: false,
            fresh: false,
        }
    }

    /// When to hold it: in the periods of the calls that it stands in for.
    pub(super) fn at(&self, now: Timestamp) -> Timestamp {
        let last = self.end.checked_sub(SignedDuration::from_micros(1));
        last.map_or(now, |last| now.min(last))
    }

    /// It is held, or nothing of it can be.
    pub(super) fn forget(&self, db: &Connection) -> Result<(), StoreError> {
        save::execute(db, "delete from cover where key = ?1", &[&self.key])?;
        Ok(())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} USD for {} of tenant {}", self.amount, self.call.model, self.call.tenant)
    }
}
