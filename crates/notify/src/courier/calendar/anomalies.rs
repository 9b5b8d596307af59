//! Days that cost far more than was to be expected of them: of a tenant's AI, and of a service of a
//! cloud. Each is told once; a day is looked at when it is over, and again when its bills change.

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

/// A bill's last day that is older is history: nobody can stop it any more.
const DAYS_NEWS: i32 = 7;
/// Services of all clouds that are looked at: those that cost most.
const SERVICES_MOST: usize = 10_000;

/// What each day has cost.
type Days = Vec<(Date, Decimal)>;

/// Provider, service and currency.
type Billed = (String, String, String);

impl Courier {
    /// Tells of tenants whose AI has cost far more yesterday than was to be expected.
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
        let back = i64::try_from(forecast::DAYS_BACK).unwrap_or(i64::MAX);
        let (from, to) = (start(yesterday.saturating_sub(back.days())), start(today));
        let group_by = vec![UsageGroup::Tenant, UsageGroup::Day];
        let rows = self.store.usage(UsageQuery { tenant: None, from, to, group_by }).await?;
        let mut tenants: BTreeMap<TenantId, Days> = BTreeMap::new();
        for row in rows {
            let day = row.day.and_then(|day| day.parse().ok());
            let Some((tenant, day)) = row.tenant.zip(day) else { continue };
            tenants.entry(tenant).or_default().push((day, Decimal::from(row.cost)));
        }
        for (tenant, days) in tenants {
            let Some(found) = forecast::anomaly(&days, yesterday, least) else { continue };
            let name = format!("anomaly/ai/{tenant}/{yesterday}");
            let posts = self.waiting(&name, Topic::Anomaly, to).await?;
            if posts.is_empty() {
                continue;
            }
            let known = self.store.tenant(&tenant).await?;
            let facts = Facts {
                incident: format!("anomaly/ai/{tenant}"),
                tenant_id: Some(tenant.to_string()),
                tenant_name: known.as_ref().and_then(|known| known.name.clone()),
                ..facts(name, &found, "USD")
            };
            let admin = known.as_ref().and_then(|known| known.admin_email.as_deref());
            self.tell_admin(posts, Topic::Anomaly, to, facts, admin).await?;
        }
        self.has_planned(look);
        Ok(())
    }

    /// Tells of services whose last billed day has cost far more than was to be expected.
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
        // The last day of a provider's bill is the one that all its services have.
        let mut last: BTreeMap<(&str, &str), Date> = BTreeMap::new();
        for ((provider, _, currency), days) in &services {
            let day = days.iter().map(|(day, _)| *day).filter(|day| *day < today).max();
            let Some(day) = day else { continue };
            let known = last.entry((provider, currency)).or_insert(day);
            *known = day.max(*known);
        }
        for ((provider, service, currency), days) in &services {
            let Some(day) = last.get(&(provider.as_str(), currency.as_str())) else { continue };
            let is_news = *day >= today.saturating_sub(DAYS_NEWS.days());
            let found = forecast::anomaly(days, *day, least).filter(|_| is_news);
            let Some(found) = found else { continue };
            let name = format!("anomaly/cloud/{provider}/{service}/{currency}/{day}");
            let posts = self.waiting(&name, Topic::Anomaly, now).await?;
            let facts = Facts {
                incident: format!("anomaly/cloud/{provider}/{service}/{currency}"),
                provider: Some(provider.clone()),
                service: Some(service.clone()),
                ..facts(name, &found, currency)
            };
            self.tell(posts, Topic::Anomaly, now, facts).await?;
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
    let back = i64::try_from(forecast::DAYS_BACK).unwrap_or(i64::MAX);
    let first = today.saturating_sub((back + i64::from(DAYS_NEWS)).days());
    let columns = [Column::ServiceProviderName, Column::ServiceName].map(Dimension::Column);
    let asked = Asked {
        by: columns.into_iter().chain([Dimension::Day]).collect(),
        months: Month::of_day(first).zip(Month::of_day(today)),
        as_of: (version > 0).then_some(AsOf::Version(version)),
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

/// The first instant of a day in UTC.
fn start(day: Date) -> Timestamp {
    let zoned = day.to_zoned(TimeZone::UTC);
    zoned.map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp())
}
