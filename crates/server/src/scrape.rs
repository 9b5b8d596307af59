//! `/metrics`: what was counted, and how the budgets stand, in Prometheus' text.

use std::{collections::BTreeSet, fmt::Write as _};

use axum::{extract::State, http::header, response::IntoResponse};
use budget::{BudgetFilter, Line, Page, StoreError};
use focus::TenantId;
use money::Money;

use crate::{auth::Caller, fault::Fault, metrics::names, routes::in_force, service::Shared};

/// Tenants with series of their own; the others are summed up as `other`.
const TENANTS_MOST: usize = 200;
/// Tenants whose spending is known to `other`.
const SPENDERS_MOST: usize = 100_000;

/// What was counted, and how the budgets stand.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(
    State(state): State<Shared>,
    caller: Caller,
) -> Result<impl IntoResponse, Fault> {
    caller.admin()?;
    let mut text = state.metrics.render();
    budgets(&state, &mut text).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

async fn budgets(state: &Shared, text: &mut String) -> Result<(), StoreError> {
    let now = state.now();
    let spenders = state.store.top(now, SPENDERS_MOST).await?;
    let (shown, rest) = spenders.split_at(spenders.len().min(TENANTS_MOST));
    let mut tenants: BTreeSet<TenantId> = shown.iter().map(|one| one.tenant.clone()).collect();
    if tenants.len() < TENANTS_MOST {
        let page = Page { after: None, limit: 1_000 };
        let budgets = state.store.list(BudgetFilter { tenant: None, page }).await?;
        for budget in budgets {
            if tenants.len() < TENANTS_MOST {
                tenants.insert(budget.scope.tenant.clone());
            }
        }
    }
    let mut lines = Vec::new();
    for tenant in &tenants {
        let status = in_force(state.store.status(tenant, now).await?);
        lines.extend(status.into_iter().filter(|line| line.budget.scope.is_tenant_wide()));
    }
    // One series a tenant and model: that of the longest unit, a month before a day.
    lines.sort_by(|a, b| {
        let unit = |line: &Line| std::cmp::Reverse(line.budget.rule.unit());
        (&a.budget.scope, unit(a)).cmp(&(&b.budget.scope, unit(b)))
    });
    lines.dedup_by(|a, b| a.budget.scope == b.budget.scope);

    let other = rest.iter().try_fold(Money::ZERO, |sum, one| sum.checked_add(one.usage));
    let other = other.unwrap_or(Money::MAX);
    family(
        text,
        names::CURRENT_USAGE,
        "Charged in the running period, US dollars",
        &lines,
        |line| line.account.settled.to_string(),
    );
    let _ = writeln!(text, "{}{{tenant_id=\"other\",model=\"*\"}} {other}", names::CURRENT_USAGE);
    family(text, names::MONTHLY_LIMIT, "The period's limit, US dollars", &lines, |line| {
        line.budget.limit.to_string()
    });
    family(text, names::HARD_LIMIT_REACHED, "1 where requests are refused", &lines, |line| {
        u8::from(line.account.exhausted || line.account.settled >= line.budget.limit).to_string()
    });
    Ok(())
}

fn family(text: &mut String, name: &str, help: &str, lines: &[Line], value: fn(&Line) -> String) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for line in lines {
        let (tenant, model) =
            (line.budget.scope.tenant.as_str(), line.budget.scope.model_or_star());
        let (tenant, model) = (escape(tenant), escape(model));
        let value = value(line);
        let _ = writeln!(text, "{name}{{tenant_id=\"{tenant}\",model=\"{model}\"}} {value}");
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
