//! Which deliveries follow from a thing: by one channel, to whom, when.

use budget::{
    DeliveryState, NewDelivery, Notice, Quiet, Severity, Topic, delivery_key, is_stale, severity,
};
use jiff::Timestamp;

use crate::{Facts, Post};

/// What is told.
pub(crate) struct Told {
    pub(crate) topic: Topic,
    pub(crate) severity: Severity,
    pub(crate) at: Timestamp,
    pub(crate) facts: Facts,
}

impl Told {
    /// What a row of the outbox tells, and that its budget's period will end.
    pub(crate) fn of(notice: &Notice, facts: Facts) -> Vec<Self> {
        let topic = Topic::of(notice);
        let is_standing = matches!(
            topic,
            Topic::BudgetThreshold
                | Topic::BudgetExhausted
                | Topic::CloudThreshold
                | Topic::CloudExhausted
        );
        let end = facts.resets_at.filter(|end| is_standing && *end > notice.at());
        let end = end.map(|end| Self {
            topic: Topic::BudgetReset,
            severity: Topic::BudgetReset.severity(),
            at: end,
            facts: Facts {
                // One for a period, whatever was crossed in it.
                name: format!("{}/reset", facts.incident),
                percent: None,
                spent: None,
                period_start: Some(end),
                resets_at: None,
                ..facts.clone()
            },
        });
        let told = Self { topic, severity: severity(notice), at: notice.at(), facts };
        std::iter::once(told).chain(end).collect()
    }
}

/// The deliveries by a channel: to those whom its config names, and to the tenant's admin.
pub(crate) fn deliveries(
    post: &Post,
    told: &Told,
    admin: Option<&str>,
    quiet: Option<&Quiet>,
    now: Timestamp,
) -> Result<Vec<NewDelivery>, serde_json::Error> {
    let Told { topic, severity, at, facts } = told;
    if is_stale(*at, now) || !post.wanted.takes(*topic, *severity) {
        return Ok(Vec::new());
    }
    let own = post.own.then_some(None);
    let is_for_admin = post.tenants && post.channel.reaches() && topic.concerns_tenant();
    let admin = admin.filter(|_| is_for_admin).map(|admin| Some(admin.to_owned()));
    let text = serde_json::to_string(facts)?;
    let due_at = post.pace.due(*severity, now.max(*at), quiet);
    let delivery = |recipient: Option<String>| NewDelivery {
        key: delivery_key(&facts.name, &post.name, recipient.as_deref()),
        topic: *topic,
        severity: *severity,
        recipient,
        facts: text.clone(),
        at: *at,
        due_at,
        state: DeliveryState::Pending,
    };
    Ok(own.into_iter().chain(admin).map(delivery).collect())
}
