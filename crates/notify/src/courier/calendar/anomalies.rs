//! Days that cost far more than was to be expected of them: of a tenant's AI, and of a service of a
//! cloud. Each is told once; a day is looked at when it is over, and again as what belongs to it comes
//! in late.

use std::collections::BTreeMap;

use budget::{StoreError, Topic, UsageGroup, UsageQuery};
use focus::{
    Column, Decimal, TenantId,
    cost::{AsOf, Asked, Costs, CostsError, Dimension, Month, Value},
};
use forecast::Anomaly;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use super::Courier;
use crate::{Amount, Facts};

/// Days of AI that are looked at: calls may be settled, or get a price, a day or two late.
const DAYS_LATE: i32 = 3;
/// Days of a cloud: bills are completed for days. What is older is history.
const DAYS_NEWS: i32 = 6;
/// Services of all clouds that are looked at: those that cost most.
const SERVICES_MOST: usize = 10_000;

/// What each day has cost.
type Days = Vec<(Date, Decimal)>;

/// Provider, service and currency.
type Billed = (String, String, String);

impl Courier {
    /// Tells of tenants whose AI has cost far more in the last days than was to be expected.
    pub(super) async fn anomalies_of_tenants(
        &self,
        least: Decimal,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let look = format!("anomaly/ai/{today}");
        let Ok(yesterday) = today.yesterday() else { return Ok(()) };
        if self.is_planned(&look) {
            return Ok(());
        }
        let first = today.saturating_sub(DAYS_LATE.days());
        let (from, to) = (start(known_since(first)), start(today));
        let group_by = vec![UsageGroup::Tenant, UsageGroup::Day];
        let rows = self.store.usage(UsageQuery { tenant: None, from, to, group_by }).await?;
        let mut tenants: BTreeMap<TenantId, Days> = BTreeMap::new();
        for row in rows {
            let day = row.day.and_then(|day| day.parse().ok());
            let Some((tenant, day)) = row.tenant.zip(day) else { continue };
            tenants.entry(tenant).or_default().push((day, Decimal::from(row.cost)));
        }
        for (tenant, days) in tenants {
            for found in forecast::anomalies(&days, (first, yesterday), least) {
                self.tell_of_tenant(&tenant, &found).await?;
            }
        }
        self.has_planned(look);
        Ok(())
    }

    async fn tell_of_tenant(&self, tenant: &TenantId, found: &Anomaly) -> Result<(), StoreError> {
        let (name, at) = (format!("anomaly/ai/{tenant}/{}", found.day), end(found.day));
        let posts = self.waiting(&name, Topic::Anomaly, at).await?;
        if posts.is_empty() {
            return Ok(());
        }
        let known = self.store.tenant(tenant).await?;
        let facts = Facts {
            incident: format!("anomaly/ai/{tenant}"),
            tenant_id: Some(tenant.to_string()),
            tenant_name: known.as_ref().and_then(|known| known.name.clone()),
            ..facts(name, found, "USD")
        };
        let admin = known.as_ref().and_then(|known| known.admin_email.as_deref());
        self.tell_admin(posts, Topic::Anomaly, at, facts, admin).await
    }

    /// Tells of services whose last billed days have cost far more than was to be expected.
    pub(super) async fn anomalies_of_clouds(
        &self,
        costs: &dyn Costs,
        least: Decimal,
        now: Timestamp,
    ) -> Result<Result<(), CostsError>, StoreError> {
        let version = match costs.version().await {
            Ok(version) => version,
            Err(error) => return Ok(Err(error)),
        };
        let today = now.to_zoned(TimeZone::UTC).date();
        let look = format!("anomaly/clouds/{version}/{today}");
        if self.is_planned(&look) {
            return Ok(Ok(()));
        }
        let services = match services(costs, version, today).await {
            Ok(services) => services,
            Err(error) => return Ok(Err(error)),
        };
        // A service has cost nothing before it was there, as far back as its provider has billed.
        let mut spans: BTreeMap<(&str, &str), (Date, Date)> = BTreeMap::new();
        for ((provider, _, currency), days) in &services {
            for (day, _) in days.iter().filter(|(day, _)| *day < today) {
                let span = spans.entry((provider, currency)).or_insert((*day, *day));
                *span = (span.0.min(*day), span.1.max(*day));
            }
        }
        let news = today.saturating_sub(DAYS_NEWS.days());
        for ((provider, service, currency), mut days) in
            services.iter().map(|(a, b)| (a, b.clone()))
        {
            let span = spans.get(&(provider.as_str(), currency.as_str()));
            let Some((first, last)) = span.copied() else { continue };
            days.push((first, Decimal::ZERO));
            for found in forecast::anomalies(&days, (news, last), least) {
                let (day, at) = (found.day, end(found.day));
                let name = format!("anomaly/cloud/{provider}/{service}/{currency}/{day}");
                let posts = self.waiting(&name, Topic::Anomaly, at).await?;
                let facts = Facts {
                    incident: format!("anomaly/cloud/{provider}/{service}/{currency}"),
                    provider: Some(provider.clone()),
                    service: Some(service.clone()),
                    ..facts(name, &found, currency)
                };
                self.tell(posts, Topic::Anomaly, at, facts).await?;
            }
        }
        self.has_planned(look);
        Ok(Ok(()))
    }
}

/// What each day of a service has cost, as far back as it takes.
async fn services(
    costs: &dyn Costs,
    version: u64,
    today: Date,
) -> Result<BTreeMap<Billed, Days>, CostsError> {
    let first = known_since(today.saturating_sub(DAYS_NEWS.days()));
    let columns = [Column::ServiceProviderName, Column::ServiceName].map(Dimension::Column);
    let asked = Asked {
        by: columns.into_iter().chain([Dimension::Day]).collect(),
        months: Month::of_day(first).zip(Month::of_day(today)),
        as_of: AsOf::version(version),
        ..Asked::default()
    };
    let mut services: BTreeMap<Billed, Days> = BTreeMap::new();
    for row in costs.report(&asked).await?.table.rows {
        let [Value::Text(provider), Value::Text(service), Value::Date(day), currency, cost] =
            row.as_slice()
        else {
            continue;
        };
        let billed = (provider.clone(), service.clone(), currency.to_string());
        if services.len() < SERVICES_MOST || services.contains_key(&billed) {
            let cost = cost.as_decimal().unwrap_or_default();
            services.entry(billed).or_default().push((*day, cost));
        }
    }
    Ok(services)
}

fn facts(name: String, found: &Anomaly, currency: &str) -> Facts {
    let amount = |amount| Some(Amount { amount, currency: currency.to_owned() });
    Facts {
        name,
        day: Some(found.day),
        spent: amount(found.cost),
        expected: amount(found.expected),
        ..Facts::default()
    }
}

/// The first of the days that tell what is to be expected of a day and of the one before it.
fn known_since(day: Date) -> Date {
    let back = i64::try_from(forecast::DAYS_BACK + 1).unwrap_or(i64::MAX);
    day.saturating_sub(back.days())
}

/// The first instant after a day in UTC.
fn end(day: Date) -> Timestamp {
    start(day.tomorrow().unwrap_or(day))
}

/// The first instant of a day in UTC.
fn start(day: Date) -> Timestamp {
    let zoned = day.to_zoned(TimeZone::UTC);
    zoned.map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp())
}
