//! Pauses between tries: doubled each time, with jitter, so that many clients don't come at once.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: 0 }
    }

    /// The next pause: between a half and all of the doubled one.
    pub(crate) fn next(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.tries.min(20));
        self.tries = self.tries.saturating_add(1);
        jittered(self.first.saturating_mul(factor).min(self.most))
    }
}

/// Between a half and all of it.
pub(crate) fn jittered(most: Duration) -> Duration {
    let half = most / 2;
    // Without random bytes the pause is the shorter one; that is no fault worth telling.
    let random = getrandom::u32().unwrap_or(0);
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
