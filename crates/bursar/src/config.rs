//! The config: a TOML file, `BURSAR_*` variables over it, read once and typed.
//!
//! Every fault is found and told at once, those of the file with its line. A key that no setting
//! has is a fault.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    num::NonZeroU32,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use budget::{CloudBudget, Defaults, Resolution};
use gateway::Fail;
use ipnet::IpNet;
use jiff::SignedDuration;
use money::Money;
use secrecy::SecretString;
use thiserror::Error;

mod cloud_budget;
mod collect;
mod cost_source;
pub mod file;
mod notify;
pub mod setting;
mod table;
#[cfg(test)]
mod tests;
mod upstream;
mod value;

pub use collect::{Clickhouse, Collect};
pub(crate) use cost_source::EXPLORER_ON_INVALID;
pub use cost_source::{CostSource, Origin};
pub use notify::{Notify, NotifyChannel, Target};
use setting::{SETTINGS, Setting};
pub use value::{account, address, resolution};
use value::{
    buckets, cover, database, duration, every, fail, lake, limit, log_format, log_level, networks,
    parsed, patience, postgres, token, wait, web,
};

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
    /// The lake of ingested bills, where one was named.
    pub lake: Option<String>,
    /// The table of rates of currencies, where one was named.
    pub cost_rates: Option<PathBuf>,
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
    /// How long a connection may take to send a request's head, or wait before it.
    pub head_timeout: Duration,
    /// How long a caller may read nothing of what is sent to him.
    pub stall_timeout: Duration,
    /// Requests a second that one key may make.
    pub rate_per_second: NonZeroU32,
    /// Tenants that `/metrics` names apart.
    pub metrics_tenants: u16,
    /// Networks whose word on who pays is believed.
    pub gateway_trusted: Option<Vec<IpNet>>,
    /// How long a call may wait for others to settle.
    pub gateway_wait: Duration,
    /// How long the body of a call may take to arrive.
    pub gateway_body_timeout: Duration,
    /// How long an answer is read on once its caller has hung up.
    pub gateway_drain: Duration,
    /// What becomes of calls while the store is down.
    pub gateway_fail: Fail,
    /// The part of a budget that may be promised to calls before their holds are on the disk.
    pub gateway_cover: u8,
    /// Calls in flight at a time.
    pub gateway_calls: NonZeroU32,
    /// The folder of charges to come.
    pub gateway_spool: Option<PathBuf>,
    /// The vendors, in the order of the file.
    pub upstreams: Vec<gateway::Upstream>,
    /// Budgets for cloud cost; when they are set is not in them.
    pub cloud_budgets: Vec<CloudBudget>,
    /// Where bills come from.
    pub cost_sources: Vec<CostSource>,
    /// Paid calls of AWS in a day.
    pub aws_calls: u32,
    /// How often budgets are taken over from AWS.
    pub aws_budgets_every: Option<Duration>,
    /// What storage is measured.
    pub collect: Collect,
    /// What is told, and by which channels.
    pub notify: Notify,
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
            lake: None,
            cost_rates: None,
            admin_token: None,
            default_limit: defaults.limit,
            timeout: defaults.timeout,
            resolution: defaults.resolution,
            resolve_after: defaults.resolve_after,
            head_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            rate_per_second: NonZeroU32::MIN.saturating_add(999),
            metrics_tenants: 200,
            gateway_trusted: None,
            gateway_wait: Duration::from_secs(2),
            gateway_body_timeout: Duration::from_secs(60),
            gateway_drain: Duration::from_secs(120),
            gateway_fail: Fail::Closed,
            gateway_cover: 1,
            gateway_calls: NonZeroU32::MIN.saturating_add(4095),
            gateway_spool: None,
            upstreams: Vec::new(),
            cloud_budgets: Vec::new(),
            cost_sources: Vec::new(),
            aws_calls: 100,
            aws_budgets_every: None,
            collect: Collect::default(),
            notify: Notify::default(),
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

    /// Whether somebody has said where the lake is.
    pub fn has_lake_url(&self) -> bool {
        self.lake.is_some()
    }

    /// The lake's address.
    pub fn lake_url(&self) -> String {
        let default = || self.data_dir.join("lake").display().to_string();
        self.lake.clone().unwrap_or_else(default)
    }

    /// Takes one setting's text, from the file or a variable alike.
    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "listen" => self.listen = address(text)?,
            "data_dir" => self.data_dir = PathBuf::from(text),
            "database.url" => self.database = Some(database(text)?),
            "lake.url" => self.lake = Some(lake(text)?),
            "cost.rates" => self.cost_rates = Some(PathBuf::from(text)),
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
            "http.head_timeout" => self.head_timeout = patience(text)?,
            "http.stall_timeout" => self.stall_timeout = patience(text)?,
            "rate_limit.per_second" => {
                self.rate_per_second = parsed(text, "a whole number from 1 to 4294967295")?;
            }
            "metrics.tenants" => {
                self.metrics_tenants = parsed(text, "a whole number from 0 to 65535")?;
            }
            "gateway.trusted_networks" => self.gateway_trusted = Some(networks(text)?),
            "gateway.wait" => self.gateway_wait = wait(text)?,
            "gateway.body_timeout" => self.gateway_body_timeout = patience(text)?,
            "gateway.drain" => self.gateway_drain = patience(text)?,
            "gateway.fail" => self.gateway_fail = fail(text)?,
            "gateway.cover_percent" => self.gateway_cover = cover(text)?,
            "gateway.calls_most" => {
                self.gateway_calls = parsed(text, "a whole number from 1 to 4294967295")?;
            }
            "gateway.spool_dir" => self.gateway_spool = Some(PathBuf::from(text)),
            "aws.calls_most" => self.aws_calls = parsed(text, "a whole number up to 4294967295")?,
            "aws.budgets_every" => self.aws_budgets_every = every(text)?,
            "collect.every" => self.collect.every = duration(text)?.unsigned_abs(),
            "collect.s3.buckets" => self.collect.buckets = buckets(text)?,
            "collect.s3.every" => self.collect.buckets_every = duration(text)?.unsigned_abs(),
            "collect.clickhouse.url" => self.collect.clickhouse.url = Some(web(text)?),
            "collect.clickhouse.user" => self.collect.clickhouse.user = text.to_owned(),
            "collect.clickhouse.password_file" => {
                self.collect.clickhouse.password_file = Some(PathBuf::from(text));
            }
            "collect.postgres_wal.url" => self.collect.postgres_wal = Some(postgres(text)?),
            _ if key.starts_with("notify.") => self.notify.set(key, text)?,
            "log.format" => self.log_format = log_format(text)?,
            "log.level" => self.log_level = log_level(text)?,
            _ => return Err(format!("no setting is called {key}")),
        }
        Ok(())
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
    let mut texts = file::Texts::default();
    if let Some(path) = path {
        match fs::read_to_string(path) {
            Ok(text) => texts = file::read(path, &text, &mut faults),
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
            texts.settings.push((setting, Source::Variable(setting.variable), text.clone()));
        }
    }
    let mut config = Config::new(data_dir(variables));
    let mut given = BTreeMap::new();
    for (setting, source, text) in texts.settings {
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
    let upstreams = texts.upstreams.iter();
    config.upstreams = upstreams.filter_map(|one| upstream::read(one, &mut faults)).collect();
    let budgets = texts.cloud_budgets.iter();
    config.cloud_budgets = budgets.filter_map(|one| cloud_budget::read(one, &mut faults)).collect();
    let sources = texts.cost_sources.iter();
    config.cost_sources = sources.filter_map(|one| cost_source::read(one, &mut faults)).collect();
    let channels = texts.channels.iter();
    config.notify.channels = channels.filter_map(|one| notify::read(one, &mut faults)).collect();
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
        "database.url" | "collect.postgres_wal.url" => masked_url(text),
        _ => text.to_owned(),
    }
}
