//! What the vendor tells of a batch, on its way to the caller.
//!
//! Source: <https://platform.claude.com/docs/en/api/messages/batches/retrieve>. The vendor names a
//! place of his own for the results, and the SDKs go there with the key that they have: it is
//! Bursar's, and must not reach him. So the place is named below the caller's base URL, as the SDKs
//! take it, too. All else passes as it is.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::Api;

#[derive(Deserialize)]
struct Told<'a> {
    id: String,
    #[serde(borrow)]
    results_url: Option<&'a RawValue>,
}

/// A batch whose results are to be had here.
pub(super) fn told(body: Bytes) -> Bytes {
    let Ok(Told { id, results_url: Some(url) }) = serde_json::from_slice(&body) else {
        return body;
    };
    let Ok(place) = serde_json::to_string(&format!("{}/{id}/results", Api::MessageBatches.path()))
    else {
        return body;
    };
    let begin = url.get().as_ptr().addr() - body.as_ptr().addr();
    let end = begin + url.get().len();
    [&body[..begin], place.as_bytes(), &body[end..]].concat().into()
}

/// The same where it is an answer with headers.
pub(super) fn told_with(headers: &mut HeaderMap, body: Bytes) -> Bytes {
    let told = told(body);
    headers.remove(header::CONTENT_LENGTH);
    told
}
