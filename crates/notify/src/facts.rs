//! What there is to say of one thing, before it is put into words.

use budget::{CloudEvent, Crossing, Event, EventKind, Notice, Reservation, Tenant};
use focus::Decimal;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::format;

/// An exact amount and its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// All digits.
    pub amount: Decimal,
    /// `USD`.
    pub currency: String,
}

impl Amount {
    /// US dollars.
    pub fn usd(amount: money::Money) -> Self {
        Self { amount: Decimal::from(amount), currency: "USD".to_owned() }
    }

    /// For people.
    pub fn shown(&self) -> String {
        format::amount(self.amount, &self.currency)
    }
}

/// Some lines under a title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What they are.
    pub title: String,
    /// Names and values.
    pub rows: Vec<(String, String)>,
}

/// What there is to say: kept with a delivery, given to templates, and sent to webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The name of what is told: of one name there is one.
    pub name: String,
    /// What it is part of: everything that is told of a budget in one period.
    pub incident: String,
    /// The tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_name: Option<String>,
    /// The budget for people: a model, `all models`, or the name of a budget for cloud cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// What it is narrowed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// The threshold in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u16>,
    /// Spent then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<Amount>,
    /// The limit then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
    /// What will be spent at the period's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Amount>,
    /// The period's first instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_start: Option<Timestamp>,
    /// The first instant after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
    /// The reservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The call's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What was held for the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Amount>,
    /// What the call has cost, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
    /// Who has billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// For which service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The day that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Date>,
    /// What was to be expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Amount>,
    /// A source of bills, or another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Since when something is as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What another system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Lines under titles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
}

impl Facts {
    /// What a row of the outbox says. `ends` is when the period of a tenant's budget ends, as far as
    /// that is known.
    pub fn of(notice: &Notice, tenant: Option<&Tenant>, ends: Option<Timestamp>) -> Self {
        let facts = match notice {
            Notice::Ai(event) => ai(event, ends),
            Notice::Cloud(event) => cloud(event),
        };
        let tenant_name = tenant.and_then(|tenant| tenant.name.clone());
        Self { name: notice.name(), tenant_name, ..facts }
    }

    /// With what is known of the reservation that it is about.
    pub(crate) fn about(self, reservation: Option<&Reservation>) -> Self {
        let Some(reservation) = reservation else { return self };
        Self {
            model: Some(reservation.call.model.to_string()),
            held: Some(Amount::usd(reservation.hold)),
            cost: reservation.cost.map(Amount::usd),
            ..self
        }
    }

    /// The tenant as people call it.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant_name.as_deref().or(self.tenant_id.as_deref())
    }

    /// Which part of the limit is spent.
    pub fn used(&self) -> Option<String> {
        let (spent, limit) = (self.spent.as_ref()?, self.limit.as_ref()?);
        format::percent(spent.amount, limit.amount)
    }

    /// Names and values that stand beside every text.
    pub fn rows(&self, zone: &TimeZone) -> Vec<(String, String)> {
        let time = |at: Option<Timestamp>| at.map(|at| format::time(at, zone));
        let amount = |amount: &Option<Amount>| amount.as_ref().map(Amount::shown);
        let rows = [
            ("Tenant", self.tenant_id.clone()),
            ("Provider", self.provider.clone()),
            ("Service", self.service.clone()),
            ("Day", self.day.map(format::day)),
            ("Budget", self.budget.clone()),
            ("Only", self.only.clone()),
            ("Spent", amount(&self.spent)),
            ("Expected", amount(&self.expected)),
            ("Limit", amount(&self.limit)),
            ("Used", self.used()),
            ("Forecast", amount(&self.forecast)),
            ("Period since", time(self.period_start)),
            ("Resets", time(self.resets_at)),
            ("Request", self.request_id.clone()),
            ("Model", self.model.clone()),
            ("Held", amount(&self.held)),
            ("Cost", amount(&self.cost)),
            ("Source", self.source.clone()),
            ("Since", time(self.since)),
        ];
        let known = rows.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        known.collect()
    }
}

fn ai(event: &Event, ends: Option<Timestamp>) -> Facts {
    let scope = &event.scope;
    let key = event.kind.reservation();
    let percent = match event.kind {
        EventKind::Threshold { percent } => Some(percent),
        _ => None,
    };
    let only = [
        scope.user.as_ref().map(|user| format!("user {user}")),
        scope.report_type.as_ref().map(|kind| format!("report type {kind}")),
    ];
    let only: Vec<String> = only.into_iter().flatten().collect();
    let budget = scope.model.as_ref().map_or("all models".to_owned(), ToString::to_string);
    let account = event.account;
    Facts {
        incident: match key {
            Some(key) => format!("{}/{}/{key}", account.budget, account.start),
            None => format!("{}/{}", account.budget, account.start),
        },
        tenant_id: Some(scope.tenant.to_string()),
        budget: Some(budget),
        only: (!only.is_empty()).then(|| only.join(", ")),
        percent,
        spent: Some(Amount::usd(event.settled)),
        limit: Some(Amount::usd(event.limit)),
        period_start: Some(account.start),
        resets_at: ends,
        request_id: key.map(|key| key.to_string()),
        ..Facts::default()
    }
}

fn cloud(event: &CloudEvent) -> Facts {
    let percent = match event.kind {
        Crossing::Threshold { percent } => Some(percent),
        Crossing::Exhausted => None,
    };
    let (first, last) = event.months();
    let start = |month: focus::cost::Month| month.start().parse().ok();
    let amount = |amount| Amount { amount, currency: event.watched.currency.clone() };
    let only = (!event.watched.filter.is_empty()).then(|| event.watched.to_string());
    Facts {
        incident: format!("{}/{}", event.id, event.first.start()),
        budget: Some(event.budget.clone()),
        only,
        percent,
        spent: Some(amount(event.spent)),
        limit: Some(amount(event.limit)),
        period_start: start(first),
        resets_at: start(last.next()),
        ..Facts::default()
    }
}
