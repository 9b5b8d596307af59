//! What the clouds cost, read for `/metrics` whenever the lake has changed.
//!
//! A scrape asks nobody: it shows what was read last. Lines beyond [`LINES_MOST`] of a provider's
//! month become one, so that sums stay right.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use focus::{
    Column, Decimal,
    cost::{Asked, Costs, CostsError, Dimension, Imported, Month, OTHER, Table, Value},
};
use forecast::Daily;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{jobs, metrics::Job, service::Shared};

/// Billing periods that are shown, the newest first: a year, and the month a year ago.
const MONTHS_MOST: usize = 13;
/// Billing periods that a forecast looks back on.
const MONTHS_OF_DAYS: usize = 5;
/// Lines of a provider's month or day that are named apart.
const LINES_MOST: usize = 99;
/// The tag that says whose a charge is: Bursar's own charges have it, and clouds' where somebody
/// has tagged what they bill so.
pub(crate) const TENANT: &str = "tenant";
/// Providers that are shown apart.
const PROVIDERS_MOST: usize = 20;

/// How providers call AWS.
const AWS: [&str; 3] = ["aws", "amazon web services", "amazon"];

/// Whether a provider's name is AWS's.
pub(crate) fn is_aws(provider: &str) -> bool {
    AWS.iter().any(|name| provider.eq_ignore_ascii_case(name))
}

/// Region and service; what a charge has none of is `none`.
pub(crate) type Place = (String, String);
/// Provider and currency.
pub(crate) type Payee = (String, String);
/// What places have cost.
pub(crate) type Lines = Vec<(Place, Decimal)>;
/// What tenants have cost; what no tenant is named for is `none`.
pub(crate) type Tenants = Vec<(String, Decimal)>;

/// What the clouds cost, as it was read.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    pub(crate) read_at: Timestamp,
    version: u64,
    /// The day on which it was read: months become past ones.
    today: Date,
    pub(crate) months: BTreeMap<(Payee, Month), Lines>,
    /// What tenants have cost in the running month and the one before.
    pub(crate) tenants: BTreeMap<(Payee, Word), Tenants>,
    pub(crate) days: BTreeMap<Payee, LastDay>,
    /// By source, when charges last came in.
    pub(crate) ingested: BTreeMap<String, Timestamp>,
}

/// A provider's last whole day, and what follows from its days.
#[derive(Debug)]
pub(crate) struct LastDay {
    pub(crate) day: Date,
    pub(crate) lines: Lines,
    /// The running month at its end; none where its charges have not come in yet.
    pub(crate) forecast: Option<f64>,
    /// The mean error of such forecasts, as a share of the cost.
    pub(crate) error: Option<f64>,
}

/// What a month is called, seen from today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    Current,
    Previous,
}

impl Word {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

impl Picture {
    /// The month of the day on which it was read, or the one before.
    pub(crate) fn word(&self, month: Month) -> Option<Word> {
        let current = Month::of_day(self.today)?;
        match month {
            month if month == current => Some(Word::Current),
            month if month == current.previous() => Some(Word::Previous),
            _ => None,
        }
    }
}

/// The latest picture.
#[derive(Debug, Default)]
pub(crate) struct Clouds(Mutex<Option<Arc<Picture>>>);

impl Clouds {
    /// What was read last.
    pub(crate) fn latest(&self) -> Option<Arc<Picture>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, picture: Picture) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(picture));
    }
}

/// Reads the lake again, where it or the day has changed.
pub(crate) async fn look(state: Shared) {
    let Some(costs) = &state.costs else { return };
    let now = state.now();
    let named = state.config.tenants_named;
    match read(&**costs, state.clouds.latest().as_deref(), named, now).await {
        Ok(Some(picture)) => state.clouds.keep(picture),
        Ok(None) => {}
        Err(error) => jobs::failed(&state, Job::Clouds, &error),
    }
}

async fn read(
    costs: &dyn Costs,
    known: Option<&Picture>,
    tenants_named: usize,
    now: Timestamp,
) -> Result<Option<Picture>, CostsError> {
    let version = costs.version().await?;
    let today = now.to_zoned(TimeZone::UTC).date();
    if known.is_some_and(|known| (known.version, known.today) == (version, today)) {
        return Ok(None);
    }
    let mut picture = Picture { read_at: now, version, today, ..Picture::default() };
    let imports = costs.imports(None).await?;
    let months = newest(&imports);
    for import in imports {
        let at = picture.ingested.entry(import.source).or_insert(import.at);
        *at = import.at.max(*at);
    }
    let (Some(last), Some(first)) = (months.first(), months.last()) else {
        return Ok(Some(picture));
    };
    let provider = Dimension::Column(Column::ServiceProviderName);
    let places = [Column::RegionId, Column::ServiceName].map(Dimension::Column);
    let [region, service] = places.clone();
    let by = vec![provider.clone(), Dimension::Month, region, service];
    let asked = Asked { by, months: Some((*first, *last)), ..Asked::default() };
    picture.months = months_of(costs.report(&asked).await?.table);
    for lines in picture.months.values_mut() {
        bound(lines, LINES_MOST, &elsewhere());
    }
    picture.tenants = match tenants_of(costs, &picture, tenants_named).await {
        // The sums by day don't know tags, so that charges are read: of very many it may be too
        // much, which is no reason to show nothing else.
        Err(CostsError::Limit(why)) => {
            tracing::warn!("the clouds' cost by tenant is not shown: {why}");
            BTreeMap::new()
        }
        tenants => tenants?,
    };
    let since = months.get(MONTHS_OF_DAYS - 1).unwrap_or(first);
    let months = Some((*since, *last));
    let by = vec![provider.clone(), Dimension::Day];
    let asked = Asked { by, months, ..Asked::default() };
    for (payee, costs_by_day) in days_of(costs.report(&asked).await?.table) {
        if picture.days.len() >= PROVIDERS_MOST {
            break;
        }
        let Some(mut last) = last_day(costs_by_day, today) else { continue };
        let only = vec![
            (provider.clone(), payee.0.clone()),
            (Dimension::Column(Column::BillingCurrency), payee.1.clone()),
            (Dimension::Day, last.day.to_string()),
        ];
        let asked = Asked { by: places.to_vec(), months, only, ..Asked::default() };
        let rows = costs.report(&asked).await?.table.rows;
        let lines = rows.iter().filter_map(|row| match row.as_slice() {
            [region, service, _, cost] => Some(((name(region), name(service)), amount(cost))),
            _ => None,
        });
        last.lines = lines.collect();
        bound(&mut last.lines, LINES_MOST, &elsewhere());
        picture.days.insert(payee, last);
    }
    Ok(Some(picture))
}

/// The newest billing periods that have come in, the newest first.
fn newest(imports: &[Imported]) -> Vec<Month> {
    let months: BTreeSet<Month> = imports.iter().map(|import| import.period).collect();
    months.into_iter().rev().take(MONTHS_MOST).collect()
}

fn months_of(table: Table) -> BTreeMap<(Payee, Month), Lines> {
    let mut months: BTreeMap<(Payee, Month), Lines> = BTreeMap::new();
    for row in table.rows {
        let [provider, month, region, service, currency, cost] = row.as_slice() else { continue };
        let Some(month) = month.as_text().and_then(|month| month.parse().ok()) else { continue };
        let payee = (name(provider), currency.to_string());
        let lines = months.entry((payee, month)).or_default();
        lines.push(((name(region), name(service)), amount(cost)));
    }
    months
}

/// What tenants have cost, by the tag that a tenant's key is shown its charges by.
async fn tenants_of(
    costs: &dyn Costs,
    picture: &Picture,
    named: usize,
) -> Result<BTreeMap<(Payee, Word), Tenants>, CostsError> {
    let Some(current) = Month::of_day(picture.today) else { return Ok(BTreeMap::new()) };
    let provider = Dimension::Column(Column::ServiceProviderName);
    let by = vec![provider, Dimension::Month, Dimension::Tag(TENANT.to_owned())];
    let months = Some((current.previous(), current));
    let table = costs.report(&Asked { by, months, ..Asked::default() }).await?.table;
    let mut tenants: BTreeMap<(Payee, Word), Tenants> = BTreeMap::new();
    for row in table.rows {
        let [provider, month, tenant, currency, cost] = row.as_slice() else { continue };
        let month = month.as_text().and_then(|month| month.parse().ok());
        let Some(word) = month.and_then(|month| picture.word(month)) else { continue };
        let payee = (name(provider), currency.to_string());
        let lines = tenants.entry((payee, word)).or_default();
        lines.push((name(tenant), amount(cost)));
    }
    for lines in tenants.values_mut() {
        bound(lines, named, &crate::usage::OTHER.to_owned());
    }
    Ok(tenants)
}

fn days_of(table: Table) -> BTreeMap<Payee, Vec<(Date, f64)>> {
    let mut days: BTreeMap<Payee, Vec<(Date, f64)>> = BTreeMap::new();
    for row in table.rows {
        // A provider without a name can't be asked for by it.
        let [Value::Text(provider), Value::Date(day), currency, cost] = row.as_slice() else {
            continue;
        };
        let payee = (provider.clone(), currency.to_string());
        days.entry(payee).or_default().push((*day, forecast::approximate(amount(cost))));
    }
    days
}

/// The last day that is over, by which alone the next ones can be foreseen.
fn last_day(days: Vec<(Date, f64)>, today: Date) -> Option<LastDay> {
    let known = Daily::new(days)?;
    let over = today.yesterday().ok().and_then(|yesterday| known.until(yesterday))?;
    let day = over.last();
    let is_running = day.first_of_month() == today.first_of_month();
    Some(LastDay {
        day,
        lines: Vec::new(),
        forecast: is_running.then(|| forecast::month_end(&over)),
        error: forecast::error(&over),
    })
}

/// Keeps the most costly lines, so many; the others become one. A name has one line: what is called
/// as the others are is one of them.
fn bound<N: Ord + Clone>(lines: &mut Vec<(N, Decimal)>, most: usize, others: &N) {
    let mut sums: BTreeMap<N, Decimal> = BTreeMap::new();
    let mut add = |name: N, cost: Decimal| {
        let sum = sums.entry(name).or_default();
        // Beyond 38 digits it is no sum; the report would have refused it.
        *sum = sum.checked_add(cost).unwrap_or_default();
    };
    lines.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
    for (place, (name, cost)) in lines.drain(..).enumerate() {
        add(if place < most { name } else { others.clone() }, cost);
    }
    lines.extend(sums);
}

/// The place of what is not named apart.
fn elsewhere() -> Place {
    (OTHER.to_owned(), OTHER.to_owned())
}

fn name(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        value => value.to_string(),
    }
}

fn amount(value: &Value) -> Decimal {
    value.as_decimal().unwrap_or_default()
}
