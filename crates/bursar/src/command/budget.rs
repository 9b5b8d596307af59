//! `bursar budget`.

use ::budget::{
    Budget, BudgetFilter, Enforcement, Line, Origin, Overflow, Tenant, Thresholds, Tier,
};
use clap::Subcommand;
use focus::{ModelName, NameError, PeriodRule, PeriodUnit, ReportType, Scope, TenantId, UserId};
use jiff::{Timestamp, civil::Date};
use money::Money;

use super::all_pages;
use crate::{
    context::{Context, Store, block_on, price_book},
    exit::Exit,
    output::{Cell, Report, Tone},
};

/// Set budgets, and see how they stand
///
/// Example: bursar budget set acme 2000
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set a budget, or change the one that is there
    ///
    /// Example: bursar budget set acme 50.25 --model claude-3-opus-20240229 --period day
    Set(SetArgs),
    /// List all budgets
    ///
    /// Example: bursar budget list --tenant acme --output json
    List {
        /// One tenant's
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Show how a tenant's budgets stand in their running periods
    ///
    /// Example: bursar budget status acme
    Status {
        /// The tenant
        tenant: TenantId,
    },
    /// Show the tenants that have spent most in this month
    ///
    /// Example: bursar budget top --limit 3
    Top {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
    },
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The tenant
    tenant: TenantId,
    /// The limit of one period in US dollars, as 2000 or 50.25
    #[arg(required_unless_present = "tier", allow_negative_numbers = true)]
    limit: Option<Money>,
    /// The limit of a commercial tier, kept with the tenant: starter, professional, enterprise,
    /// or custom with an agreed limit
    #[arg(long)]
    tier: Option<Tier>,
    /// The model, or * for all
    #[arg(long, default_value = "*", value_parser = model)]
    model: String,
    /// One user of the tenant
    #[arg(long)]
    user: Option<UserId>,
    /// One report type of the tenant
    #[arg(long)]
    report_type: Option<ReportType>,
    /// How long a period is: day, week, month, quarter, year or custom
    #[arg(long, default_value = "month")]
    period: PeriodUnit,
    /// Where periods start, as 2026-11-15; the calendar's beginning otherwise
    #[arg(long, value_name = "DATE")]
    anchor: Option<Date>,
    /// Days of a custom period
    #[arg(long, value_name = "N")]
    days: Option<u16>,
    /// Time zone of the periods
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Percentages at which somebody is told; the first is the soft limit
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [80, 100])]
    thresholds: Vec<u16>,
    /// Count but never refuse
    #[arg(long)]
    shadow: bool,
    /// What the gateway does with a call that does not fit: refuse it, limit its answer to what is
    /// affordable (clamp), or call another model ("fallback MODEL...")
    #[arg(long, value_name = "WAY", default_value = "refuse")]
    overflow: Overflow,
}

fn model(text: &str) -> Result<String, NameError> {
    if text != "*" {
        ModelName::parse(text)?;
    }
    Ok(text.to_owned())
}

const COLUMNS: &[&str] = &[
    "tenant_id",
    "model",
    "user_id",
    "report_type",
    "limit_usd",
    "period",
    "zone",
    "thresholds",
    "enforcement",
    "overflow",
    "origin",
];
const STATUS_COLUMNS: &[&str] = &[
    "model",
    "user_id",
    "report_type",
    "status",
    "limit_usd",
    "settled_usd",
    "held_usd",
    "unresolved_usd",
    "percentage_used",
    "hard_limit_reached",
    "tokens_input",
    "tokens_output",
    "resets_at",
];
const TOP_COLUMNS: &[&str] =
    &["tenant_id", "name", "tier", "usage_usd", "tokens_input", "tokens_output"];

impl Args {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let report = block_on(context.with_store(async |store| match self.command {
            Command::Set(args) => set(store, args).await,
            Command::List { tenant } => list(store, tenant).await,
            Command::Status { tenant } => status(store, &tenant, Timestamp::now()).await,
            Command::Top { limit } => top(store, usize::from(limit)).await,
        }))?;
        context.printer().print(&report)?;
        Ok(Exit::Done)
    }
}

impl SetArgs {
    /// The budget that is meant.
    fn budget(&self, model: Option<ModelName>, now: Timestamp) -> anyhow::Result<Budget> {
        let limit = match (self.tier, self.limit) {
            (Some(tier), Some(_)) if tier != Tier::Custom => {
                let tier = tier.as_str();
                anyhow::bail!("the tier {tier} has a limit of its own; only custom takes another")
            }
            (Some(tier), agreed) => tier.limit(agreed)?,
            (None, Some(limit)) => limit,
            (None, None) => anyhow::bail!("a limit or a tier is needed"),
        };
        let scope = Scope {
            tenant: self.tenant.clone(),
            model,
            user: self.user.clone(),
            report_type: self.report_type.clone(),
        };
        let rule = PeriodRule::new(self.period, self.anchor, self.days, &self.zone)?;
        let enforcement = if self.shadow { Enforcement::Shadow } else { Enforcement::Hard };
        let thresholds = Thresholds::new(self.thresholds.clone())?;
        let budget = Budget::with_rule(scope, limit, rule, now)?;
        Ok(Budget { thresholds, enforcement, overflow: self.overflow.clone(), ..budget })
    }
}

async fn set(store: &Store, args: SetArgs) -> anyhow::Result<Report> {
    let now = Timestamp::now();
    let model = match args.model.as_str() {
        "*" => None,
        name => Some(ModelName::parse(price_book(store).await?.canonical(name))?),
    };
    let budget = args.budget(model, now)?;
    if let Some(tier) = args.tier {
        let known = store.tenant(&args.tenant).await?;
        let unknown = Tenant {
            id: args.tenant.clone(),
            name: None,
            tier: None,
            admin_email: None,
            created_at: now,
        };
        let tenant = Tenant { tier: Some(tier), ..known.unwrap_or(unknown) };
        store.put_tenant(tenant).await?;
    }
    let budget = store.put(budget).await?;
    let mut report = Report::new("budgets", COLUMNS);
    report.rows.push(row(&budget));
    Ok(report)
}

async fn list(store: &Store, tenant: Option<TenantId>) -> anyhow::Result<Report> {
    let budgets = all_pages(
        |budget: &Budget| budget.id,
        async |page| store.list(BudgetFilter { tenant: tenant.clone(), page }).await,
    );
    let mut budgets = budgets.await?;
    budgets.sort_by(|a, b| a.scope.cmp(&b.scope));
    let mut report = Report::new("budgets", COLUMNS);
    report.rows = budgets.iter().map(row).collect();
    Ok(report)
}

fn row(budget: &Budget) -> Vec<Cell> {
    let Budget { scope, limit, rule, thresholds, enforcement, overflow, origin, .. } = budget;
    let percents: Vec<String> = thresholds.percents().iter().map(u16::to_string).collect();
    let period = match (rule.days(), rule.anchor()) {
        (Some(days), Some(anchor)) => format!("{days} days from {anchor}"),
        (None, Some(anchor)) => format!("{} from {anchor}", rule.unit()),
        _ => rule.unit().to_string(),
    };
    vec![
        Cell::text(&scope.tenant),
        Cell::text(scope.model_or_star()),
        Cell::maybe(scope.user.as_ref()),
        Cell::maybe(scope.report_type.as_ref()),
        Cell::Money(*limit),
        Cell::text(period),
        Cell::text(rule.zone()),
        Cell::text(percents.join(" ")),
        Cell::text(match enforcement {
            Enforcement::Hard => "hard",
            Enforcement::Shadow => "shadow",
        }),
        Cell::text(overflow),
        Cell::text(match origin {
            Origin::Set => "set",
            Origin::Default => "default",
        }),
    ]
}

/// A tenant's budgets and how they stand.
pub(crate) async fn status(
    store: &Store,
    tenant: &TenantId,
    now: Timestamp,
) -> anyhow::Result<Report> {
    let lines = store.status(tenant, now).await?;
    let mut report = Report::new("budgets", STATUS_COLUMNS);
    report.rows = lines.iter().map(standing).collect();
    Ok(report)
}

fn standing(line: &Line) -> Vec<Cell> {
    let Line { budget, account } = line;
    let percent = account.settled.percent_of(budget.limit);
    let soft = i128::from(budget.thresholds.soft()) * 100;
    let reached = account.settled >= budget.limit;
    let (word, tone) = match percent {
        _ if reached => ("exceeded", Tone::Bad),
        Some(percent) if percent >= soft => ("warning", Tone::Warning),
        _ => ("ok", Tone::Good),
    };
    vec![
        Cell::text(budget.scope.model_or_star()),
        Cell::maybe(budget.scope.user.as_ref()),
        Cell::maybe(budget.scope.report_type.as_ref()),
        Cell::Word(word.to_owned(), tone),
        Cell::Money(budget.limit),
        Cell::Money(account.settled),
        Cell::Money(account.held),
        Cell::Money(account.unresolved),
        percent.map_or(Cell::None, Cell::Percent),
        Cell::Flag(reached || account.exhausted),
        Cell::Count(account.tokens_input),
        Cell::Count(account.tokens_output),
        Cell::Time(account.end),
    ]
}

async fn top(store: &Store, limit: usize) -> anyhow::Result<Report> {
    let mut report = Report::new("consumers", TOP_COLUMNS);
    for consumer in store.top(Timestamp::now(), limit).await? {
        let tenant = store.tenant(&consumer.tenant).await?;
        report.rows.push(vec![
            Cell::text(&consumer.tenant),
            Cell::maybe(tenant.as_ref().and_then(|tenant| tenant.name.as_ref())),
            Cell::maybe(tenant.as_ref().and_then(|tenant| tenant.tier).map(Tier::as_str)),
            Cell::Money(consumer.usage),
            Cell::Count(consumer.tokens_input),
            Cell::Count(consumer.tokens_output),
        ]);
    }
    Ok(report)
}
