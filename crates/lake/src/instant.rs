//! Dates and times as bills write them.
//!
//! Owns the way from text to microseconds of UTC. Invariant: a text is read whole or refused.

#[cfg(test)]
mod tests;

/// A date and time that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Microseconds since 1970, UTC.
    pub(crate) micros: i64,
    /// Whether the text named its zone; FOCUS wants a `Z`.
    pub(crate) zoned: bool,
}

/// Reads `2026-10-01`, `2026-10-01 00:00:00`, `2026-10-01T00:00:00.5Z`, `…+02:00`, `… UTC`.
pub(crate) fn parse(text: &[u8]) -> Option<Instant> {
    let date = text.get(..10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let days = days(year, month, day)?;
    let rest = &text[10..];
    let (seconds, micros, rest) = match rest {
        [b'T' | b't' | b' ', time @ ..] if time.first().is_some_and(u8::is_ascii_digit) => {
            time_of_day(time)?
        }
        rest => (0, 0, rest),
    };
    let (offset, zoned) = match rest {
        b"" => (0, false),
        b"Z" | b"z" | b" UTC" | b" Z" => (0, true),
        zone => (offset(zone)?, true),
    };
    let seconds = days * 86_400 + seconds - offset;
    Some(Instant { micros: seconds * 1_000_000 + micros, zoned })
}

fn time_of_day(text: &[u8]) -> Option<(i64, i64, &[u8])> {
    let (hour, minute) = (number(text.get(..2)?)?, number(text.get(3..5)?)?);
    if text[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let mut rest = &text[5..];
    let (mut second, mut micros) = (0, 0);
    if let [b':', after @ ..] = rest {
        second = number(after.get(..2)?)?;
        // A leap second is the end of its minute.
        if second > 60 {
            return None;
        }
        rest = &after[2..];
        if let [b'.', fraction @ ..] = rest {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 || length > 12 {
                return None;
            }
            // Beyond microseconds only zeros, for nothing may be lost.
            if fraction[..length].iter().skip(6).any(|byte| *byte != b'0') {
                return None;
            }
            let six = fraction[..length].iter().chain(std::iter::repeat(&b'0')).take(6);
            micros = six.fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
            rest = &fraction[length..];
        }
    }
    Some((hour * 3_600 + minute * 60 + second.min(59) + i64::from(second == 60), micros, rest))
}

/// `+02:00`, `-0530`, `+02`, in seconds.
fn offset(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, digits) = match text {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [h1, h2] => (number(&[*h1, *h2])?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?),
        _ => return None,
    };
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Days since 1970-01-01 of a date that exists.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length || year < 1 {
        return None;
    }
    // Years that begin in March: the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}
