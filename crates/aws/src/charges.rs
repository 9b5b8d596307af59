//! Cost Explorer's lines as FOCUS charges.
//!
//! Owns which column says what. Cost Explorer knows a service and a region, no resource, no price
//! and no quantity: those columns stay empty.

use focus::{
    Column, Decimal,
    charge::{Charge, Value, WrongKind},
    cost::Month,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{Costs, Line};

/// The column that says whether AWS still counts: `true` or `false`.
pub const CUSTOM: &str = "x_Estimated";

/// How Cost Explorer names that a cost is of no region.
const NO_REGION: &str = "NoRegion";

/// One charge a line, in the order of day, service and region.
///
/// `BilledCost` is the unblended cost and `EffectiveCost` the amortized one. List and contracted
/// costs are not told; as FOCUS wants some, they are what was billed. `ServiceName` and `RegionId`
/// are Cost Explorer's. `accounts` are those that were asked for: a single one is the charges'
/// `SubAccountId`.
pub fn charges(costs: &Costs, accounts: &[String]) -> Result<Vec<Charge>, WrongKind> {
    let member = match accounts {
        [one] => Some(one.as_str()),
        _ => None,
    };
    let lines = costs.lines.iter();
    lines
        .map(|((day, service, region), line)| {
            let place = Place { day: *day, service, region, account: &costs.account, member };
            charge(&place, line)
        })
        .collect()
}

struct Place<'a> {
    day: Date,
    service: &'a str,
    region: &'a str,
    account: &'a str,
    member: Option<&'a str>,
}

fn charge(place: &Place<'_>, line: &Line) -> Result<Charge, WrongKind> {
    let mut charge = Charge::default();
    let category = category(place.service);
    let region = Some(place.region).filter(|region| ![NO_REGION, ""].contains(region));
    let kind = if place.service == "Tax" { "Tax" } else { "Usage" };
    let description = match region {
        Some(region) => format!("{} in {region}", place.service),
        None => place.service.to_owned(),
    };
    let subcategory = format!("Other ({category})");
    for (column, text) in [
        (Column::BillingAccountId, Some(place.account)),
        (Column::BillingAccountName, Some(place.account)),
        (Column::BillingAccountType, Some("Account")),
        (Column::BillingCurrency, Some(line.currency.as_str())),
        (Column::ChargeCategory, Some(kind)),
        (Column::ChargeDescription, Some(description.as_str())),
        (Column::ChargeFrequency, Some("Usage-Based")),
        (Column::HostProviderName, Some("AWS")),
        (Column::InvoiceIssuerName, Some("Amazon Web Services")),
        (Column::PricingCurrency, Some(line.currency.as_str())),
        (Column::RegionId, region),
        (Column::RegionName, region),
        (Column::ServiceCategory, Some(category)),
        (Column::ServiceName, Some(place.service)),
        (Column::ServiceProviderName, Some("AWS")),
        (Column::ServiceSubcategory, Some(subcategory.as_str())),
        (Column::SubAccountId, place.member),
        (Column::SubAccountName, place.member),
        (Column::SubAccountType, place.member.map(|_| "Account")),
    ] {
        if let Some(text) = text {
            charge.set(column, Value::Text(text.into()))?;
        }
    }
    for (column, amount) in amounts(line) {
        charge.set(column, Value::Decimal(amount))?;
    }
    for (column, day) in days(place.day) {
        if let Some(at) = day.and_then(midnight) {
            charge.set(column, Value::Instant(at))?;
        }
    }
    charge.add_custom(CUSTOM, if line.estimated { "true" } else { "false" });
    Ok(charge)
}

fn amounts(line: &Line) -> [(Column, Decimal); 5] {
    [
        (Column::BilledCost, line.billed),
        (Column::ListCost, line.billed),
        (Column::ContractedCost, line.billed),
        (Column::EffectiveCost, line.effective),
        (Column::PricingCurrencyEffectiveCost, line.effective),
    ]
}

fn days(day: Date) -> [(Column, Option<Date>); 4] {
    let month = midnight(day).and_then(Month::of);
    [
        (Column::ChargePeriodStart, Some(day)),
        (Column::ChargePeriodEnd, day.tomorrow().ok()),
        (Column::BillingPeriodStart, month.map(Month::first_day)),
        (Column::BillingPeriodEnd, month.map(|month| month.next().first_day())),
    ]
}

fn midnight(day: Date) -> Option<Timestamp> {
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Words in the names of Cost Explorer's services, and FOCUS's category; the first that fits.
const CATEGORIES: &[(&str, &[&str])] = &[
    (
        "AI and Machine Learning",
        &["Bedrock", "SageMaker", "Rekognition", "Textract", "Polly", "Lex", "Comprehend"],
    ),
    (
        "Databases",
        &[
            "Relational Database",
            "DynamoDB",
            "ElastiCache",
            "DocumentDB",
            "Neptune",
            "Redshift",
            "MemoryDB",
            "Timestream",
        ],
    ),
    (
        "Storage",
        &[
            "Simple Storage Service",
            "Elastic File System",
            "FSx",
            "Glacier",
            "Backup",
            "Storage Gateway",
        ],
    ),
    (
        "Networking",
        &[
            "Virtual Private Cloud",
            "Load Balancing",
            "CloudFront",
            "Route 53",
            "Direct Connect",
            "Transit Gateway",
            "Global Accelerator",
            "Data Transfer",
        ],
    ),
    (
        "Analytics",
        &["Athena", "Glue", "Kinesis", "OpenSearch", "MapReduce", "QuickSight", "Streaming"],
    ),
    (
        "Integration",
        &[
            "Simple Queue",
            "Simple Notification",
            "Simple Email",
            "EventBridge",
            "API Gateway",
            "MQ",
        ],
    ),
    (
        "Security",
        &["Key Management", "Secrets Manager", "GuardDuty", "WAF", "Macie", "Inspector", "Shield"],
    ),
    ("Identity", &["Cognito", "Directory Service"]),
    (
        "Management and Governance",
        &["CloudWatch", "CloudTrail", "Config", "Cost Explorer", "Systems Manager"],
    ),
    ("Developer Tools", &["CodeBuild", "CodePipeline", "CodeArtifact", "X-Ray"]),
    (
        "Compute",
        &[
            "Elastic Compute Cloud",
            "EC2",
            "Lambda",
            "Elastic Container",
            "ECS",
            "Kubernetes",
            "Lightsail",
            "WorkSpaces",
        ],
    ),
];

/// The category of a service by its name; `Other` for what is not in the table.
fn category(service: &str) -> &'static str {
    let found = CATEGORIES.iter().find(|(_, words)| words.iter().any(|w| service.contains(w)));
    found.map_or("Other", |(category, _)| *category)
}

#[cfg(test)]
mod tests;
