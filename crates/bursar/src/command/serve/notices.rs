//! Notices that go out while the service runs.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use budget::{Monthly, Quiet, Weekly};
use focus::cost::Costs;
use jiff::Timestamp;
use notify::{
    Calendar, Channel, Courier, Email, PagerDuty, Post, Running, Slack, Teams, Templates, Webhook,
};
use tracing::info;

use crate::{
    config::{Config, Notify, NotifyChannel, Target},
    context::Store,
    seed::Random,
};

/// Starts the channels that the config names, if it names any.
pub(super) async fn start(
    store: &Store,
    costs: Option<Arc<dyn Costs>>,
    config: &Config,
) -> anyhow::Result<Option<Running>> {
    let notify = &config.notify;
    if notify.channels.is_empty() {
        return Ok(None);
    }
    let mut posts = Vec::with_capacity(notify.channels.len());
    for channel in &notify.channels {
        let (name, kind) = (&channel.name, channel.target.kind());
        info!(name, kind, "notices go to a channel");
        // A new channel begins here: what is told of the first request is told by it.
        let following = store.follow(name, Timestamp::now()).await;
        following.context("failed to read how far a channel has come")?;
        posts.push(post(channel)?);
    }
    let zone = notify.zone.clone();
    let quiet = notify.quiet.map(|(from, to)| Quiet { from, to, zone: zone.clone() });
    let calendar = Calendar {
        digest: notify.digest.map(|(day, time)| Weekly { day, time, zone: zone.clone() }),
        review: notify.review.map(|time| Monthly { time, zone: zone.clone() }),
        stale: notify.ingest_stale,
        forecast: true,
        anomaly: notify.anomaly,
    };
    // Replicas begin elsewhere, so that they don't come back together.
    let random = Mutex::new(Random::new(uuid::Uuid::new_v4().as_u64_pair().0));
    let luck = move || random.lock().map_or(0, |mut random| random.bits());
    let courier = Courier {
        store: store.clone(),
        costs,
        posts,
        templates: templates(notify)?,
        quiet,
        calendar,
        clock: Arc::new(Timestamp::now),
        luck: Box::new(luck),
        memory: notify::Memory::default(),
    };
    Ok(Some(courier.start()))
}

/// The words that are configured.
pub(in crate::command) fn templates(notify: &Notify) -> anyhow::Result<Templates> {
    Templates::new(notify.templates.as_deref(), notify.zone.clone())
        .context("failed to read the templates of notices")
}

fn post(channel: &NotifyChannel) -> anyhow::Result<Post> {
    let own = match &channel.target {
        Target::Email(settings) => !settings.to.is_empty(),
        _ => true,
    };
    Ok(Post {
        name: channel.name.clone(),
        wanted: channel.wanted.clone(),
        pace: channel.pace.clone(),
        tenants: channel.tenants,
        own,
        channel: open(channel)?,
    })
}

/// The channel that a config means.
pub(in crate::command) fn open(channel: &NotifyChannel) -> anyhow::Result<Arc<dyn Channel>> {
    let authority = &channel.authority;
    let opened: Result<Arc<dyn Channel>, String> = match &channel.target {
        Target::Email(settings) => Email::new(settings).map(|email| Arc::new(email) as _),
        Target::Slack(url) => say(Slack::new(url.clone(), authority)),
        Target::Teams(url) => say(Teams::new(url.clone(), authority)),
        Target::Webhook(url, secrets) => say(Webhook::new(url.clone(), secrets.clone(), authority)),
        Target::PagerDuty(url, key) => say(PagerDuty::new(url.clone(), key.clone(), authority)),
    };
    opened.map_err(|error| anyhow::anyhow!("failed to open the channel {}: {error}", channel.name))
}

fn say(channel: std::io::Result<impl Channel + 'static>) -> Result<Arc<dyn Channel>, String> {
    channel.map(|channel| Arc::new(channel) as _).map_err(|error| error.to_string())
}
