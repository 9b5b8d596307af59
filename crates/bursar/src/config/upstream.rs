//! `[upstream.NAME]`: where a vendor is reached, and with which key.

use std::{fs, time::Duration};

use gateway::{Dialect, Upstream};
use jiff::SignedDuration;
use secrecy::SecretString;

use super::{Fault, Source, file::TableText, value::parsed};

/// The keys of an upstream's table.
pub(super) const KEYS: [&str; 12] = [
    "api",
    "url",
    "ca_file",
    "key",
    "key_file",
    "key_env",
    "auth",
    "models",
    "timeout",
    "idle_timeout",
    "attempts",
    "stream_usage",
];

/// What an upstream's table means; `None` where something is wrong with it.
pub(super) fn read(written: &TableText, faults: &mut Vec<Fault>) -> Option<Upstream> {
    let before = faults.len();
    let table = format!("upstream.{}", written.name);
    let mut fault = |source: &Source, key: String, message: String| {
        faults.push(Fault { source: source.clone(), key: Some(key), message });
    };
    let placeholder = http::Uri::from_static("http://localhost");
    let mut upstream = Upstream::new(written.name.clone(), Dialect::OpenAi, placeholder);
    for (key, source, text) in &written.fields {
        if let Err(message) = set(&mut upstream, key, text) {
            fault(source, format!("{table}.{key}"), message);
        }
    }
    let has = |wanted: &str| written.fields.iter().any(|(key, _, _)| key == wanted);
    for wanted in ["api", "url"] {
        if !has(wanted) {
            fault(&written.source, table.clone(), format!("{wanted} is missing"));
        }
    }
    if ["key", "key_file", "key_env"].into_iter().filter(|key| has(key)).count() > 1 {
        let message = "has more than one of key, key_file and key_env".to_owned();
        fault(&written.source, table, message);
    }
    (faults.len() == before).then_some(upstream)
}

fn set(upstream: &mut Upstream, key: &str, text: &str) -> Result<(), String> {
    match key {
        "api" => upstream.dialect = text.parse()?,
        "url" => upstream.url = url(text)?,
        "ca_file" => {
            let read = fs::read(text).map_err(|error| format!("{text}: {error}"))?;
            upstream.authority = Some(read);
        }
        "key" => upstream.key = Some(secret(text)?),
        "key_file" => {
            let read = fs::read_to_string(text).map_err(|error| format!("{text}: {error}"))?;
            upstream.key = Some(secret(read.trim())?);
        }
        "key_env" => {
            let read = std::env::var(text).map_err(|_| format!("no variable {text} is set"))?;
            upstream.key = Some(secret(read.trim())?);
        }
        "auth" => upstream.auth = Some(text.parse()?),
        "models" => upstream.models = models(text)?,
        "timeout" => upstream.timeout = duration(text)?,
        "idle_timeout" => upstream.idle_timeout = duration(text)?,
        "attempts" => {
            upstream.attempts = parsed(text, "a whole number from 1 to 10")?;
            if !(1..=10).contains(&upstream.attempts) {
                return Err(format!("{text} is not between 1 and 10"));
            }
        }
        "stream_usage" => upstream.stream_usage = parsed(text, "true or false")?,
        _ => return Err(format!("unknown; there are {}", KEYS.join(", "))),
    }
    Ok(())
}

fn url(text: &str) -> Result<http::Uri, String> {
    let url: http::Uri = parsed(text, "a URL, as https://api.openai.com/v1")?;
    let scheme = url.scheme_str().unwrap_or_default();
    let host = url.host().unwrap_or_default();
    if !["http", "https"].contains(&scheme) || host.is_empty() {
        return Err(format!("{text:?} is no URL that begins with http:// or https://"));
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("holds a user or password: give the key as key, key_file or key_env".to_owned());
    }
    Ok(url)
}

fn secret(text: &str) -> Result<SecretString, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key is not empty, of ASCII letters, digits and signs".to_owned());
    }
    Ok(SecretString::from(text))
}

fn models(text: &str) -> Result<Vec<String>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let models: Vec<String> = words.map(str::to_owned).collect();
    if models.is_empty() { Err("names no models; * stands for all".to_owned()) } else { Ok(models) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = parsed(text, "a duration, as 30s or 10m")?;
    let most = Duration::from_secs(24 * 3600);
    let span = Duration::try_from(span).ok().filter(|span| !span.is_zero() && *span <= most);
    span.ok_or_else(|| format!("{text:?} is not between 1ms and 24h"))
}
