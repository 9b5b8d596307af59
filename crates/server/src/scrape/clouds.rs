//! What the clouds cost, in Prometheus' text.

use budget::CloudPeriod;
use focus::{
    Column, Decimal,
    cost::{Dimension, Month},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{head, sample};
use crate::{
    cloud_budget::Standing,
    clouds::{self, Lines, Payee, Picture, Word},
    metrics::names,
    overview::age,
};

const DOLLARS: &str = "USD";

pub(super) fn clouds(text: &mut String, picture: Option<&Picture>, now: Timestamp) {
    let none = Picture::default();
    let is_read = picture.is_some();
    let picture = picture.unwrap_or(&none);
    months(text, picture);
    tenants(text, picture);
    days(text, picture);
    forecasts(text, picture);
    head(text, names::CLOUD_INGESTED, "gauge");
    for (source, at) in &picture.ingested {
        sample(text, names::CLOUD_INGESTED, &[("source", source)], at.as_second());
    }
    head(text, names::CLOUD_UNTIL, "gauge");
    for ((provider, currency), last) in &picture.days {
        let labels = [("provider", provider.as_str()), ("currency", currency)];
        sample(text, names::CLOUD_UNTIL, &labels, end_of(last.day).as_second());
    }
    head(text, names::CLOUD_AGE, "gauge");
    if is_read {
        sample(text, names::CLOUD_AGE, &[], age(picture.read_at, now).as_secs());
    }
}

fn is_aws((provider, currency): &Payee) -> bool {
    currency == DOLLARS && clouds::is_aws(provider)
}

/// The first instant after a day.
fn end_of(day: Date) -> Timestamp {
    let next = day.tomorrow().unwrap_or(day);
    next.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

fn months(text: &mut String, picture: &Picture) {
    let labels = |month: Month| {
        let word = picture.word(month).map(Word::as_str);
        word.map(str::to_owned).into_iter().chain([month.to_string()])
    };
    head(text, names::AWS_MONTHLY, "gauge");
    for ((_, month), lines) in picture.months.iter().filter(|((payee, _), _)| is_aws(payee)) {
        for month in labels(*month) {
            places(text, names::AWS_MONTHLY, &[("month", &month)], lines);
        }
    }
    head(text, names::CLOUD_MONTHLY, "gauge");
    for (((provider, currency), month), lines) in &picture.months {
        for month in labels(*month) {
            let labels = [("provider", provider), ("currency", currency), ("month", &month)];
            places(text, names::CLOUD_MONTHLY, &labels.map(|(a, b)| (a, b.as_str())), lines);
        }
    }
}

fn tenants(text: &mut String, picture: &Picture) {
    head(text, names::CLOUD_TENANTS, "gauge");
    for (((provider, currency), word), tenants) in &picture.tenants {
        for (tenant, cost) in tenants {
            let labels = [
                ("provider", provider.as_str()),
                ("currency", currency),
                ("month", word.as_str()),
                ("tenant_id", tenant),
            ];
            sample(text, names::CLOUD_TENANTS, &labels, cost);
        }
    }
}

fn days(text: &mut String, picture: &Picture) {
    head(text, names::AWS_DAILY, "gauge");
    for (_, last) in picture.days.iter().filter(|(payee, _)| is_aws(payee)) {
        places(text, names::AWS_DAILY, &[], &last.lines);
    }
    head(text, names::CLOUD_DAILY, "gauge");
    for ((provider, currency), last) in &picture.days {
        let labels = [("provider", provider.as_str()), ("currency", currency)];
        places(text, names::CLOUD_DAILY, &labels, &last.lines);
    }
}

fn forecasts(text: &mut String, picture: &Picture) {
    head(text, names::AWS_FORECAST, "gauge");
    for (_, last) in picture.days.iter().filter(|(payee, _)| is_aws(payee)) {
        if let Some(forecast) = last.forecast {
            sample(text, names::AWS_FORECAST, &[], forecast);
        }
    }
    for (metric, is_error) in [(names::CLOUD_FORECAST, false), (names::CLOUD_ERROR, true)] {
        head(text, metric, "gauge");
        for ((provider, currency), last) in &picture.days {
            let labels = [("provider", provider.as_str()), ("currency", currency)];
            if let Some(value) = if is_error { last.error } else { last.forecast } {
                sample(text, metric, &labels, value);
            }
        }
    }
}

/// Budgets for cloud cost, as they stood when they were last looked at.
pub(super) fn budgets(text: &mut String, standings: &[Standing]) {
    head(text, names::AWS_BUDGET, "gauge");
    for Standing { budget, .. } in standings.iter().filter(|standing| is_of_aws(standing)) {
        sample(text, names::AWS_BUDGET, &[("budget", &budget.name)], budget.limit);
    }
    let mut family = |metric: &str, value: fn(&Standing) -> Option<Decimal>| {
        head(text, metric, "gauge");
        for standing in standings {
            let (name, watched) = (&standing.budget.name, &standing.budget.watched);
            let labels = [
                ("budget", name.as_str()),
                ("currency", &watched.currency),
                ("period", watched.period.as_str()),
            ];
            if let Some(value) = value(standing) {
                sample(text, metric, &labels, value);
            }
        }
    };
    family(names::CLOUD_BUDGET, |standing| Some(standing.budget.limit));
    family(names::CLOUD_SPENT, |standing| Some(standing.spent));
    family(names::CLOUD_END, |standing| standing.end);
}

/// A monthly budget in dollars that is not another provider's.
fn is_of_aws(Standing { budget, .. }: &Standing) -> bool {
    let watched = &budget.watched;
    let provider = watched.filter.get(&Dimension::Column(Column::ServiceProviderName));
    watched.period == CloudPeriod::Month
        && watched.currency == DOLLARS
        && provider.is_none_or(|provider| clouds::is_aws(provider))
}

fn places(text: &mut String, metric: &str, labels: &[(&str, &str)], lines: &Lines) {
    for ((region, service), cost) in lines {
        let cost: &Decimal = cost;
        let place = [("region", region.as_str()), ("service", service.as_str())];
        sample(text, metric, &[labels, &place].concat(), cost);
    }
}
