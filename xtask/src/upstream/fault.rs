//! What goes wrong: errors in each dialect, and answers bent as a script wants them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::journal::Sent;
use super::script::{Ending, Script};
use super::told::{Piece, Told};
use super::transcript::{Dialect, Transcript, id};

/// Long enough for what was sent to arrive before the connection ends.
const BEFORE_CUT: Duration = Duration::from_millis(30);
/// Between two pieces of an answer without an end.
const ENDLESS_PACE: Duration = Duration::from_millis(5);
/// An oversized answer is 1,024 of these.
const OVERSIZED_PIECE: usize = 64 * 1024;

/// An error before anybody knows the dialect.
pub(super) fn plain(status: u16, message: &str) -> Response<Told> {
    error(Dialect::OpenAi, status, message)
}

pub(super) fn error(dialect: Dialect, status: u16, message: &str) -> Response<Told> {
    let id = id(u64::from(status));
    let body = match dialect {
        Dialect::Anthropic => serde_json::json!({
            "type": "error",
            "error": {"type": kind(status), "message": message},
            "request_id": format!("req_{id}"),
        }),
        Dialect::OpenAi => {
            let (kind, code) = kind_and_code(status);
            serde_json::json!({
                "error": {"message": message, "type": kind, "param": null, "code": code}
            })
        }
    };
    let mut response = Response::new(Told::whole(Bytes::from(body.to_string())));
    *response.headers_mut() = dialect.headers(&id, false);
    if status == 429 {
        response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    }
    if let Ok(status) = StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response
}

/// Anthropic's word for a status.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// OpenAI's words for a status.
fn kind_and_code(status: u16) -> (&'static str, Option<&'static str>) {
    match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("tokens", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    }
}

/// The answer as its script wants it.
pub(super) fn bent(
    transcript: Transcript,
    dialect: Dialect,
    script: &Script,
    sent: Arc<Sent>,
) -> Response<Told> {
    let mut headers = dialect.headers(&transcript.id, transcript.is_stream);
    if script.ending == Ending::HeaderBomb {
        let value = HeaderValue::from_str(&"x".repeat(1_000));
        for number in 0..2_000 {
            let name = HeaderName::from_bytes(format!("x-bomb-{number}").as_bytes());
            if let (Ok(name), Ok(value)) = (name, &value) {
                headers.insert(name, value.clone());
            }
        }
    }
    let mut response = Response::new(Told::new(pieces(transcript, dialect, script), sent));
    *response.headers_mut() = headers;
    response
}

fn pieces(transcript: Transcript, dialect: Dialect, script: &Script) -> Vec<Piece> {
    let is_stream = transcript.is_stream;
    let whole = |pieces: Vec<Bytes>| paced(pieces, script.pace);
    let half = |transcript: Transcript| {
        let mut pieces = transcript.pieces;
        if is_stream {
            pieces.truncate(pieces.len() / 2);
        } else if let Some(body) = pieces.first_mut() {
            body.truncate(body.len() / 2);
        }
        paced(pieces, script.pace)
    };
    match script.ending {
        Ending::CutBeforeBody => vec![Piece::Pause(BEFORE_CUT), Piece::Cut],
        Ending::CutMidStream => {
            let mut pieces = half(transcript);
            pieces.extend([Piece::Pause(BEFORE_CUT), Piece::Cut]);
            pieces
        }
        Ending::HangMidStream => {
            let mut pieces = half(transcript);
            pieces.push(Piece::Silence);
            pieces
        }
        Ending::ErrorMidStream => {
            let mut pieces = half(transcript);
            pieces.push(Piece::Bytes(Bytes::from_static(error_event(dialect))));
            pieces
        }
        Ending::Garbage => {
            let junk =
                Bytes::from_static(b"<html>\xff\xfe{]]data:: \x00 502 Bad Gateway</html>\n\n");
            whole(vec![junk; if is_stream { 3 } else { 1 }])
        }
        Ending::NeverEnds => {
            let mut pieces = half(transcript);
            let again = match pieces.pop() {
                Some(Piece::Bytes(bytes)) if is_stream => bytes,
                _ => Bytes::from_static(b"          "),
            };
            pieces.push(Piece::Again { bytes: again, pause: ENDLESS_PACE, times: u64::MAX });
            pieces
        }
        Ending::Oversized => {
            let head: &[u8] = if is_stream { b"data: {\"x\":\"" } else { b"{\"x\":\"" };
            let bytes = Bytes::from(vec![b'x'; OVERSIZED_PIECE]);
            vec![
                Piece::Bytes(Bytes::copy_from_slice(head)),
                Piece::Again { bytes, pause: Duration::ZERO, times: 1_024 },
                Piece::Bytes(Bytes::from_static(b"\"}\n\n")),
            ]
        }
        Ending::Trickle => {
            let all = transcript.pieces.concat();
            whole(all.chunks(7).map(Bytes::copy_from_slice).collect())
        }
        _ => whole(transcript.pieces),
    }
}

/// The pieces with a pause between two of them; together where there is none, as a vendor's fast answer arrives.
fn paced(pieces: Vec<Bytes>, pace: Duration) -> Vec<Piece> {
    if pace.is_zero() {
        return pieces.into_iter().map(Piece::Bytes).collect();
    }
    let paced = pieces.into_iter().flat_map(|bytes| [Piece::Bytes(bytes), Piece::Pause(pace)]);
    let mut paced: Vec<_> = paced.collect();
    paced.pop();
    paced
}

fn error_event(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::Anthropic => concat!(
            "event: error\ndata: {\"type\":\"error\",\"error\":",
            "{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
        )
        .as_bytes(),
        Dialect::OpenAi => concat!(
            "data: {\"error\":{\"message\":\"The server had an error while processing your ",
            "request.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n"
        )
        .as_bytes(),
    }
}
