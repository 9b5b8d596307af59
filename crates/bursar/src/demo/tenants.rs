//! Who the demo's tenants are.

use budget::Tier;

/// What a tenant's running month looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// So many percent of the budget are spent.
    Spent(u16),
    /// More was asked than the budget holds: the rest was refused.
    Over,
    /// So many percent, most of them by one user in a few hours of one day.
    Runaway(u16),
}

/// One tenant of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Company {
    /// Its id.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its tier.
    pub tier: Tier,
    /// Its monthly budget in dollars.
    pub limit: i64,
    /// How its running month looks.
    pub story: Story,
    /// How many requests it makes in a month.
    pub requests: usize,
    /// Which of [`MODELS`] it uses, each as often as its weight.
    pub models: [u8; 6],
}

/// The models in use.
pub const MODELS: [&str; 6] = [
    "claude-3-5-sonnet-20241022",
    "claude-3-opus-20240229",
    "claude-3-haiku-20240307",
    "gpt-4o-2024-08-06",
    "gpt-4o-mini-2024-07-18",
    "gpt-4.1-2025-04-14",
];

/// What calls are made for: name, how often, and how long the prompt is beside the others'.
pub const REPORTS: [(&str, f64, f64); 5] = [
    ("monthly-impact", 3.0, 1.6),
    ("q2q-insights", 4.0, 0.5),
    ("annual-csr", 1.0, 3.0),
    ("volunteer-summary", 3.0, 0.7),
    ("donor-letter", 2.0, 0.4),
];

/// Who makes calls within a tenant.
pub const USERS: [&str; 6] = ["anna", "ben", "chiara", "dmitri", "elif", "scheduler"];

const fn company(
    (id, name): (&'static str, &'static str),
    (tier, limit): (Tier, i64),
    story: Story,
    requests: usize,
    models: [u8; 6],
) -> Company {
    Company { id, name, tier, limit, story, requests, models }
}

const STARTER: (Tier, i64) = (Tier::Starter, 500);
const PROFESSIONAL: (Tier, i64) = (Tier::Professional, 2_000);
const ENTERPRISE: (Tier, i64) = (Tier::Enterprise, 10_000);

/// The tenants.
pub const COMPANIES: [Company; 12] = [
    company(
        ("polaris-bank", "Polaris Bank"),
        (Tier::Custom, 50_000),
        Story::Spent(31),
        1500,
        [3, 9, 0, 1, 0, 0],
    ),
    company(
        ("northwind-energy", "Northwind Energy"),
        ENTERPRISE,
        Story::Spent(85),
        900,
        [4, 7, 0, 1, 0, 0],
    ),
    company(
        ("atlas-logistics", "Atlas Logistics"),
        ENTERPRISE,
        Story::Spent(57),
        800,
        [3, 5, 0, 2, 0, 0],
    ),
    company(
        ("meridian-health", "Meridian Health"),
        ENTERPRISE,
        Story::Spent(34),
        600,
        [6, 3, 1, 0, 0, 0],
    ),
    company(
        ("lumen-telecom", "Lumen Telecom"),
        PROFESSIONAL,
        Story::Runaway(72),
        300,
        [4, 1, 2, 2, 1, 0],
    ),
    company(("harvest-foods", "Harvest Foods"), PROFESSIONAL, Story::Over, 330, [5, 2, 1, 1, 0, 0]),
    company(
        ("cobalt-insurance", "Cobalt Insurance"),
        PROFESSIONAL,
        Story::Spent(61),
        260,
        [3, 1, 2, 3, 1, 1],
    ),
    company(
        ("verde-retail", "Verde Retail"),
        PROFESSIONAL,
        Story::Spent(43),
        240,
        [2, 0, 3, 2, 3, 1],
    ),
    company(
        ("tidewater-shipping", "Tidewater Shipping"),
        PROFESSIONAL,
        Story::Spent(28),
        220,
        [4, 0, 2, 2, 1, 1],
    ),
    company(("juniper-media", "Juniper Media"), STARTER, Story::Spent(66), 200, [3, 0, 4, 1, 3, 0]),
    company(("kestrel-labs", "Kestrel Labs"), STARTER, Story::Spent(39), 180, [2, 1, 2, 2, 2, 1]),
    company(("olive-tree", "Olive Tree Trust"), STARTER, Story::Spent(17), 140, [1, 0, 5, 1, 3, 0]),
];
