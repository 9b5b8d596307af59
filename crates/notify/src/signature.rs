//! The signature of a webhook: HMAC-SHA256 (RFC 2104) over the time and the body.
//!
//! Whoever receives checks three things: that the time is not long ago ([`WINDOW`]), so that what
//! somebody has recorded can't be played again for long; that the signature is right; and that the
//! idempotency key was not seen before, for attempts are repeated.

use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use thiserror::Error;

use crate::format::hex;

/// The header of the time of the attempt, in seconds since 1970.
pub const TIMESTAMP: &str = "bursar-timestamp";
/// The header of the signature: `v1=` and 64 hexadecimal digits; several, with commas between, while
/// a secret is changed.
pub const SIGNATURE: &str = "bursar-signature";
/// How far the time of an attempt may be from the receiver's clock.
pub const WINDOW: SignedDuration = SignedDuration::from_secs(5 * 60);

/// Why a request is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// No time, or none that can be read.
    #[error("the timestamp is no number of seconds since 1970")]
    Timestamp,
    /// It was signed long ago, or will be.
    #[error("the timestamp is too far from now")]
    Window,
    /// None of the signatures is right.
    #[error("no signature fits the body")]
    Signature,
}

/// The signature of a body at a time, as [`SIGNATURE`] holds it.
pub fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed(timestamp, body));
    format!("v1={}", hex(tag.as_ref()))
}

/// Checks what came in the two headers against a body. Compares in constant time.
pub fn verify(
    secret: &[u8],
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let seconds: i64 = timestamp.trim().parse().map_err(|_| SignatureError::Timestamp)?;
    let at = Timestamp::from_second(seconds).map_err(|_| SignatureError::Timestamp)?;
    if now.duration_since(at).abs() > WINDOW {
        return Err(SignatureError::Window);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signed = signed(seconds, body);
    let given = signature.split(',').filter_map(|part| part.trim().strip_prefix("v1="));
    let is_right = given.filter_map(bytes).any(|given| hmac::verify(&key, &signed, &given).is_ok());
    if is_right { Ok(()) } else { Err(SignatureError::Signature) }
}

/// The seconds in decimal, a point, the body as it is.
fn signed(timestamp: i64, body: &[u8]) -> Vec<u8> {
    let mut signed = format!("{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    signed
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

#[cfg(test)]
mod tests;
