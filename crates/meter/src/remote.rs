//! The service from afar: an escrow over HTTP, and what the layer asks of it.

use std::time::Duration;

use api::{CheckRequest, CheckResponse};
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::{
    client::{Answer, Client, RemoteError, SetupError, graver},
    record::Record,
    verdict::Refusal,
};

mod escrow;

/// The code for a tenant that a token does not speak for.
pub(crate) const OTHER_TENANT: &str = "other_tenant";

/// A Bursar service. Clones share its connections.
///
/// As a [`budget::Escrow`] it does what a store does, with these bounds of the wire: amounts are at
/// most 1,000,000,000 US dollars, counts of tokens at most 1,000,000,000 and time-outs whole seconds
/// up to a day; what is beyond is [`budget::EscrowError::Range`]. A quote without an amount is priced
/// by the service. One with an amount that is not `given` is believed where the token is an
/// administrator's. A caller's fault for which an escrow has no word, such as a call of no tokens, is
/// a [`budget::StoreError::Unavailable`] whose cause is [`RemoteError::Invalid`].
#[derive(Debug, Clone)]
pub struct Remote {
    client: Client,
}

/// What the service says to a check.
#[derive(Debug)]
pub(crate) enum Verdict {
    Approved(Box<CheckResponse>),
    Refused {
        refusal: Box<Refusal>,
        /// No earlier try may have held money all the same.
        is_sure: bool,
    },
}

/// What the service says to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// It is done with.
    Done,
    /// What is to be released may still come: it is to be asked for again.
    Early,
}

impl Remote {
    /// The service at an address such as `http://bursar:3010`. Connects when it is first asked.
    pub fn new(url: &str) -> Result<Self, SetupError> {
        Ok(Self { client: Client::new(url, None)? })
    }

    /// The service at an address such as `https://bursar.internal`, whose certificate one of these
    /// authorities has signed, in PEM, instead of those that the system trusts.
    pub fn trusting(url: &str, authorities: &[u8]) -> Result<Self, SetupError> {
        Ok(Self { client: Client::new(url, Some(authorities))? })
    }

    /// With the admin token or a tenant's key.
    pub fn with_token(mut self, token: SecretString) -> Result<Self, SetupError> {
        self.client.set_token(token)?;
        Ok(self)
    }

    /// How long a call may take, repeats included; five seconds by default.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.client.timeout = timeout;
        self
    }

    /// How often a call is tried where the connection fails; three times by default.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.client.attempts = attempts.max(1);
        self
    }

    /// The service's address.
    pub fn address(&self) -> &str {
        self.client.base()
    }

    /// Asks whether a request may be made; its money is held when it may.
    pub(crate) async fn ask(&self, request: &CheckRequest) -> Result<Verdict, RemoteError> {
        let answer = self.client.post("/api/ai-budget/check", Some(request)).await?;
        if answer.status == StatusCode::OK {
            let answer: CheckResponse = answer.read()?;
            return Ok(Verdict::Approved(Box::new(answer)));
        }
        let problem = answer.problem();
        let refused = problem.filter(|problem| {
            answer.status == StatusCode::TOO_MANY_REQUESTS
                && matches!(problem.code.as_str(), "budget_exceeded" | "no_budget")
        });
        let Some(problem) = refused else { return Err(failure(&answer)) };
        let refusal = Refusal::of(problem, answer.retry_after);
        let is_sure = answer.earlier.is_none();
        refusal
            .map(|refusal| Verdict::Refused { refusal: Box::new(refusal), is_sure })
            .ok_or_else(|| answer.unexpected())
    }

    /// Delivers a record at `now`. [`RemoteError::Invalid`] means that it will never be taken.
    pub(crate) async fn deliver(
        &self,
        record: &Record,
        now: Timestamp,
    ) -> Result<Delivered, RemoteError> {
        match record {
            Record::Track { body } => {
                let answer = self.client.post("/api/ai-budget/track", Some(body)).await?;
                match answer.status {
                    StatusCode::OK => answer.read::<api::TrackResponse>().map(|_| Delivered::Done),
                    _ => Err(failure(&answer)),
                }
            }
            Record::Release { request_id, until } => {
                let path = format!("/api/v1/reservations/{request_id}/release");
                let answer = self.client.post::<()>(&path, None).await?;
                match failure(&answer) {
                    _ if answer.status == StatusCode::OK => Ok(Delivered::Done),
                    RemoteError::Invalid(problem) if problem.request_id == Some(*request_id) => {
                        match problem.code.as_str() {
                            "not_found" if until.is_some_and(|until| now < until) => {
                                Ok(Delivered::Early)
                            }
                            // Nothing was held, or it has been charged meanwhile: nothing is left
                            // to release.
                            "not_found" | "reservation_state" => Ok(Delivered::Done),
                            _ => Err(RemoteError::Invalid(problem)),
                        }
                    }
                    error => Err(error),
                }
            }
        }
    }
}

/// What an answer means that is no success.
fn failure(answer: &Answer) -> RemoteError {
    match last_failure(answer) {
        // A wrong request is wrong at every try.
        error @ RemoteError::Invalid(_) => error,
        error => graver(answer.earlier.clone(), error),
    }
}

fn last_failure(answer: &Answer) -> RemoteError {
    let problem = answer.problem();
    let code = || {
        let code = problem.as_ref().map(|problem| problem.code.clone());
        code.unwrap_or_else(|| format!("status {}", answer.status.as_u16()))
    };
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => match problem {
            // The token is right, and will never speak for this tenant.
            Some(problem) if problem.code == OTHER_TENANT => {
                RemoteError::Invalid(Box::new(problem))
            }
            _ => RemoteError::Access(code()),
        },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            RemoteError::Busy { code: code(), retry_after: answer.retry_after }
        }
        status if status.is_server_error() => {
            RemoteError::Busy { code: code(), retry_after: answer.retry_after }
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => match problem {
            Some(problem) if problem.request_id.is_some() => {
                RemoteError::Invalid(Box::new(problem))
            }
            // A path that is none of the service's: the address is wrong, not the request.
            _ => answer.unexpected(),
        },
        status if status.is_client_error() => match problem {
            Some(problem) => RemoteError::Invalid(Box::new(problem)),
            None => answer.unexpected(),
        },
        _ => answer.unexpected(),
    }
}
