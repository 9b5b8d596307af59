//! Commands on their way to the group commit.

use std::time::Instant;

use budget::{Command, CommandResult, EscrowError, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::names;

/// A command and who waits for its outcome.
#[derive(Debug)]
pub(crate) struct Job {
    /// What to do.
    pub(crate) command: Command,
    /// Answered after the commit.
    pub(crate) reply: oneshot::Sender<CommandResult>,
}

/// Hands a command in and waits until it is durable. A full queue is refused at once: waiting
/// longer would help nobody.
pub(crate) async fn submit<M>(
    queue: &mpsc::Sender<M>,
    command: Command,
    message: impl FnOnce(Job) -> M,
) -> CommandResult {
    let (verb, since) = (names::verb(&command), Instant::now());
    let (reply, outcome) = oneshot::channel();
    let result = match queue.try_send(message(Job { command, reply })) {
        Ok(()) => outcome.await.unwrap_or(Err(EscrowError::Store(StoreError::Closed))),
        Err(error) => Err(EscrowError::Store(refused(&error))),
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
