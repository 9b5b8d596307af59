//! What the program's exit code says.

use std::process::ExitCode;

use budget::EscrowError;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 3: a verification or a check found a fault.
    Fault,
    /// 4: refused as things stand.
    Refused,
}

/// What was asked can't be done as things stand; nothing has changed.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Exit {
    /// The exit code of a command that ended with this error.
    pub fn of(error: &anyhow::Error) -> Self {
        let refused = error.chain().any(|cause| {
            cause.is::<Refused>()
                || cause.downcast_ref::<EscrowError>().is_some_and(|error| {
                    !matches!(error, EscrowError::Store(_) | EscrowError::Range)
                })
        });
        if refused { Self::Refused } else { Self::Failed }
    }

    /// Whether the reader of the answer has gone.
    pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
        error.chain().any(|cause| {
            // The CSV writer does not tell its cause to the chain.
            let csv = cause.downcast_ref::<csv::Error>().map(csv::Error::kind);
            let io = match csv {
                Some(csv::ErrorKind::Io(error)) => Some(error),
                _ => cause.downcast_ref::<std::io::Error>(),
            };
            io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        })
    }

    /// The code; 2 is what wrong usage ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Fault => 3,
            Self::Refused => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
