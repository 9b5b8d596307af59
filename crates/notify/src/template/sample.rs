//! Made-up facts: for previews, and to try templates with.

use budget::Topic;
use focus::Decimal;
use jiff::Timestamp;

use crate::{Amount, Facts, Section};

impl Facts {
    /// Something that might be said about a topic.
    pub fn sample(topic: Topic) -> Self {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let amount = |digits, scale, currency: &str| {
            let (amount, currency) = (Decimal::new(digits, scale), currency.to_owned());
            Some(Amount { amount, currency })
        };
        let ai = Self {
            name: format!("sample/{topic}"),
            incident: "sample".to_owned(),
            tenant_id: Some("acme".to_owned()),
            tenant_name: Some("Acme Corporation".to_owned()),
            budget: Some("all models".to_owned()),
            spent: amount(1_612_480_500_000, 9, "USD"),
            limit: amount(2_000, 0, "USD"),
            period_start: at("2026-11-01T00:00:00Z"),
            resets_at: at("2026-12-01T00:00:00Z"),
            ..Self::default()
        };
        let cloud = Self {
            tenant_id: None,
            tenant_name: None,
            budget: Some("lambda".to_owned()),
            only: Some("ServiceName = AWS Lambda".to_owned()),
            spent: amount(41_237, 2, "USD"),
            limit: amount(500, 0, "USD"),
            ..ai.clone()
        };
        let alone = Self { name: ai.name.clone(), incident: ai.name.clone(), ..Self::default() };
        match topic {
            Topic::BudgetThreshold => Self { percent: Some(80), ..ai },
            Topic::BudgetExhausted => Self { spent: ai.limit.clone(), ..ai },
            Topic::BudgetReset => {
                Self { spent: None, period_start: ai.resets_at, resets_at: None, ..ai }
            }
            Topic::Overrun | Topic::Unresolved => {
                let id = "2f1c1b1e-5a52-4d3c-9a55-0c6a4e0f7d11".to_owned();
                let cost = amount(73_125, 6, "USD").filter(|_| topic == Topic::Overrun);
                let (model, held) = (Some("claude-sonnet-4-5".to_owned()), amount(525, 4, "USD"));
                Self { request_id: Some(id), model, held, cost, ..ai }
            }
            Topic::CloudThreshold => Self { percent: Some(80), ..cloud },
            Topic::CloudExhausted => Self { spent: amount(51_302, 2, "USD"), ..cloud },
            Topic::CloudForecast => Self { forecast: amount(56_890, 2, "USD"), ..cloud },
            Topic::Anomaly => Self {
                tenant_id: ai.tenant_id,
                tenant_name: ai.tenant_name,
                day: Some(jiff::civil::date(2026, 11, 25)),
                spent: amount(41_237, 2, "USD"),
                expected: amount(5_820, 2, "USD"),
                ..alone
            },
            Topic::IngestStale => Self {
                source: Some("aws-main".to_owned()),
                since: at("2026-11-24T06:00:00Z"),
                ..alone
            },
            Topic::Digest | Topic::Review => Self {
                spent: amount(6_212_480_500_000, 9, "USD"),
                period_start: at("2026-11-16T08:00:00Z"),
                sections: vec![Section {
                    title: "AI spend by tenant".to_owned(),
                    rows: vec![
                        ("acme".to_owned(), "$1,612.48".to_owned()),
                        ("globex".to_owned(), "$903.10".to_owned()),
                    ],
                }],
                ..alone
            },
            Topic::Alert => Self {
                source: Some("OverprovisionedPod".to_owned()),
                summary: Some("reporting-7c9 uses 12 % of its CPU".to_owned()),
                ..alone
            },
            Topic::Test => alone,
        }
    }
}
