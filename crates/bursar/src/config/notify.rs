//! `[notify]` and `[notify.channel.NAME]`: what is told, by whom, to whom.

use std::{fs, path::PathBuf};

use budget::{Pace, Severity, Topic, Wanted};
use focus::Decimal;
use jiff::{SignedDuration, civil::Time, civil::Weekday, tz::TimeZone};
use notify::{Authority, Email, EmailSettings, Endpoint, MailTls, PagerDuty};
use secrecy::SecretString;

use super::{Fault, Source, file::TableText, table::Table, value::parsed};

/// Keys that every channel has.
const KEYS: &str = "type, events, severity, per_minute, group, attempts, ca_file";
const EMAIL_KEYS: &str = "host, port, tls, user, password, from, to, tenants";
/// Characters of a channel's name, at most.
const NAME_MOST: usize = 64;

/// What is told and when.
#[derive(Debug, Clone)]
pub struct Notify {
    /// Hours in which only what is critical goes out.
    pub quiet: Option<(Time, Time)>,
    /// Whose hours and days.
    pub zone: TimeZone,
    /// The folder of templates that replace the built-in ones.
    pub templates: Option<PathBuf>,
    /// When the digest goes out.
    pub digest: Option<(Weekday, Time)>,
    /// When, on a month's first day, the review is called for.
    pub review: Option<Time>,
    /// After how long without bills from a source somebody is told.
    pub ingest_stale: Option<SignedDuration>,
    /// How much more than was to be expected a day costs that somebody is told of.
    pub anomaly: Option<Decimal>,
    /// The token with which Alertmanager tells alerts, and nothing else.
    pub alert_token: Option<SecretString>,
    /// The channels, in the order of the file.
    pub channels: Vec<NotifyChannel>,
}

/// A channel.
#[derive(Debug, Clone)]
pub struct NotifyChannel {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub wanted: Wanted,
    /// How often it is used.
    pub pace: Pace,
    /// Whether tenants' admins are told, too.
    pub tenants: bool,
    /// Where it leads.
    pub target: Target,
    /// An authority of its own.
    pub authority: Authority,
}

/// Where a channel leads.
#[derive(Debug, Clone)]
pub enum Target {
    /// Mail.
    Email(EmailSettings),
    /// A Slack channel.
    Slack(Endpoint),
    /// A channel in Teams.
    Teams(Endpoint),
    /// Any program.
    Webhook(Endpoint, Vec<SecretString>),
    /// An on-call service.
    PagerDuty(Endpoint, SecretString),
}

impl Target {
    /// What it is, as the config writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Slack(_) => "slack",
            Self::Teams(_) => "teams",
            Self::Webhook(..) => "webhook",
            Self::PagerDuty(..) => "pagerduty",
        }
    }

    /// Where it leads, without what is secret.
    pub fn place(&self) -> &str {
        match self {
            Self::Email(email) => &email.host,
            Self::Slack(url) | Self::Teams(url) | Self::Webhook(url, _) => url.host(),
            Self::PagerDuty(url, _) => url.host(),
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            quiet: None,
            zone: TimeZone::UTC,
            templates: None,
            digest: Some((Weekday::Monday, Time::constant(9, 0, 0, 0))),
            review: Some(Time::constant(9, 0, 0, 0)),
            ingest_stale: Some(SignedDuration::from_hours(26)),
            anomaly: Some(Decimal::new(10, 0)),
            alert_token: None,
            channels: Vec::new(),
        }
    }
}

impl Notify {
    /// Takes one setting's text.
    pub(super) fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "notify.quiet_hours" => {
                self.quiet = match text {
                    "none" => None,
                    _ => Some(hours(text)?),
                };
            }
            "notify.time_zone" => {
                let zone = TimeZone::get(text);
                self.zone = zone.map_err(|_| format!("{text:?} is no time zone of IANA"))?;
            }
            "notify.templates" => self.templates = Some(PathBuf::from(text)),
            "notify.digest" => {
                self.digest = match text {
                    "never" => None,
                    _ => Some(day_and_time(text)?),
                };
            }
            "notify.review" => {
                self.review = match text {
                    "never" => None,
                    _ => Some(time(text)?),
                };
            }
            "notify.ingest_stale" => {
                self.ingest_stale = match text {
                    "never" => None,
                    _ => Some(super::value::duration(text)?),
                };
            }
            "notify.anomaly" => {
                self.anomaly = match text {
                    "never" => None,
                    _ => Some(least(text)?),
                };
            }
            "notify.alertmanager_token_file" => {
                let read = fs::read_to_string(text).map_err(|error| format!("{text}: {error}"))?;
                self.alert_token = Some(super::value::token(read.trim_end())?);
            }
            _ => return Err(format!("no setting is called {key}")),
        }
        Ok(())
    }
}

/// An amount in any currency.
fn least(text: &str) -> Result<Decimal, String> {
    Decimal::parse(text)
        .filter(|amount| !amount.is_negative())
        .ok_or_else(|| format!("{text:?} is neither an amount, as 10 or 0.50, nor never"))
}

fn hours(text: &str) -> Result<(Time, Time), String> {
    let (from, to) = text.split_once('-').ok_or_else(|| format!("{text:?} is not 22:00-07:00"))?;
    let (from, to) = (time(from.trim())?, time(to.trim())?);
    match from == to {
        true => Err(format!("{text:?} would be all day; name no channel instead")),
        false => Ok((from, to)),
    }
}

fn time(text: &str) -> Result<Time, String> {
    Time::strptime("%H:%M", text).map_err(|_| format!("{text:?} is no time of day, as 09:00"))
}

fn day_and_time(text: &str) -> Result<(Weekday, Time), String> {
    let days = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    let wanted = || format!("{text:?} is no day and time, as monday 09:00");
    let (day, at) = text.split_once(' ').ok_or_else(wanted)?;
    let named = |known: &&Weekday| format!("{known:?}").eq_ignore_ascii_case(day);
    let day = days.iter().find(named).ok_or_else(wanted)?;
    Ok((*day, time(at.trim())?))
}

/// What a channel's table means; `None` where something is wrong with it.
pub(super) fn read(written: &TableText, faults: &mut Vec<Fault>) -> Option<NotifyChannel> {
    let before = faults.len();
    let mut table = Table::new("notify.channel", written, faults);
    let name = &written.name;
    let is_name = (1..=NAME_MOST).contains(&name.chars().count())
        && !name.contains(|c: char| c.is_control() || c == '/');
    if !is_name {
        let message = format!("a name has 1 to {NAME_MOST} characters, none of them /");
        table.fault(&written.source, None, message);
    }
    let authority =
        table.read("ca_file", |path| fs::read(path).map_err(|error| format!("{path}: {error}")));
    let target = target(&mut table, &authority);
    let is_pager = matches!(target, Some(Target::PagerDuty(..)));
    let usual = if is_pager { Severity::Critical } else { Severity::Info };
    let severity = table.read("severity", |text| text.parse().map_err(say)).unwrap_or(usual);
    let topics = table.read("events", |text| {
        let topics = text.split(',').map(|topic| topic.trim().parse::<Topic>().map_err(say));
        topics.collect::<Result<_, _>>()
    });
    let pace = pace(&mut table);
    let tenants = table.read("tenants", |text| parsed(text, "true or false")).unwrap_or(true);
    let wanted = Wanted { topics, severity };
    let name = name.clone();
    if faults.len() > before {
        return None;
    }
    Some(NotifyChannel { name, wanted, pace, tenants, target: target?, authority })
}

/// Faults for keys that the type has not.
fn check_keys(table: &mut Table<'_>, own: &str) {
    let known: Vec<&str> = KEYS.split(", ").chain(own.split(", ")).collect();
    let secrets = ["password", "url", "secret", "key"];
    let is_known = |name: &str| {
        let plain = name.strip_suffix("_file").or_else(|| name.strip_suffix("_env"));
        let secret = plain.is_some_and(|plain| secrets.contains(&plain) && known.contains(&plain));
        known.contains(&name) || secret
    };
    let fields = table.written.fields.iter().filter(|(name, ..)| !is_known(name));
    let wrong: Vec<(String, Source)> =
        fields.map(|(name, source, _)| (name.clone(), source.clone())).collect();
    for (name, source) in wrong {
        let message = format!("unknown; there are {KEYS}, {own}");
        table.fault(&source, Some(&name), message);
    }
}

fn pace(table: &mut Table<'_>) -> Pace {
    let usual = Pace::default();
    let within = |text: &str, most: u32| {
        let wanted = format!("a whole number from 1 to {most}");
        let number: u32 = parsed(text, &wanted)?;
        match (1..=most).contains(&number) {
            true => Ok(number),
            false => Err(format!("{text} is not {wanted}")),
        }
    };
    let window = table.read("group", |text| {
        let window: SignedDuration = parsed(text, "a duration, as 5s or 10m")?;
        let most = SignedDuration::from_hours(1);
        match (SignedDuration::ZERO..=most).contains(&window) {
            true => Ok(window),
            false => Err(format!("{text:?} is not between 0s and 1h")),
        }
    });
    Pace {
        window: window.unwrap_or(usual.window),
        per_minute: table.read("per_minute", |text| within(text, 600)).unwrap_or(usual.per_minute),
        attempts_most: table
            .read("attempts", |text| within(text, 100))
            .unwrap_or(usual.attempts_most),
        ..usual
    }
}

fn target(table: &mut Table<'_>, authority: &Authority) -> Option<Target> {
    let kind = table.need("type", |text| Ok(text.to_owned()))?;
    match kind.as_str() {
        "email" => {
            check_keys(table, EMAIL_KEYS);
            email(table, authority).map(Target::Email)
        }
        "slack" => {
            check_keys(table, "url");
            table.need_secret("url", Endpoint::parse).map(Target::Slack)
        }
        "teams" => {
            check_keys(table, "url");
            table.need_secret("url", Endpoint::parse).map(Target::Teams)
        }
        "webhook" => {
            check_keys(table, "url, secret");
            let url = table.need_secret("url", Endpoint::parse);
            let secrets = table.need_secret("secret", secrets);
            url.zip(secrets).map(|(url, secrets)| Target::Webhook(url, secrets))
        }
        "pagerduty" => {
            check_keys(table, "key, url");
            let key = table.need_secret("key", secret);
            let url = table.secret("url", Endpoint::parse);
            let url = url.or_else(|| Endpoint::parse(PagerDuty::ENDPOINT).ok());
            url.zip(key).map(|(url, key)| Target::PagerDuty(url, key))
        }
        _ => {
            let message = "is none of email, slack, teams, webhook, pagerduty".to_owned();
            table.read("type", |_| Err::<(), _>(message.clone()));
            None
        }
    }
}

fn email(table: &mut Table<'_>, authority: &Authority) -> Option<EmailSettings> {
    let text = |text: &str| Ok(text.to_owned());
    let before = table.faults.len();
    let to = table
        .read("to", |text| Ok(text.split(',').map(|to| to.trim().to_owned()).collect::<Vec<_>>()));
    let settings = EmailSettings {
        host: table.need("host", text).unwrap_or_default(),
        port: table.read("port", |text| parsed(text, "a port, as 587")),
        tls: table.read("tls", str::parse::<MailTls>).unwrap_or_default(),
        user: table.read("user", text),
        password: table.secret("password", secret),
        from: table.need("from", text).unwrap_or_default(),
        to: to.unwrap_or_default(),
        authority: authority.clone(),
    };
    if table.faults.len() > before {
        return None;
    }
    match Email::new(&settings) {
        Ok(_) => Some(settings),
        Err(message) => {
            table.fault(&table.written.source.clone(), None, message);
            None
        }
    }
}

fn secret(text: &str) -> Result<SecretString, String> {
    match text.is_empty() || text.contains(char::is_control) {
        true => Err("a secret is one line, and not empty".to_owned()),
        false => Ok(SecretString::from(text)),
    }
}

/// A secret a line: the old and the new one while it is changed.
fn secrets(text: &str) -> Result<Vec<SecretString>, String> {
    let secrets: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match secrets.iter().all(|secret| secret.len() >= 16) && (1..=2).contains(&secrets.len()) {
        true => secrets.into_iter().map(secret).collect(),
        false => Err("a secret has 16 characters or more; while it is changed there are two, a \
                      line each"
            .to_owned()),
    }
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}
