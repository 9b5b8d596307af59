//! The config: a TOML file, `BURSAR_*` variables over it, read once and typed.
//!
//! Every fault is found and told at once, those of the file with its line. A key that no setting
//! has is a fault.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use budget::{Defaults, Resolution};
use gateway::Fail;
use ipnet::IpNet;
use jiff::SignedDuration;
use money::Money;
use secrecy::SecretString;
use thiserror::Error;

pub mod file;
pub mod setting;
#[cfg(test)]
mod tests;
mod upstream;

use setting::{SETTINGS, Setting};

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs, a line each.
    Json,
}

/// What was configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the service listens.
    pub listen: SocketAddr,
    /// The folder of the SQLite database.
    pub data_dir: PathBuf,
    /// The database, where one was named.
    pub database: Option<String>,
    /// The token that may do everything.
    pub admin_token: Option<SecretString>,
    /// The monthly limit where no budget was set; `None` refuses.
    pub default_limit: Option<Money>,
    /// How long a reservation waits for its settle.
    pub timeout: SignedDuration,
    /// What becomes of a hold that stays unresolved.
    pub resolution: Resolution,
    /// After how long; `None` leaves it to people.
    pub resolve_after: Option<SignedDuration>,
    /// Requests a second that one key may make.
    pub rate_per_second: NonZeroU32,
    /// Networks whose word on who pays is believed.
    pub gateway_trusted: Option<Vec<IpNet>>,
    /// How long a call may wait for others to settle.
    pub gateway_wait: Duration,
    /// What becomes of calls while the store is down.
    pub gateway_fail: Fail,
    /// Calls in flight at a time.
    pub gateway_calls: NonZeroU32,
    /// The folder of charges to come.
    pub gateway_spool: Option<PathBuf>,
    /// The vendors, in the order of the file.
    pub upstreams: Vec<gateway::Upstream>,
    /// The form of the log.
    pub log_format: LogFormat,
    /// What the log says.
    pub log_level: String,
}

impl Config {
    fn new(data_dir: PathBuf) -> Self {
        let defaults = Defaults::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3010)),
            data_dir,
            database: None,
            admin_token: None,
            default_limit: defaults.limit,
            timeout: defaults.timeout,
            resolution: defaults.resolution,
            resolve_after: defaults.resolve_after,
            rate_per_second: NonZeroU32::MIN.saturating_add(999),
            gateway_trusted: None,
            gateway_wait: Duration::from_secs(2),
            gateway_fail: Fail::Closed,
            gateway_calls: NonZeroU32::MIN.saturating_add(4095),
            gateway_spool: None,
            upstreams: Vec::new(),
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
        }
    }

    /// What holds where no budget says otherwise.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            limit: self.default_limit,
            timeout: self.timeout,
            resolution: self.resolution,
            resolve_after: self.resolve_after,
        }
    }

    /// The database's address.
    pub fn database_url(&self) -> String {
        let default = || format!("sqlite://{}", self.data_dir.join("bursar.db").display());
        self.database.clone().unwrap_or_else(default)
    }

    /// Takes one setting's text, from the file or a variable alike.
    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "listen" => self.listen = address(text)?,
            "data_dir" => self.data_dir = PathBuf::from(text),
            "database.url" => self.database = Some(database(text)?),
            "admin_token" => self.admin_token = Some(token(text)?),
            "admin_token_file" => {
                let read = fs::read_to_string(text).map_err(|error| format!("{text}: {error}"))?;
                self.admin_token = Some(token(read.trim_end())?);
            }
            "budget.default_limit_usd" => self.default_limit = limit(text)?,
            "reservation.timeout" => self.timeout = duration(text)?,
            "reservation.resolution" => self.resolution = resolution(text)?,
            "reservation.resolve_after" => {
                self.resolve_after = if text == "never" { None } else { Some(duration(text)?) };
            }
            "rate_limit.per_second" => {
                self.rate_per_second = parsed(text, "a whole number from 1 to 4294967295")?;
            }
            "gateway.trusted_networks" => self.gateway_trusted = Some(networks(text)?),
            "gateway.wait" => self.gateway_wait = wait(text)?,
            "gateway.fail" => self.gateway_fail = fail(text)?,
            "gateway.calls_most" => {
                self.gateway_calls = parsed(text, "a whole number from 1 to 4294967295")?;
            }
            "gateway.spool_dir" => self.gateway_spool = Some(PathBuf::from(text)),
            "log.format" => self.log_format = log_format(text)?,
            "log.level" => self.log_level = log_level(text)?,
            _ => return Err(format!("no setting is called {key}")),
        }
        Ok(())
    }
}

/// Reads where to listen. `localhost` is the loopback address, whatever a resolver says.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let numbers = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let wanted = "an address with a port, as 127.0.0.1:3010";
    let address = numbers.as_deref().unwrap_or(text).parse();
    address.map_err(|_| format!("{text:?} is not {wanted}"))
}

fn parsed<T: std::str::FromStr>(text: &str, wanted: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not {wanted}"))
}

fn database(text: &str) -> Result<String, String> {
    let known = ["sqlite://", "postgres://", "postgresql://"];
    let place = known.iter().find_map(|scheme| text.strip_prefix(scheme));
    match place {
        Some(place) if !place.is_empty() => Ok(text.to_owned()),
        Some(_) => Err("a database address needs more than its scheme".to_owned()),
        None => Err("a database address begins with sqlite:// or postgres://".to_owned()),
    }
}

fn token(text: &str) -> Result<SecretString, String> {
    if text.len() < 16 {
        return Err(format!("the admin token needs 16 characters or more, it has {}", text.len()));
    }
    let plain = |byte: u8| byte.is_ascii_graphic();
    if !text.bytes().all(plain) {
        return Err("the admin token may hold ASCII letters, digits and signs alone".to_owned());
    }
    Ok(SecretString::from(text))
}

fn limit(text: &str) -> Result<Option<Money>, String> {
    if text == "refuse" {
        return Ok(None);
    }
    let limit: Money = text.parse().map_err(|error| format!("{error}"))?;
    let allowed = !limit.is_negative() && limit <= budget::Budget::LIMIT_MOST;
    let wanted = || format!("a limit is between 0 and {} USD", budget::Budget::LIMIT_MOST);
    if allowed { Ok(Some(limit)) } else { Err(wanted()) }
}

fn duration(text: &str) -> Result<SignedDuration, String> {
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

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let network = |word: &str| {
        let address = || word.parse::<IpAddr>().map(IpNet::from);
        let network = word.parse().or_else(|_| address());
        network.map_err(|_| format!("{word:?} is no network, as 10.0.0.0/8"))
    };
    words.map(network).collect()
}

fn wait(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = parsed(text, "a duration, as 2s or 500ms")?;
    let wait = Duration::try_from(span).ok().filter(|wait| *wait <= Duration::from_secs(60));
    wait.ok_or_else(|| format!("{text:?} is not between 0s and 60s"))
}

fn fail(text: &str) -> Result<Fail, String> {
    match text {
        "closed" => Ok(Fail::Closed),
        "open" => Ok(Fail::Open),
        _ => Err(format!("{text:?} is neither closed nor open")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is neither text nor json")),
    }
}

fn log_level(text: &str) -> Result<String, String> {
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

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody has set it.
    Default,
    /// A file's line.
    File(PathBuf, usize),
    /// A variable.
    Variable(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Something that can't be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands.
    pub source: Source,
    /// The setting, where there is one.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.source, self.message),
            None => write!(f, "{}: {}", self.source, self.message),
        }
    }
}

/// All faults of a config.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// In the order of file, then variables.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the config can't be used")?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// A config and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// For each setting that was set: from where, and its text.
    pub given: BTreeMap<&'static str, (Source, String)>,
}

/// The variables of this process.
pub fn environment() -> BTreeMap<String, String> {
    let known =
        |name: &str| name.starts_with("BURSAR_") || ["HOME", "XDG_DATA_HOME"].contains(&name);
    std::env::vars_os()
        .filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        })
        .filter(|(name, _)| known(name))
        .collect()
}

/// Variables that look like settings and are none: misspelt, perhaps. Kubernetes sets some for a
/// service that is called bursar.
pub fn unknown(variables: &BTreeMap<String, String>) -> Vec<&str> {
    let ours = |name: &&str| name.starts_with("BURSAR_");
    let kubernetes = |name: &str| {
        let rest = name.trim_start_matches("BURSAR_");
        ["PORT", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|word| rest.starts_with(word))
    };
    let known = |name: &str| {
        name == setting::CONFIG_VARIABLE || SETTINGS.iter().any(|setting| setting.variable == name)
    };
    let names = variables.keys().map(String::as_str).filter(ours);
    names.filter(|name| !known(name) && !kubernetes(name)).collect()
}

/// No variables but those that say where the user's files are.
pub fn no_variables() -> BTreeMap<String, String> {
    let mut variables = environment();
    variables.retain(|name, _| !name.starts_with("BURSAR_"));
    variables
}

/// Reads the file that is named, or the usual one if there is one, and the variables over it.
pub fn load(
    named: Option<&Path>,
    variables: &BTreeMap<String, String>,
) -> Result<Loaded, ConfigError> {
    let usual = Path::new(setting::CONFIG_FILE);
    let path = named.or_else(|| usual.exists().then_some(usual));
    let mut faults = Vec::new();
    let mut texts = Vec::new();
    let mut upstreams = Vec::new();
    if let Some(path) = path {
        match fs::read_to_string(path) {
            Ok(text) => (texts, upstreams) = file::read(path, &text, &mut faults),
            Err(error) => faults.push(Fault {
                source: Source::File(path.to_owned(), 1),
                key: None,
                message: error.to_string(),
            }),
        }
    }
    for setting in SETTINGS {
        // An empty variable is how many tools say "not set".
        if let Some(text) = variables.get(setting.variable).filter(|text| !text.is_empty()) {
            texts.push((setting, Source::Variable(setting.variable), text.clone()));
        }
    }
    let mut config = Config::new(data_dir(variables));
    let mut given = BTreeMap::new();
    for (setting, source, text) in texts {
        // What was no UTF-8 in a variable; nobody means this sign.
        let is_text = !text.contains(char::REPLACEMENT_CHARACTER);
        let set = if is_text { config.set(setting.key, &text) } else { Err("is not UTF-8".into()) };
        match set {
            Ok(()) => drop(given.insert(setting.key, (source, text))),
            Err(message) => {
                faults.push(Fault { source, key: Some(setting.key.to_owned()), message });
            }
        }
    }
    config.upstreams = upstreams.into_iter().filter_map(|one| one.read(&mut faults)).collect();
    if faults.is_empty() { Ok(Loaded { config, given }) } else { Err(ConfigError { faults }) }
}

/// `$XDG_DATA_HOME/bursar`; for the superuser `/var/lib/bursar`; else `~/.local/share/bursar`.
fn data_dir(variables: &BTreeMap<String, String>) -> PathBuf {
    let folder = |name: &str| variables.get(name).filter(|text| !text.is_empty());
    let superuser = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    match (folder("XDG_DATA_HOME"), folder("HOME")) {
        (Some(data), _) => Path::new(data).join("bursar"),
        (None, Some(home)) if !superuser => Path::new(home).join(".local/share/bursar"),
        _ => PathBuf::from("/var/lib/bursar"),
    }
}

/// The file of a SQLite address.
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite://").map(PathBuf::from)
}

/// The address without its password.
pub fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| *scheme != "sqlite")
    else {
        return url.to_owned();
    };
    // A password may hold any sign, so it ends at the last @ that could end it.
    let Some((user, place)) = rest.rsplit_once('@') else { return mask_query(url) };
    let user = user.split_once(':').map_or(user.to_owned(), |(name, _)| format!("{name}:***"));
    mask_query(&format!("{scheme}://{user}@{place}"))
}

/// The address without a password in its query.
fn mask_query(url: &str) -> String {
    let Some((place, query)) = url.split_once('?') else { return url.to_owned() };
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some(("password", _)) => "password=***",
        _ => pair,
    });
    format!("{place}?{}", masked.collect::<Vec<_>>().join("&"))
}

/// What may be shown of a setting's text.
pub fn shown(setting: &Setting, text: &str) -> String {
    match setting.key {
        _ if setting.secret => "***".to_owned(),
        "database.url" => masked_url(text),
        _ => text.to_owned(),
    }
}
