//! Commands on their way to the group commit.

use std::time::Instant;

use budget::{Command, CommandResult, EscrowError, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::names::{self, Verb};

/// A command and who waits for its outcome.
#[derive(Debug)]
pub(crate) struct Job {
    /// What to do.
    pub(crate) command: Command,
    /// Answered once the commit is durable, or what stands in for it is.
    pub(crate) reply: oneshot::Sender<CommandResult>,
}

/// Hands a command in and waits until it may be answered: as a rule, until it is durable. A full
/// queue is refused at once: waiting longer would help nobody.
pub(crate) async fn submit(
    command: Command,
    hand_in: impl FnOnce(Job) -> Result<(), StoreError>,
) -> CommandResult {
    let (verb, since) = (Verb::from(&command), Instant::now());
    let (reply, outcome) = oneshot::channel();
    let result = match hand_in(Job { command, reply }) {
        Ok(()) => outcome.await.unwrap_or(Err(EscrowError::Store(StoreError::Closed))),
        Err(error) => Err(EscrowError::Store(error)),
    };
    names::answered(verb, since, &result);
    result
}

/// Why a queue did not take a message.
pub(crate) fn refused<M>(error: &mpsc::error::TrySendError<M>) -> StoreError {
    match error {
        mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
        mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
    }
}
