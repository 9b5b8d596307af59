//! What the demo's clouds bill: a month and the one that runs, day by day, of three providers.
//!
//! Owns the made-up world of accounts, services and prices, and its budgets. Bills are FOCUS 1.4
//! and go through the lake's own door. The same seed and day make the same bills.

use std::io::Write;

use anyhow::Context as _;
use budget::{CloudBudget, CloudPeriod, Watched};
use focus::{
    Column, Decimal,
    cost::{Basis, Month},
};
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use lake::{Lake, Options};

use super::{tenants::COMPANIES, traffic::Span};
use crate::{context::Store, seed::Random};

#[cfg(test)]
mod tests;

/// A cloud and the accounts in it.
struct Cloud {
    source: &'static str,
    provider: &'static str,
    issuer: &'static str,
    account: (&'static str, &'static str),
    sub_accounts: [(&'static str, &'static str); 2],
    regions: [(&'static str, &'static str); 2],
    services: &'static [Service],
}

/// A service, and what an hour, a gigabyte or a request of it costs.
struct Service {
    name: &'static str,
    category: &'static str,
    subcategory: &'static str,
    unit: &'static str,
    /// In millionths of a dollar.
    price: i64,
    /// Used on an ordinary day, in each region, by all tenants together.
    daily: i64,
}

const fn service(
    name: &'static str,
    (category, subcategory): (&'static str, &'static str),
    unit: &'static str,
    price: i64,
    daily: i64,
) -> Service {
    Service { name, category, subcategory, unit, price, daily }
}

const COMPUTE: (&str, &str) = ("Compute", "Virtual Machines");
const CONTAINERS: (&str, &str) = ("Compute", "Containers");
const OBJECTS: (&str, &str) = ("Storage", "Object Storage");
const BLOCKS: (&str, &str) = ("Storage", "Block Storage");
const RELATIONAL: (&str, &str) = ("Databases", "Relational Databases");
const NETWORK: (&str, &str) = ("Networking", "Network Connectivity");

const CLOUDS: [Cloud; 3] = [
    Cloud {
        source: "aws",
        provider: "AWS",
        issuer: "Amazon Web Services, Inc.",
        account: ("100000000001", "Platform"),
        sub_accounts: [("100000000010", "production"), ("100000000020", "staging")],
        regions: [("us-east-1", "US East (N. Virginia)"), ("eu-central-1", "Europe (Frankfurt)")],
        services: &[
            service("Amazon Elastic Compute Cloud", COMPUTE, "Hours", 192_000, 900),
            service("Amazon Elastic Kubernetes Service", CONTAINERS, "Hours", 100_000, 96),
            service("Amazon Relational Database Service", RELATIONAL, "Hours", 356_000, 240),
            service("Amazon Simple Storage Service", OBJECTS, "GB-Days", 767, 90_000),
            service("Amazon Elastic Block Store", BLOCKS, "GB-Days", 2_667, 14_000),
            service("AWS Data Transfer", NETWORK, "GB", 90_000, 420),
        ],
    },
    Cloud {
        source: "azure",
        provider: "Microsoft",
        issuer: "Microsoft",
        account: ("7f3b-platform", "Analytics"),
        sub_accounts: [("sub-reporting", "reporting"), ("sub-sandbox", "sandbox")],
        regions: [("westeurope", "West Europe"), ("eastus", "East US")],
        services: &[
            service("Virtual Machines", COMPUTE, "Hours", 211_000, 160),
            service("Azure SQL Database", RELATIONAL, "Hours", 504_000, 48),
            service("Storage Accounts", OBJECTS, "GB-Days", 613, 30_000),
        ],
    },
    Cloud {
        source: "gcp",
        provider: "Google Cloud",
        issuer: "Google Cloud",
        account: ("01A2B3-C4D5E6", "Data"),
        sub_accounts: [("data-prod", "data-prod"), ("data-lab", "data-lab")],
        regions: [("europe-west3", "Frankfurt"), ("us-east4", "Northern Virginia")],
        services: &[
            service("Compute Engine", COMPUTE, "Hours", 167_000, 120),
            service("BigQuery", ("Databases", "Data Warehouses"), "GB", 6_250, 5_200),
            service("Cloud Storage", OBJECTS, "GB-Days", 667, 24_000),
        ],
    },
];

/// Tenants whose work is told apart by tags, and the share of a day's usage that is theirs, in
/// percent; what is left nobody has tagged.
const SHARES: [(usize, i64); 4] = [(0, 38), (1, 24), (2, 17), (4, 9)];

/// Ingests the bills of all clouds and sets the budgets that watch them.
pub async fn fill(lake: &Lake, store: &Store, seed: u64, span: Span) -> anyhow::Result<()> {
    let mut random = Random::new(seed.wrapping_add(2));
    for cloud in &CLOUDS {
        let mut file = tempfile::Builder::new().suffix(".csv").tempfile()?;
        let bill = cloud.bill(Random::new(random.bits()), span)?;
        file.write_all(&bill).context("failed to write a cloud's bill")?;
        let options = Options { source: Some(cloud.source.to_owned()), ..Options::default() };
        let ingested = lake.ingest(file.path(), &options).await;
        ingested.with_context(|| format!("failed to ingest the bill of {}", cloud.source))?;
    }
    let month = Month::of(span.now).context("the clock is beyond the calendar")?;
    for (name, service, percent) in [
        ("compute", "Amazon Elastic Compute Cloud", 128),
        ("databases", "Amazon Relational Database Service", 86),
    ] {
        let filter = vec![(focus::cost::Dimension::Column(Column::ServiceName), service.into())];
        let watched = Watched::new(filter, Basis::Billed, "USD", CloudPeriod::Month)?;
        let report = lake.report(&watched.asked((month, month))).await?;
        let spent = report.totals.get("USD").copied().unwrap_or_default().rounded(2);
        // So that the story is the same on every day: this many percent of it are spent.
        let limit = Decimal::new(spent.digits() * 100 / percent, 2).rounded(0);
        store.put_cloud(CloudBudget::new(name, watched, limit, span.now)?).await?;
    }
    Ok(())
}

impl Cloud {
    /// Every day's charges since the month before, as CSV.
    fn bill(&self, mut random: Random, span: Span) -> anyhow::Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(Column::ALL.iter().map(|column| column.name()))?;
        let date = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        let (mut day, last) = (date(span.begin), date(span.now));
        while day <= last {
            for service in self.services {
                for (place, region) in self.regions.iter().enumerate() {
                    let used = used(service, &mut random, day, place);
                    let mut left = used;
                    for (company, share) in SHARES {
                        let part = used * share / 100;
                        left -= part;
                        let tenant = Some(COMPANIES[company].id);
                        csv.write_record(self.charge(service, *region, day, part, tenant)?)?;
                    }
                    csv.write_record(self.charge(service, *region, day, left, None)?)?;
                }
            }
            day = day.tomorrow()?;
        }
        Ok(csv.into_inner()?)
    }

    /// A charge as a record of every column.
    fn charge(
        &self,
        service: &Service,
        region: (&str, &str),
        day: Date,
        hundredths: i64,
        tenant: Option<&str>,
    ) -> anyhow::Result<Vec<String>> {
        let quantity = Decimal::new(i128::from(hundredths), 2);
        let price = Decimal::new(i128::from(service.price), 6);
        let cost = Decimal::new(i128::from(hundredths) * i128::from(service.price), 8);
        let sub = self.sub_accounts[usize::from(tenant.is_none())];
        let first = day.first_of_month();
        let instant = |date: Date| format!("{date}T00:00:00Z");
        let resource = format!("{}/{}/{}", self.source, region.0, service.name.replace(' ', "-"));
        let sku = format!("{}-{}", service.name.replace(' ', "-"), region.0);
        let tags = tenant.map_or_else(
            || r#"{"env":"staging"}"#.to_owned(),
            |tenant| format!(r#"{{"env":"production","tenant":"{tenant}"}}"#),
        );
        let next_month = first.checked_add(1.month())?;
        Ok(Column::ALL
            .iter()
            .map(|column| match column {
                Column::BilledCost
                | Column::ContractedCost
                | Column::EffectiveCost
                | Column::ListCost
                | Column::PricingCurrencyEffectiveCost => cost.to_string(),
                Column::BillingAccountId => self.account.0.to_owned(),
                Column::BillingAccountName => self.account.1.to_owned(),
                Column::BillingAccountType => "Account".to_owned(),
                Column::BillingCurrency | Column::PricingCurrency => "USD".to_owned(),
                Column::BillingPeriodStart => instant(first),
                Column::BillingPeriodEnd => instant(next_month),
                Column::ChargeCategory => "Usage".to_owned(),
                Column::ChargeDescription => format!("{} in {}", service.name, region.1),
                Column::ChargeFrequency => "Usage-Based".to_owned(),
                Column::ChargePeriodStart => instant(day),
                Column::ChargePeriodEnd => instant(day.tomorrow().unwrap_or(day)),
                Column::ConsumedQuantity | Column::PricingQuantity => quantity.to_string(),
                Column::ConsumedUnit | Column::PricingUnit => service.unit.to_owned(),
                Column::ContractedUnitPrice
                | Column::ListUnitPrice
                | Column::PricingCurrencyContractedUnitPrice
                | Column::PricingCurrencyListUnitPrice => price.to_string(),
                Column::HostProviderName | Column::ServiceProviderName => self.provider.to_owned(),
                Column::InvoiceIssuerName => self.issuer.to_owned(),
                Column::PricingCategory => "Standard".to_owned(),
                Column::RegionId => region.0.to_owned(),
                Column::RegionName => region.1.to_owned(),
                Column::ResourceId | Column::ResourceName => resource.clone(),
                Column::ResourceType => service.subcategory.to_owned(),
                Column::ServiceCategory => service.category.to_owned(),
                Column::ServiceName => service.name.to_owned(),
                Column::ServiceSubcategory => service.subcategory.to_owned(),
                Column::SkuId => sku.clone(),
                Column::SkuMeter => service.unit.to_owned(),
                Column::SkuPriceId => format!("{sku}-on-demand"),
                Column::SubAccountId => sub.0.to_owned(),
                Column::SubAccountName => sub.1.to_owned(),
                Column::SubAccountType => "Account".to_owned(),
                Column::Tags => tags.clone(),
                _ => String::new(),
            })
            .collect())
    }
}

/// Hundredths of a unit that a day uses: less on weekends and in the second region, and more from
/// month to month.
fn used(service: &Service, random: &mut Random, day: Date, place: usize) -> i64 {
    let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    let rest = i64::try_from(random.bits() % 1_600).unwrap_or(0);
    // In ten-thousandths of the ordinary day.
    let busy = if weekend { 7_100 } else { 9_200 } + rest;
    let region = if place == 0 { 10_000 } else { 5_500 };
    let grown = 10_000 + i64::from(day.day_of_year()) * 8;
    service.daily * 100 * busy / 10_000 * region / 10_000 * grown / 10_000
}
