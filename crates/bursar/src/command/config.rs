//! `bursar config`.

use clap::Subcommand;

use crate::{
    config::{self, ConfigError, setting::SETTINGS, shown},
    context::Context,
    exit::Exit,
    output::{self, Cell, Report},
};

/// Show the config, or check it
///
/// Example: bursar config show --output json
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every setting, where it came from, and its variable; secrets are masked
    ///
    /// Example: bursar config show
    Show,
    /// Tell every fault of the file and the variables, with file and line; exit code 3 if any
    ///
    /// Example: bursar --config bursar.toml config check
    Check,
}

const COLUMNS: &[&str] = &["setting", "value", "from", "variable", "about"];

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Show => show(context),
            Command::Check => check(context),
        }
    }
}

fn show(context: &Context) -> anyhow::Result<Exit> {
    let loaded = config::load(context.config_file.as_deref(), &config::environment())?;
    let mut report = Report::new("settings", COLUMNS);
    for setting in SETTINGS {
        let (value, source) = match loaded.given.get(setting.key) {
            Some((source, text)) => (shown(setting, text), source.to_string()),
            None => {
                let value = match setting.key {
                    "data_dir" => loaded.config.data_dir.display().to_string(),
                    "database.url" => loaded.config.database_url(),
                    _ => setting.default.to_owned(),
                };
                (value, "default".to_owned())
            }
        };
        let texts = [setting.key, &value, &source, setting.variable, setting.about];
        report.rows.push(texts.map(Cell::text).to_vec());
    }
    for upstream in &loaded.config.upstreams {
        let (place, models) = (format!("upstream.{}", upstream.name), upstream.models.join(", "));
        let key = if upstream.key.is_some() { "***" } else { "none" };
        let about = format!("{} API of {models}, key {key}", upstream.dialect);
        let url = upstream.url.to_string();
        let texts = [place.as_str(), &url, "file", "", &about];
        report.rows.push(texts.map(Cell::text).to_vec());
    }
    for budget in &loaded.config.cloud_budgets {
        let (place, watched) = (format!("cost.budget.{}", budget.name), &budget.watched);
        let limit = budget.limit.to_string();
        let about = format!("{} a {}: {watched}", watched.currency, watched.period);
        let texts = [place.as_str(), &limit, "file", "", &about];
        report.rows.push(texts.map(Cell::text).to_vec());
    }
    for channel in &loaded.config.notify.channels {
        let (place, target) = (format!("notify.channel.{}", channel.name), &channel.target);
        let about = format!("{}, from {} on", target.kind(), channel.wanted.severity);
        let texts = [place.as_str(), target.place(), "file", "", &about];
        report.rows.push(texts.map(Cell::text).to_vec());
    }
    context.printer().print(&report)?;
    Ok(Exit::Done)
}

fn check(context: &Context) -> anyhow::Result<Exit> {
    let faults = match config::load(context.config_file.as_deref(), &config::environment()) {
        Ok(_) => Vec::new(),
        Err(ConfigError { faults }) => faults,
    };
    let mut report = Report::new("faults", &["place", "setting", "fault"]);
    for fault in &faults {
        let (place, key) = (Cell::text(&fault.source), Cell::maybe(fault.key.as_ref()));
        report.rows.push(vec![place, key, Cell::text(&fault.message)]);
    }
    for name in config::unknown(&config::environment()) {
        output::complain(format_args!("warning: the variable {name} is no setting's"));
    }
    if faults.is_empty() {
        context.printer().say("The config is good")?;
        return Ok(Exit::Done);
    }
    context.printer().print(&report)?;
    Ok(Exit::Fault)
}
