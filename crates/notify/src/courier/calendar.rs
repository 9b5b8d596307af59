//! What comes by itself: the digest, the review, bills that stay away, forecasts and anomalies.

use std::collections::BTreeMap;

use budget::{
    CloudBudget, DeliveryFilter, DeliveryState, Monthly, Page, StoreError, Topic, UsageGroup,
    UsageQuery, UsageRow, Weekly,
};
use focus::{
    Decimal,
    cost::{AsOf, Costs, CostsError, Months},
};
use forecast::Foreseen;
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use money::Money;
use tracing::warn;

use super::{Courier, Post};
use crate::{
    Amount, Facts, Section,
    plan::{self, Told},
};

mod anomalies;

/// Lines of a section, at most.
const LINES_MOST: usize = 10;
/// Events of a week that are counted, at most.
const EVENTS_MOST: usize = 10_000;

/// What comes by itself, and when.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    /// What the week has brought.
    pub digest: Option<Weekly>,
    /// The month is over.
    pub review: Option<Monthly>,
    /// After how long without bills from a source somebody is told.
    pub stale: Option<SignedDuration>,
    /// Whether somebody is told that a budget for cloud cost will be exceeded.
    pub forecast: bool,
    /// How much more than was to be expected a day has to cost for somebody to be told, in its
    /// currency.
    pub anomaly: Option<Decimal>,
}

impl Courier {
    /// Plans what is due by the calendar. A channel is told nothing of before it was there.
    pub async fn plan_calendar(&self) -> Result<(), StoreError> {
        let now = self.now();
        if let Some(at) = self.calendar.digest.as_ref().and_then(|weekly| weekly.last(now)) {
            let name = format!("digest/{at}");
            let posts = self.waiting(&name, Topic::Digest, at).await?;
            if !posts.is_empty() {
                let facts = self.digest(at).await?;
                self.tell(posts, Topic::Digest, at, Facts { name, ..facts }).await?;
            }
        }
        if let Some(at) = self.calendar.review.as_ref().and_then(|monthly| monthly.last(now)) {
            let name = format!("review/{at}");
            let posts = self.waiting(&name, Topic::Review, at).await?;
            if !posts.is_empty() {
                let facts = self.review(at).await?;
                self.tell(posts, Topic::Review, at, Facts { name, ..facts }).await?;
            }
        }
        if let Some(least) = self.calendar.anomaly {
            self.anomalies_of_tenants(least, now).await?;
        }
        let Some(costs) = &self.costs else { return Ok(()) };
        if let Some(least) = self.calendar.anomaly
            && let Err(error) = self.anomalies_of_clouds(&**costs, least, now).await?
        {
            warn!("failed to look for days that cost far more than usual: {error}");
        }
        if let Err(error) = self.stale(&**costs, now).await? {
            warn!("failed to look for bills that stay away: {error}");
        }
        if self.calendar.forecast
            && let Err(error) = self.forecasts(&**costs, now).await?
        {
            warn!("failed to forecast budgets for cloud cost: {error}");
        }
        Ok(())
    }

    /// The channels that want a thing, were there before it, and were not told of it yet by this
    /// process.
    async fn waiting(
        &self,
        name: &str,
        topic: Topic,
        at: Timestamp,
    ) -> Result<Vec<&Post>, StoreError> {
        let now = self.now();
        let mut waiting = Vec::new();
        if budget::is_stale(at, now) {
            return Ok(waiting);
        }
        for post in self.posts.iter().filter(|post| post.wanted.takes(topic, topic.severity())) {
            let was_there = self.store.follow(&post.name, now).await?.since <= at;
            if was_there && !self.is_planned(&budget::delivery_key(name, &post.name, None)) {
                waiting.push(post);
            }
        }
        Ok(waiting)
    }

    /// Tells channels of a thing.
    async fn tell(
        &self,
        posts: Vec<&Post>,
        topic: Topic,
        at: Timestamp,
        facts: Facts,
    ) -> Result<(), StoreError> {
        self.tell_admin(posts, topic, at, facts, None).await
    }

    /// Tells channels of a thing, and a tenant's admin.
    async fn tell_admin(
        &self,
        posts: Vec<&Post>,
        topic: Topic,
        at: Timestamp,
        facts: Facts,
        admin: Option<&str>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let told = Told { topic, severity: topic.severity(), at, facts };
        for post in posts {
            let new = plan::deliveries(post, &told, admin, self.quiet.as_ref(), now);
            let new = new.map_err(|error| StoreError::Corrupt(error.to_string()))?;
            self.store.plan(&post.name, None, new, now).await?;
            self.has_planned(budget::delivery_key(&told.facts.name, &post.name, None));
        }
        Ok(())
    }

    /// What the week up to an instant has brought.
    async fn digest(&self, until: Timestamp) -> Result<Facts, StoreError> {
        let from = until.saturating_sub(SignedDuration::from_hours(7 * 24));
        let from = from.unwrap_or(Timestamp::UNIX_EPOCH);
        let (spent, tenants) = self.spent(from, until).await?;
        let mut sections = vec![tenants];
        sections.push(self.happened(from, until).await?);
        let noted = DeliveryFilter {
            state: Some(DeliveryState::Noted),
            from: Some(from),
            page: Page::first(LINES_MOST),
            ..DeliveryFilter::default()
        };
        let noted = self.store.deliveries(noted).await?;
        let line = |facts: &str| {
            let facts: Facts = serde_json::from_str(facts).ok()?;
            Some((facts.source?, facts.summary.unwrap_or_default()))
        };
        let rows = noted.iter().filter_map(|one| line(&one.facts)).collect();
        sections.push(Section { title: "Alerts".to_owned(), rows });
        let dead: u64 = self.store.backlog(until).await?.iter().map(|one| one.dead).sum();
        if dead > 0 {
            let row = ("not delivered, see bursar notify list".to_owned(), dead.to_string());
            sections.push(Section { title: "Notices".to_owned(), rows: vec![row] });
        }
        sections.retain(|section| !section.rows.is_empty());
        let period_start = Some(from);
        Ok(Facts { spent: Some(spent), period_start, sections, ..Facts::default() })
    }

    /// What the month before an instant has cost.
    async fn review(&self, at: Timestamp) -> Result<Facts, StoreError> {
        let zone = self.calendar.review.as_ref().map_or(TimeZone::UTC, |one| one.zone.clone());
        let first = at.to_zoned(zone.clone()).date().first_of_month();
        let before = first.yesterday().map(|day| day.first_of_month()).unwrap_or(first);
        let start = |day: Date| day.to_zoned(zone.clone()).map(|day| day.timestamp());
        let (from, to) = (start(before).unwrap_or(at), start(first).unwrap_or(at));
        let (spent, tenants) = self.spent(from, to).await?;
        let sections = if tenants.rows.is_empty() { Vec::new() } else { vec![tenants] };
        Ok(Facts { spent: Some(spent), period_start: Some(from), sections, ..Facts::default() })
    }

    /// What AI has cost, and whom most.
    async fn spent(&self, from: Timestamp, to: Timestamp) -> Result<(Amount, Section), StoreError> {
        let group_by = vec![UsageGroup::Tenant];
        let mut rows = self.store.usage(UsageQuery { tenant: None, from, to, group_by }).await?;
        let sum = |rows: &[UsageRow]| {
            let add = |sum: Money, row: &UsageRow| sum.checked_add(row.cost).unwrap_or(sum);
            rows.iter().fold(Money::ZERO, add)
        };
        let all = Amount::usd(sum(&rows));
        rows.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.tenant.cmp(&b.tenant)));
        let others = rows.split_off(rows.len().min(LINES_MOST));
        let line = |row: &UsageRow| {
            let tenant = row.tenant.as_ref().map(ToString::to_string).unwrap_or_default();
            (tenant, Amount::usd(row.cost).shown())
        };
        let mut lines: Vec<_> = rows.iter().map(line).collect();
        if !others.is_empty() {
            lines.push((format!("{} others", others.len()), Amount::usd(sum(&others)).shown()));
        }
        Ok((all, Section { title: "AI spend by tenant".to_owned(), rows: lines }))
    }

    /// How often what was told.
    async fn happened(&self, from: Timestamp, to: Timestamp) -> Result<Section, StoreError> {
        let mut after = self.place(from).await?;
        let mut counts: BTreeMap<Topic, u64> = BTreeMap::new();
        let mut read = 0;
        while read < EVENTS_MOST {
            let page = Page { after: Some(after), limit: super::PAGE };
            let events = self.store.events(page).await?;
            let Some((last, _)) = events.last() else { break };
            (after, read) = (*last, read + events.len());
            for (_, notice) in events.iter().filter(|(_, notice)| notice.at() < to) {
                *counts.entry(Topic::of(notice)).or_default() += 1;
            }
        }
        let rows = counts.into_iter().map(|(topic, count)| {
            let name = topic.as_str().replace('_', " ");
            (name, count.to_string())
        });
        Ok(Section { title: "What was told".to_owned(), rows: rows.collect() })
    }

    /// The outbox's place before what was told from an instant on. It is found by halving: numbers
    /// rise with time.
    async fn place(&self, from: Timestamp) -> Result<u64, StoreError> {
        let now = self.now();
        let Some(post) = self.posts.first() else { return Ok(0) };
        let (mut low, mut high) = (0, self.store.follow(&post.name, now).await?.after);
        while low < high {
            let middle = low + (high - low) / 2;
            let page = Page { after: Some(middle), limit: 1 };
            match self.store.events(page).await?.first() {
                Some((number, notice)) if notice.at() < from => low = *number,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Tells of sources that have not come in for long.
    async fn stale(
        &self,
        costs: &dyn Costs,
        now: Timestamp,
    ) -> Result<Result<(), CostsError>, StoreError> {
        let Some(patience) = self.calendar.stale else { return Ok(Ok(())) };
        let imports = match costs.imports(None).await {
            Ok(imports) => imports,
            Err(error) => return Ok(Err(error)),
        };
        let mut latest: BTreeMap<String, Timestamp> = BTreeMap::new();
        for import in imports {
            let at = latest.entry(import.source).or_insert(import.at);
            *at = import.at.max(*at);
        }
        for (source, last) in latest {
            let Ok(at) = last.checked_add(patience) else { continue };
            if at > now {
                continue;
            }
            let incident = format!("ingest/{source}");
            let name = format!("{incident}/{last}");
            let posts = self.waiting(&name, Topic::IngestStale, at).await?;
            let (source, since) = (Some(source), Some(last));
            let facts = Facts { name, incident, source, since, ..Facts::default() };
            self.tell(posts, Topic::IngestStale, at, facts).await?;
        }
        Ok(Ok(()))
    }

    /// Tells of budgets for cloud cost that will be exceeded in their period, as its days go on.
    async fn forecasts(
        &self,
        costs: &dyn Costs,
        now: Timestamp,
    ) -> Result<Result<(), CostsError>, StoreError> {
        let version = match costs.version().await {
            Ok(version) => version,
            Err(error) => return Ok(Err(error)),
        };
        let today = now.to_zoned(TimeZone::UTC).date();
        // Nothing new has come in since, and no day has ended.
        let look = format!("forecast/{version}/{today}");
        if self.is_planned(&look) {
            return Ok(Ok(()));
        }
        for budget in self.store.cloud_budgets().await? {
            let Some(months) = budget.period(now) else { continue };
            let foreseen = match foreseen(costs, version, &budget, months, today).await {
                Ok(Some(foreseen)) => foreseen,
                Ok(None) => continue,
                Err(error) => return Ok(Err(error)),
            };
            if foreseen.spent > budget.limit || foreseen.end <= budget.limit {
                continue;
            }
            let start = months.0.start();
            let name = format!("{}/{start}/forecast", budget.id);
            let posts = self.waiting(&name, Topic::CloudForecast, now).await?;
            let facts = Facts { name, ..facts(&budget, &foreseen, months) };
            self.tell(posts, Topic::CloudForecast, now, facts).await?;
        }
        self.has_planned(look);
        Ok(Ok(()))
    }
}

async fn foreseen(
    costs: &dyn Costs,
    version: u64,
    budget: &CloudBudget,
    months: Months,
    today: Date,
) -> Result<Option<Foreseen>, CostsError> {
    let mut asked = budget.watched.asked_by_day(forecast::with_history(months));
    asked.as_of = AsOf::version(version);
    let days = budget.watched.days(&costs.report(&asked).await?.table);
    Ok(forecast::foresee(&days, months, today))
}

fn facts(budget: &CloudBudget, foreseen: &Foreseen, months: Months) -> Facts {
    let amount = |amount| Amount { amount, currency: budget.watched.currency.clone() };
    let start = |month: focus::cost::Month| month.start().parse().ok();
    let only = (!budget.watched.filter.is_empty()).then(|| budget.watched.to_string());
    Facts {
        incident: format!("{}/{}", budget.id, months.0.start()),
        budget: Some(budget.name.clone()),
        only,
        spent: Some(amount(foreseen.spent)),
        limit: Some(amount(budget.limit)),
        forecast: Some(amount(foreseen.end)),
        period_start: start(months.0),
        resets_at: start(months.1.next()),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests;
