//! Why a request came to nothing, and what AWS says when it refuses.

use serde::Deserialize;
use thiserror::Error;

use crate::{Api, CeilingError};

/// A request that came to nothing.
#[derive(Debug, Error)]
pub enum AwsError {
    /// No credentials were found, or they can't be had now.
    #[error(
        "no AWS credentials: {0}; give them as AWS's own programs take them (AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, a profile, a web identity or a machine's role)"
    )]
    Credentials(String),
    /// The request can't be made: an endpoint that is no URL, say.
    #[error("no request to {api} can be made: {cause}")]
    Request {
        /// Which API.
        api: Api,
        /// Why.
        cause: String,
    },
    /// Nobody has answered in time, however often it was tried.
    #[error("{api} was not reached in {attempts} attempts: {cause}")]
    Unreachable {
        /// Which API.
        api: Api,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        cause: String,
    },
    /// AWS was busy, or wanted fewer requests, to the end.
    #[error("{api} asked to come again later in {attempts} attempts, last with {code}: {message}")]
    Busy {
        /// Which API.
        api: Api,
        /// How often it was tried.
        attempts: u32,
        /// AWS's code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// AWS does not do this.
    #[error("{api} refused {action} with {code}: {message}")]
    Refused {
        /// Which API.
        api: Api,
        /// What was asked.
        action: &'static str,
        /// AWS's code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// An answer that can't be understood.
    #[error("{api} answered {action} with what can't be read: {cause}")]
    Answer {
        /// Which API.
        api: Api,
        /// What was asked.
        action: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// No more paid calls today.
    #[error(transparent)]
    Ceiling(#[from] CeilingError),
}

/// What AWS said: its code and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Codes that ask to come again later
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>), and Cost
/// Explorer's and Budgets' own.
const LATER: [&str; 18] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "SlowDown",
    "TransactionInProgressException",
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalError",
    "InternalErrorException",
    "InternalFailure",
    "ServiceUnavailable",
];

impl Said {
    /// Whether the same request may do later.
    pub(crate) fn is_later(&self) -> bool {
        LATER.contains(&self.code.as_str())
    }
}

/// `{"__type": "namespace#Code", "message": "…"}`; some services write `Message`.
#[derive(Deserialize)]
struct Json {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// `<ErrorResponse><Error>…` of the query protocol.
#[derive(Deserialize)]
struct Wrapped {
    #[serde(rename = "Error")]
    error: Xml,
}

/// `<Error>…` of S3.
#[derive(Deserialize)]
struct Xml {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

/// What an error's body says; the status where it says nothing that is known.
pub(crate) fn said(status: u16, body: &[u8]) -> Said {
    let text = String::from_utf8_lossy(body);
    if let Ok(Json { kind, message }) = serde_json::from_str(&text)
        && !kind.is_empty()
    {
        let code = kind.rsplit('#').next().unwrap_or_default().to_owned();
        return Said { code, message };
    }
    let xml = quick_xml::de::from_str::<Wrapped>(&text).map(|wrapped| wrapped.error);
    if let Ok(Xml { code, message }) = xml.or_else(|_| quick_xml::de::from_str::<Xml>(&text)) {
        return Said { code, message };
    }
    // The body may be anybody's, a proxy's say: it is not repeated.
    Said { code: format!("status {status}"), message: "it says nothing else".to_owned() }
}

#[cfg(test)]
mod tests;
