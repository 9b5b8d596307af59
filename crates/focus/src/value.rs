//! How FOCUS values are written: numbers, instants, currencies, units, JSON.
//!
//! Owns the reading of one value's text, exactly, and the check of its format. Knows nothing of
//! columns' meaning. Invariant: no number passes through a float, no input panics, and work is
//! bounded by the length of the text.
//!
//! Sources: the attributes `NumericFormat`, `DateTimeFormat`, `CurrencyFormat`, `UnitFormat`,
//! `KeyValueFormat`, `JsonObjectFormat`, `NullHandling` and `StringHandling` of the specification.

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::Format;

mod json;
mod number;
#[cfg(test)]
mod tests;

pub use json::{JsonError, members};
pub(crate) use json::{elements, object, string};
pub use number::{Number, NumberError};

/// Whether the text stands for no value: `NullHandling` in a format without nulls of its own.
///
/// `NULL` is what the official sample data writes.
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "NULL" | "null")
}

/// How an instant's zone was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// `Z`, as the specification wants it.
    Utc,
    /// An offset from UTC.
    Offset,
    /// Not at all; UTC was taken.
    Unsaid,
}

/// Reads `2026-10-01T00:00:00Z`, the same with an offset, with a space for the `T`, or without a
/// zone, or a date alone. `None` when it is none of them.
pub fn instant(text: &str) -> Option<(Timestamp, Zone)> {
    // The only forms have four digits of a year; jiff knows more, such as weeks.
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        let utc = text.ends_with(['Z', 'z']);
        return Some((at, if utc { Zone::Utc } else { Zone::Offset }));
    }
    if !bytes.iter().all(|byte| byte.is_ascii_digit() || b"-:. T".contains(byte)) {
        return None;
    }
    let civil: civil::DateTime = text.parse().ok()?;
    let at = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((at, Zone::Unsaid))
}

/// Why a value is not of a format: a fragment that reads after "is".
pub fn fault(format: Format, allowed: &[&str], text: &str) -> Option<&'static str> {
    match format {
        Format::Free => free(text),
        Format::Allowed => (!allowed.contains(&text)).then_some("none of the allowed values"),
        Format::Currency => currency(text),
        Format::Unit => unit(text),
        Format::Instant => date_time(text),
        Format::Number => number(text),
        Format::NonNegative => number(text).or_else(|| {
            let negative = Number::parse(text).is_ok_and(|number| number.is_negative());
            negative.then_some("negative")
        }),
        Format::KeyValue => match members(text) {
            Ok(members) if members.iter().any(|(_, value)| value.starts_with(['{', '['])) => {
                Some("a JSON object with objects or arrays in it, where only simple values may be")
            }
            Ok(_) => None,
            Err(error) => Some(error.as_str()),
        },
        Format::Object => members(text).err().map(JsonError::as_str),
    }
}

/// What people write where there is no value.
const PLACEHOLDERS: &[&str] = &["N/A", "n/a", "NA", "None", "none", "Not Applicable", "-"];

fn free(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        return Some("blank");
    }
    PLACEHOLDERS.contains(&text).then_some("a placeholder, where null is for no value")
}

fn number(text: &str) -> Option<&'static str> {
    match Number::parse(text) {
        Err(error) => Some(error.as_str()),
        Ok(_) if text.contains(['+', 'e']) => {
            Some("a number in another notation than -1.5 or 1.5E-7")
        }
        Ok(_) => None,
    }
}

fn date_time(text: &str) -> Option<&'static str> {
    match instant(text).map(|(_, zone)| zone) {
        None => Some("no instant"),
        Some(Zone::Offset) => Some("an instant that is not in UTC"),
        Some(Zone::Unsaid) => Some("an instant without Z for UTC"),
        Some(Zone::Utc) => {
            let clock = text.get(10..).and_then(|rest| rest.strip_prefix('T')?.strip_suffix('Z'));
            let seconds = clock.is_some_and(|clock| clock.as_bytes().get(5) == Some(&b':'));
            (!seconds).then_some("an instant in another notation than 2026-10-01T00:00:00Z")
        }
    }
}

fn currency(text: &str) -> Option<&'static str> {
    let code = text.len() == 3 && CURRENCIES.split(' ').any(|code| code == text);
    (!code).then_some("no ISO 4217 currency code")
}

fn unit(text: &str) -> Option<&'static str> {
    if text.trim() != text || text.is_empty() {
        return Some("a unit with spaces around it");
    }
    Number::parse(text).is_ok().then_some("a number, where a unit is wanted")
}

/// The active alphabetic codes of ISO 4217, with those of funds, metals and tests.
const CURRENCIES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND \
    BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF \
    DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS \
    INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD \
    MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN \
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC \
    SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV \
    WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG";
