//! When a delivery goes out, and when it goes out again.

use jiff::{SignedDuration, Timestamp};

use super::{Delivery, DeliveryState, Quiet, Severity};

/// How a channel is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// How long a thing that is not critical waits for others to go out with.
    pub window: SignedDuration,
    /// So many things become one message, at most.
    pub group_most: usize,
    /// Messages a minute in the long run.
    pub per_minute: u32,
    /// Messages that may go out at once after a rest.
    pub burst: u32,
    /// How long a sender may be at a batch before it is another's to send.
    pub lease: SignedDuration,
    /// Attempts until a delivery is dead.
    pub attempts_most: u32,
    /// The pause after the first attempt; each further one is twice as long.
    pub pause: SignedDuration,
    /// No pause is longer.
    pub pause_most: SignedDuration,
}

impl Default for Pace {
    /// Twenty-four attempts take between eight and sixteen hours: a night without a mail server.
    fn default() -> Self {
        Self {
            window: SignedDuration::from_secs(5),
            group_most: 50,
            per_minute: 20,
            burst: 5,
            lease: SignedDuration::from_secs(120),
            attempts_most: 24,
            pause: SignedDuration::from_secs(5),
            pause_most: SignedDuration::from_hours(1),
        }
    }
}

/// Whether a channel may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may, and this is what has to be remembered of it.
    Now(Timestamp),
    /// Not before.
    Wait(Timestamp),
}

impl Pace {
    /// When a thing that is planned now goes out first. Quiet hours hold back what is not critical.
    pub fn due(&self, severity: Severity, now: Timestamp, quiet: Option<&Quiet>) -> Timestamp {
        if severity == Severity::Critical {
            return now;
        }
        let due = now.saturating_add(self.window).unwrap_or(now);
        quiet.and_then(|quiet| quiet.end(due)).unwrap_or(due)
    }

    /// When to try again after so many failed attempts, this one included; `None` is never. The
    /// pause doubles with each attempt, and `luck` takes up to half of it away, so that many that
    /// have failed together don't come back together. What the channel asked for is waited at least,
    /// within the longest pause.
    pub fn again(
        &self,
        attempts: u32,
        asked: Option<SignedDuration>,
        luck: u64,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if attempts >= self.attempts_most {
            return None;
        }
        let doubled = 2_i32.checked_pow(attempts.saturating_sub(1).min(30)).unwrap_or(i32::MAX);
        let whole = self.pause.checked_mul(doubled).unwrap_or(self.pause_most);
        let millis = whole.min(self.pause_most).as_millis();
        let half = u64::try_from(millis / 2).unwrap_or_default();
        let off = i64::try_from(luck % half.saturating_add(1)).unwrap_or_default();
        let pause = whole.min(self.pause_most).saturating_sub(SignedDuration::from_millis(off));
        let asked = asked.unwrap_or_default().min(self.pause_most);
        now.checked_add(pause.max(asked)).ok()
    }

    /// Whether another message may go out, given what was remembered of the last: so many a minute
    /// in the long run, and a burst after a rest (the generic cell rate algorithm, ITU-T I.371).
    pub fn turn(&self, remembered: Option<Timestamp>, now: Timestamp) -> Turn {
        let step = SignedDuration::from_millis(60_000 / i64::from(self.per_minute.max(1)));
        let ahead = i32::try_from(self.burst.saturating_sub(1)).unwrap_or(i32::MAX);
        let slack = step.checked_mul(ahead).unwrap_or(SignedDuration::MAX);
        let next = remembered.unwrap_or(now).max(now);
        match next.checked_sub(slack) {
            Ok(may) if may > now => Turn::Wait(may),
            _ => Turn::Now(next.saturating_add(step).unwrap_or(next)),
        }
    }

    /// Rows of those that wait that a store has to look at: no batch is larger.
    pub const WAITING_MOST: usize = 500;

    /// Until when what waits is looked at: those that are not due yet may go out with one that is.
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.window).unwrap_or(now)
    }

    /// Which of those that wait, in the order of time due, batch and number, go out in one message
    /// now: a batch that was tried before as it was, else what goes to the same recipient.
    pub fn choose<'a>(&self, waiting: &'a [Delivery], now: Timestamp) -> Vec<&'a Delivery> {
        let is_ready = |one: &&Delivery| one.state == DeliveryState::Pending && one.is_free(now);
        let Some(first) = waiting.iter().find(|one| is_ready(one) && one.due_at <= now) else {
            return Vec::new();
        };
        let same = |one: &&Delivery| match &first.batch {
            Some(batch) => one.batch.as_ref() == Some(batch),
            None => one.batch.is_none() && one.recipient == first.recipient,
        };
        let most = if first.batch.is_some() { Self::WAITING_MOST } else { self.group_most.max(1) };
        waiting.iter().filter(is_ready).filter(same).take(most).collect()
    }
}
