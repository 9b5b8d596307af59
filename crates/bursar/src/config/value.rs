//! Settings' texts, read as what they mean.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use budget::Resolution;
use gateway::Fail;
use ipnet::IpNet;
use jiff::SignedDuration;
use money::Money;
use secrecy::SecretString;

use super::LogFormat;

/// Reads where to listen. `localhost` is the loopback address, whatever a resolver says.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let numbers = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let wanted = "an address with a port, as 127.0.0.1:3010";
    let address = numbers.as_deref().unwrap_or(text).parse();
    address.map_err(|_| format!("{text:?} is not {wanted}"))
}

pub(super) fn parsed<T: std::str::FromStr>(text: &str, wanted: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not {wanted}"))
}

pub(super) fn database(text: &str) -> Result<String, String> {
    let known = ["sqlite://", "postgres://", "postgresql://"];
    let place = known.iter().find_map(|scheme| text.strip_prefix(scheme));
    match place {
        Some(place) if !place.is_empty() => Ok(text.to_owned()),
        Some(_) => Err("a database address needs more than its scheme".to_owned()),
        None => Err("a database address begins with sqlite:// or postgres://".to_owned()),
    }
}

/// A folder, or an address that object stores have.
pub(super) fn lake(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        _ if text.is_empty() => Err("a lake needs a folder or s3://bucket/prefix".to_owned()),
        None | Some(("file" | "s3", _)) => Ok(text.to_owned()),
        Some((scheme, _)) => {
            Err(format!("a lake is in a folder or under s3://, there is no {scheme}:// here"))
        }
    }
}

/// Reads the number of an AWS account.
pub fn account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let wanted = "an account of AWS, of 12 digits; write it as a text";
    if is_account { Ok(text.to_owned()) } else { Err(format!("{text:?} is not {wanted}")) }
}

/// Reads how often something is done; `None` is never.
pub(super) fn every(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "never" => Ok(None),
        _ => duration(text).map(|span| Some(span.unsigned_abs())),
    }
}

/// Reads which buckets are measured; no names is all of them.
pub(super) fn buckets(text: &str) -> Result<Option<Vec<String>>, String> {
    match text {
        "none" => return Ok(None),
        "all" => return Ok(Some(Vec::new())),
        _ => {}
    }
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let is_name = |name: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        (3..=255).contains(&name.len()) && name.bytes().all(plain)
    };
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("{name:?} is no bucket; write names, all or none")),
        None => Ok(Some(names)),
    }
}

/// Reads an address of HTTP without a user or password in it.
pub(super) fn web(text: &str) -> Result<http::Uri, String> {
    let url: http::Uri = parsed(text, "a URL, as http://127.0.0.1:8123")?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    if !is_web || url.host().unwrap_or_default().is_empty() {
        return Err(format!("{text:?} is no URL that begins with http:// or https://"));
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@'))
        || url.query().is_some()
    {
        return Err("holds a user, a password or a query: set user and password_file".to_owned());
    }
    Ok(url)
}

/// Reads the address of a Postgres server.
pub(super) fn postgres(text: &str) -> Result<String, String> {
    match database(text)? {
        url if url.starts_with("sqlite:") => Err("is no address of Postgres".to_owned()),
        url => Ok(url),
    }
}

pub(super) fn token(text: &str) -> Result<SecretString, String> {
    if text.len() < 16 {
        return Err(format!("a token needs 16 characters or more, it has {}", text.len()));
    }
    let plain = |byte: u8| byte.is_ascii_graphic();
    if !text.bytes().all(plain) {
        return Err("a token may hold ASCII letters, digits and signs alone".to_owned());
    }
    Ok(SecretString::from(text))
}

pub(super) fn limit(text: &str) -> Result<Option<Money>, String> {
    if text == "refuse" {
        return Ok(None);
    }
    let limit: Money = text.parse().map_err(|error| format!("{error}"))?;
    let allowed = !limit.is_negative() && limit <= budget::Budget::LIMIT_MOST;
    let wanted = || format!("a limit is between 0 and {} USD", budget::Budget::LIMIT_MOST);
    if allowed { Ok(Some(limit)) } else { Err(wanted()) }
}

pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: SignedDuration = parsed(text, "a duration, as 15m or 24h")?;
    let most = SignedDuration::from_hours(24 * 366);
    if span < SignedDuration::from_secs(1) || span > most {
        return Err(format!("{text:?} is not between 1s and 366 days"));
    }
    Ok(span)
}

/// Reads what to do with an unresolved hold.
pub fn resolution(text: &str) -> Result<Resolution, String> {
    match text {
        "charge" => Ok(Resolution::Charge),
        "release" => Ok(Resolution::Release),
        _ => Err(format!("{text:?} is neither charge nor release")),
    }
}

pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let network = |word: &str| {
        let address = || word.parse::<IpAddr>().map(IpNet::from);
        let network = word.parse().or_else(|_| address());
        network.map_err(|_| format!("{word:?} is no network, as 10.0.0.0/8"))
    };
    words.map(network).collect()
}

pub(super) fn wait(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = parsed(text, "a duration, as 2s or 500ms")?;
    let wait = Duration::try_from(span).ok().filter(|wait| *wait <= Duration::from_secs(60));
    wait.ok_or_else(|| format!("{text:?} is not between 0s and 60s"))
}

/// Reads how long a peer is waited for.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = parsed(text, "a duration, as 30s or 2m")?;
    let most = Duration::from_secs(3600);
    let patience = Duration::try_from(span).ok().filter(|span| !span.is_zero() && *span <= most);
    patience.ok_or_else(|| format!("{text:?} is not between 1ms and 1h"))
}

pub(super) fn fail(text: &str) -> Result<Fail, String> {
    match text {
        "closed" => Ok(Fail::Closed),
        "open" => Ok(Fail::Open),
        _ => Err(format!("{text:?} is neither closed nor open")),
    }
}

pub(super) fn cover(text: &str) -> Result<u8, String> {
    let percent = text.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| format!("{text:?} is not a whole number from 0 to 100"))
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is neither text nor json")),
    }
}

pub(super) fn log_level(text: &str) -> Result<String, String> {
    // A word alone would be taken for a module, and everything it says be logged.
    let is_known = |part: &str| {
        part.contains(['=', '[']) || part.parse::<tracing::level_filters::LevelFilter>().is_ok()
    };
    if let Some(part) = text.split(',').map(str::trim).find(|part| !is_known(part)) {
        let levels = "off, error, warn, info, debug, trace";
        return Err(format!("{part:?} is none of {levels}, and not MODULE=LEVEL"));
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is no log level: {error}")),
    }
}
