//! Commands on their way to the group commit.

use budget::{Command, CommandResult, EscrowError, StoreError};
use tokio::sync::{mpsc, oneshot};

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
pub(crate) async fn submit(queue: &mpsc::Sender<Job>, command: Command) -> CommandResult {
    let (reply, outcome) = oneshot::channel();
    queue.try_send(Job { command, reply }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => EscrowError::Store(StoreError::Overloaded),
        mpsc::error::TrySendError::Closed(_) => EscrowError::Store(StoreError::Closed),
    })?;
    outcome.await.unwrap_or(Err(EscrowError::Store(StoreError::Closed)))
}
