//! What is delivered to the service off the path of requests, as it stands in the spool: the same
//! lines that the Fastify plugin writes.

use api::TrackRequest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Usage to be charged, or a hold to be freed. Either may be delivered twice: it is done once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Record {
    Track {
        body: Box<TrackRequest>,
    },
    Release {
        #[serde(rename = "requestId")]
        request_id: Uuid,
        /// Until when the hold may still come into being, where the check had no answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
}

impl Record {
    pub(crate) fn request_id(&self) -> Uuid {
        match self {
            Self::Track { body } => body.request_id,
            Self::Release { request_id, .. } => *request_id,
        }
    }
}
