//! `bursar notify`.

use anyhow::Context as _;
use budget::{Delivery, DeliveryFilter, DeliveryState, Page, Topic};
use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    command::serve::notices,
    context::{Context, Store, block_on},
    exit::{Exit, Refused},
    output::{Cell, Report, Tone},
};

/// See what was told to whom, have it told again, preview it, try a channel
///
/// Example: bursar notify list --state dead
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List deliveries, the newest first; dead ones are those that nobody tries any more
    ///
    /// Example: bursar notify list --state dead --channel mail
    List(ListArgs),
    /// Try a dead delivery again, or all of them; the service sends them within seconds
    ///
    /// Example: bursar notify retry --all
    Retry(RetryArgs),
    /// Print a made-up notice about an event, as the templates write it
    ///
    /// Example: bursar notify preview budget_threshold --html > preview.html
    Preview(PreviewArgs),
    /// Send a test message to a configured channel, at once
    ///
    /// Example: bursar notify test mail
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// In one state: pending, delivered, dead, noted
    #[arg(long)]
    state: Option<DeliveryState>,
    /// By one channel
    #[arg(long)]
    channel: Option<String>,
    /// Of what happened from this instant on, as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = false)]
struct RetryArgs {
    /// The delivery's id
    #[arg(group = "which")]
    id: Option<u64>,
    /// All that are dead
    #[arg(long, group = "which")]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct PreviewArgs {
    /// What it is about
    #[arg(value_parser = topics())]
    event: Topic,
    /// The page instead of the plain text
    #[arg(long)]
    html: bool,
}

/// Takes the names of all that is told.
fn topics() -> impl TypedValueParser<Value = Topic> {
    PossibleValuesParser::new(Topic::ALL.iter().map(|topic| topic.as_str()))
        .try_map(|name| name.parse::<Topic>())
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// The channel's name in the config
    channel: String,
}

const COLUMNS: &[&str] = &[
    "id",
    "state",
    "channel",
    "recipient",
    "event",
    "severity",
    "at",
    "due_at",
    "attempts",
    "error",
    "key",
];

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::List(args) => {
                let rows = block_on(context.with_store(async |store| list(store, args).await))?;
                let mut report = Report::new("deliveries", COLUMNS);
                report.rows = rows.iter().map(row).collect();
                context.printer().print(&report)?;
            }
            Command::Retry(RetryArgs { id, .. }) => {
                let retry = async |store: &Store| Ok(store.retry(id, Timestamp::now()).await?);
                let count = block_on(context.with_store(retry))?;
                if let (0, Some(id)) = (count, id) {
                    return Err(Refused(format!("no dead delivery has the id {id}")).into());
                }
                let mut report = Report::new("retries", &["deliveries"]);
                report.rows.push(vec![Cell::Count(count)]);
                context.printer().print(&report)?;
            }
            Command::Preview(args) => preview(context, &args)?,
            Command::Test(args) => test(context, &args)?,
        }
        Ok(Exit::Done)
    }
}

async fn list(store: &Store, args: ListArgs) -> anyhow::Result<Vec<Delivery>> {
    let ListArgs { state, channel, from, limit } = args;
    let mut all: Vec<Delivery> = Vec::new();
    while all.len() < limit {
        let wanted = (limit - all.len()).min(1_000);
        let page = Page { after: all.last().map(|last| last.id), limit: wanted };
        let filter = DeliveryFilter { state, channel: channel.clone(), from, page };
        let page = store.deliveries(filter).await?;
        let last = page.len() < wanted;
        all.extend(page);
        if last {
            break;
        }
    }
    Ok(all)
}

fn row(delivery: &Delivery) -> Vec<Cell> {
    let tone = match delivery.state {
        DeliveryState::Delivered | DeliveryState::Noted => Tone::Good,
        DeliveryState::Pending => Tone::Warning,
        DeliveryState::Dead => Tone::Bad,
    };
    vec![
        Cell::Count(delivery.id),
        Cell::Word(delivery.state.to_string(), tone),
        Cell::text(&delivery.channel),
        Cell::maybe(delivery.recipient.as_ref()),
        Cell::text(delivery.topic),
        Cell::text(delivery.severity),
        Cell::Time(delivery.at),
        Cell::Time(delivery.due_at),
        Cell::Count(u64::from(delivery.attempts)),
        Cell::maybe(delivery.error.as_ref()),
        Cell::text(&delivery.key),
    ]
}

fn preview(context: &Context, args: &PreviewArgs) -> anyhow::Result<()> {
    use std::io::Write as _;

    let templates = notices::templates(&context.config()?.notify)?;
    let message = templates.sample(args.event, "preview".to_owned())?;
    let mut out = std::io::stdout().lock();
    if args.html {
        write!(out, "{}", message.html)?;
    } else {
        writeln!(out, "Subject: {}\n\n{}", message.subject, message.text.trim_end())?;
    }
    Ok(())
}

fn test(context: &Context, args: &TestArgs) -> anyhow::Result<()> {
    let config = context.config()?;
    let channels = &config.notify.channels;
    let channel = channels.iter().find(|channel| channel.name == args.channel);
    let channel = channel.ok_or_else(|| {
        let names: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        anyhow::anyhow!("no channel is called {:?}; there are {known}", args.channel)
    })?;
    let templates = notices::templates(&config.notify)?;
    // Each test is another message, so that none is taken for a repeat.
    let message = templates.sample(Topic::Test, format!("test/{}", Uuid::new_v4()))?;
    let opened = notices::open(channel)?;
    block_on(async { Ok(opened.send(&message).await?) })
        .with_context(|| format!("failed to send a test to {}", channel.name))?;
    let mut report = Report::new("tests", &["channel", "type", "place", "result"]);
    let result = Cell::Word("delivered".to_owned(), Tone::Good);
    let (name, target) = (Cell::text(&channel.name), &channel.target);
    report.rows.push(vec![name, Cell::text(target.kind()), Cell::text(target.place()), result]);
    context.printer().print(&report)
}
