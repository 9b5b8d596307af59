//! What a machine has lost that went down is held as the store is opened.

use std::sync::Arc;

use ::budget::{Command, EscrowError, Reserve, StoreError};
use money::Money;

use super::{
    super::{batch, cover::Lost, log},
    State,
};

impl State {
    /// Holds what stands in for calls that were lost when the machine went down, or its disk did not
    /// take the log.
    pub(in crate::sqlite) fn recover(&mut self) -> Result<(), StoreError> {
        let was_refused = self.log.was_refused();
        if was_refused {
            // What the disk has of the log nobody knows: the next one begins anew.
            tracing::warn!("the disk had not taken the log; all of it is moved into the file");
            log::empty(&self.db)?;
        }
        let boot = self.options.boot.clone().filter(|_| !was_refused);
        for lost in Lost::read(&self.db, boot.as_deref())? {
            if let Some(amount) = self.hold(&lost)? {
                tracing::warn!(
                    "the machine went down with calls whose holds were not on its disk: \
                     {amount} USD of {lost} are held and will be unresolved"
                );
            }
            self.write(|db| lost.forget(db))?;
        }
        self.sync();
        self.check()?;
        self.log.taken().map_err(StoreError::unavailable)
    }

    /// Holds it, as far as there is room: what was lost had room. How much that is.
    fn hold(&mut self, lost: &Lost) -> Result<Option<Money>, StoreError> {
        let clock = self.options.clock.clone();
        let at = lost.at(clock());
        self.options.clock = Arc::new(move || at);
        let held = self.hold_now(lost.hold());
        self.options.clock = clock;
        // The book of an earlier period is not that of today.
        self.forget();
        held
    }

    fn hold_now(&mut self, mut reserve: Reserve) -> Result<Option<Money>, StoreError> {
        loop {
            let command = Command::Reserve(reserve.clone());
            let told = batch::commit(self, &[&command], &[])?.pop();
            self.is_ahead = true;
            match told {
                Some((Err(EscrowError::Refused(refusal)), _)) => {
                    let (standing, asked) = (refusal.standing, reserve.estimate.amount);
                    let asked = asked.unwrap_or(Money::ZERO);
                    let others = standing.counted.saturating_sub_to_zero(asked);
                    let room = standing.limit.saturating_sub_to_zero(others);
                    if room.is_zero() || room >= asked {
                        return Ok(None);
                    }
                    reserve.estimate.amount = Some(room);
                }
                Some((Err(EscrowError::Store(error)), _)) => return Err(error),
                Some((Ok(_), _)) => return Ok(reserve.estimate.amount),
                // It was held before, or no budget covers it any more.
                Some((Err(_), _)) | None => return Ok(None),
            }
        }
    }
}
