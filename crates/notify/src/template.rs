//! The words: templates that are built in, each of which a file may replace.
//!
//! For every topic there is `TOPIC.jinja`, which sets `subject`, `what` and `todo` (a step a line);
//! `message.txt` and `message.html` lay them out. What stands in the page is escaped.

use std::{collections::BTreeMap, fs, path::Path};

use budget::{Delivery, Severity, Topic};
use jiff::tz::TimeZone;
use minijinja::{
    Environment, ErrorKind, UndefinedBehavior, Value, context, syntax::SyntaxConfig, value::Serde,
};
use serde::Serialize;
use thiserror::Error;

use crate::{Facts, Item, Message, facts::Amount, format};

const TEXT: &str = "message.txt";
const PAGE: &str = "message.html";
/// Bytes of a file, at most.
const FILE_MOST: u64 = 256 << 10;

const BUILT_IN: &[(&str, &str)] = &[
    (TEXT, include_str!("templates/message.txt")),
    (PAGE, include_str!("templates/message.html")),
    ("budget_threshold.jinja", include_str!("templates/budget_threshold.jinja")),
    ("budget_exhausted.jinja", include_str!("templates/budget_exhausted.jinja")),
    ("budget_reset.jinja", include_str!("templates/budget_reset.jinja")),
    ("overrun.jinja", include_str!("templates/overrun.jinja")),
    ("unresolved.jinja", include_str!("templates/unresolved.jinja")),
    ("cloud_threshold.jinja", include_str!("templates/cloud_threshold.jinja")),
    ("cloud_exhausted.jinja", include_str!("templates/cloud_exhausted.jinja")),
    ("anomaly.jinja", include_str!("templates/anomaly.jinja")),
    ("cloud_forecast.jinja", include_str!("templates/cloud_forecast.jinja")),
    ("ingest_stale.jinja", include_str!("templates/ingest_stale.jinja")),
    ("digest.jinja", include_str!("templates/digest.jinja")),
    ("review.jinja", include_str!("templates/review.jinja")),
    ("alert.jinja", include_str!("templates/alert.jinja")),
    ("test.jinja", include_str!("templates/test.jinja")),
];

/// Why words can't be made.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// A folder or a file that can't be read, or is none of ours.
    #[error("{file}: {why}")]
    File {
        /// Which.
        file: String,
        /// Why not.
        why: String,
    },
    /// A template that is wrong, or that asks for what there is not.
    #[error("{0}")]
    Words(String),
    /// Facts of no version that this program knows.
    #[error("a delivery's facts can't be read: {0}")]
    Facts(#[from] serde_json::Error),
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        let place = match (error.name(), error.line()) {
            (Some(name), Some(line)) => format!("{name}:{line}: "),
            _ => String::new(),
        };
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        Self::Words(format!("{place}{}{detail}", error.kind()))
    }
}

/// Puts deliveries into words.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    zone: TimeZone,
}

impl Templates {
    /// The built-in words, but for files of the same names in a folder. Times are told in a zone.
    /// Every template is tried, so that what is wrong shows at the start.
    pub fn new(folder: Option<&Path>, zone: TimeZone) -> Result<Self, TemplateError> {
        let mut sources: BTreeMap<String, String> =
            BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        if let Some(folder) = folder {
            replace(&mut sources, folder)?;
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        for (name, source) in sources {
            environment.add_template_owned(name, source)?;
        }
        let templates = Self { environment, zone };
        for topic in Topic::ALL {
            let item = templates.item(*topic, topic.severity(), &Facts::sample(*topic))?;
            templates.message("sample".to_owned(), None, vec![item])?;
        }
        Ok(templates)
    }

    /// The message of a batch.
    pub fn batch(&self, key: &str, deliveries: &[Delivery]) -> Result<Message, TemplateError> {
        let mut items = Vec::with_capacity(deliveries.len());
        for one in deliveries {
            let facts: Facts = serde_json::from_str(&one.facts)?;
            items.push(Item { at: one.at, ..self.item(one.topic, one.severity, &facts)? });
        }
        let recipient = deliveries.first().and_then(|one| one.recipient.clone());
        self.message(key.to_owned(), recipient, items)
    }

    /// A made-up message about a topic.
    pub fn sample(&self, topic: Topic, key: String) -> Result<Message, TemplateError> {
        let item = self.item(topic, topic.severity(), &Facts::sample(topic))?;
        self.message(key, None, vec![item])
    }

    fn item(&self, topic: Topic, severity: Severity, facts: &Facts) -> Result<Item, TemplateError> {
        let template = self.environment.get_template(&format!("{topic}.jinja"))?;
        let said = template.render_captured(self.context(severity, facts))?;
        let word = |name: &str| -> Result<String, TemplateError> {
            let value = said.state().lookup(name).ok_or_else(|| {
                let say = format!("{topic}.jinja does not set {name}");
                TemplateError::from(minijinja::Error::new(ErrorKind::UndefinedError, say))
            })?;
            Ok(value.to_string().trim().to_owned())
        };
        let subject = word("subject")?.split_whitespace().collect::<Vec<_>>().join(" ");
        let todo = word("todo")?;
        let todo = todo.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(Item {
            topic,
            severity,
            at: jiff::Timestamp::UNIX_EPOCH,
            subject,
            what: word("what")?.split_whitespace().collect::<Vec<_>>().join(" "),
            todo: todo.map(str::to_owned).collect(),
            rows: facts.rows(&self.zone),
            facts: facts.clone(),
        })
    }

    fn context(&self, severity: Severity, facts: &Facts) -> Value {
        let time = |at: Option<jiff::Timestamp>| at.map(|at| format::time(at, &self.zone));
        let amount = |amount: &Option<Amount>| amount.as_ref().map(Amount::shown);
        context! {
            severity => severity.as_str(),
            facts => Value::from(Serde(facts)),
            tenant => facts.tenant(),
            budget => facts.budget.as_deref(),
            only => facts.only.as_deref(),
            percent => facts.percent,
            spent => amount(&facts.spent),
            limit => amount(&facts.limit),
            used => facts.used(),
            forecast => amount(&facts.forecast),
            period_start => time(facts.period_start),
            resets_at => time(facts.resets_at),
            request_id => facts.request_id.as_deref(),
            model => facts.model.as_deref(),
            held => amount(&facts.held),
            cost => amount(&facts.cost),
            provider => facts.provider.as_deref(),
            service => facts.service.as_deref(),
            day => facts.day.map(format::day),
            expected => amount(&facts.expected),
            source => facts.source.as_deref(),
            since => time(facts.since),
            summary => facts.summary.as_deref(),
        }
    }

    fn message(
        &self,
        key: String,
        recipient: Option<String>,
        items: Vec<Item>,
    ) -> Result<Message, TemplateError> {
        let severity = items.iter().map(|item| item.severity).max().unwrap_or(Severity::Info);
        let subject = match items.as_slice() {
            [item] => item.subject.clone(),
            // The first of those that matter most stands for all.
            items => {
                let first = items.iter().find(|item| item.severity == severity);
                let first = first.map_or("", |item| item.subject.as_str());
                let others = items.len() - 1;
                format!("{first}, and {others} more")
            }
        };
        let shown: Vec<Shown<'_>> = items.iter().map(Shown::of).collect();
        let said = context! {
            severity => severity.as_str(),
            subject => subject.as_str(),
            items => Value::from(Serde(&shown)),
        };
        let text = self.environment.get_template(TEXT)?.render(said.clone())?;
        let html = self.environment.get_template(PAGE)?.render(said)?;
        Ok(Message { key, recipient, severity, subject, items, text, html })
    }
}

/// An item as the layouts see it.
#[derive(Serialize)]
struct Shown<'a> {
    topic: &'a str,
    severity: &'a str,
    subject: &'a str,
    what: &'a str,
    todo: &'a [String],
    rows: &'a [(String, String)],
    sections: &'a [crate::Section],
}

impl<'a> Shown<'a> {
    fn of(item: &'a Item) -> Self {
        Self {
            topic: item.topic.as_str(),
            severity: item.severity.as_str(),
            subject: &item.subject,
            what: &item.what,
            todo: &item.todo,
            rows: &item.rows,
            sections: &item.facts.sections,
        }
    }
}

fn replace(sources: &mut BTreeMap<String, String>, folder: &Path) -> Result<(), TemplateError> {
    let wrong =
        |file: &Path, why: String| TemplateError::File { file: file.display().to_string(), why };
    let files = fs::read_dir(folder).map_err(|error| wrong(folder, error.to_string()))?;
    for file in files {
        let path = file.map_err(|error| wrong(folder, error.to_string()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        // What mounts a folder keeps files of its own there, hidden.
        let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
        if !sources.contains_key(&name) {
            let known: Vec<&str> = sources.keys().map(String::as_str).collect();
            return Err(wrong(&path, format!("no template is called so: {}", known.join(", "))));
        }
        let size = fs::metadata(&path).map_err(|error| wrong(&path, error.to_string()))?.len();
        if size > FILE_MOST {
            return Err(wrong(&path, format!("has more than {FILE_MOST} bytes")));
        }
        let text = fs::read_to_string(&path).map_err(|error| wrong(&path, error.to_string()))?;
        sources.insert(name, text);
    }
    Ok(())
}

mod sample;
#[cfg(test)]
mod tests;
