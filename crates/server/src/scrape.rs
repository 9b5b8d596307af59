//! `/metrics`: what was counted, and how the budgets stand, in Prometheus' text.

use std::fmt::{Display, Write as _};

use axum::{extract::State, http::header, response::IntoResponse};
use budget::Line;
use focus::{ModelName, TenantId};
use jiff::Timestamp;

use crate::{
    auth::Caller,
    fault::Fault,
    metrics::names,
    overview::{Reading, age},
    service::Shared,
    usage::{Charged, OTHER, Tenants},
};

mod clouds;

/// What was counted, and how the budgets stand.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(
    State(state): State<Shared>,
    caller: Caller,
) -> Result<impl IntoResponse, Fault> {
    caller.admin()?;
    let reading = state.overview.latest(&state).await;
    let mut text = state.metrics.render();
    budgets(&mut text, reading.as_deref(), state.now());
    state.usage.read(|tenants| usage(&mut text, tenants));
    clouds::clouds(&mut text, state.clouds.latest().as_deref(), state.now());
    clouds::budgets(&mut text, &state.spent.standings());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

fn budgets(text: &mut String, reading: Option<&Reading>, now: Timestamp) {
    head(text, names::BUDGETS_AGE, "gauge");
    match reading {
        Some(reading) => {
            sample(text, names::BUDGETS_AGE, &[], age(reading.at, now).as_secs());
        }
        None => sample(text, names::BUDGETS_AGE, &[], "+Inf"),
    }
    let Some(reading) = reading.filter(|reading| reading.is_fresh(now)) else { return };
    let lines = &reading.lines;
    family(text, names::CURRENT_USAGE, lines, |line| line.account.settled.to_string());
    for (tenant, settled) in &reading.other_models {
        let labels = [("tenant_id", tenant.as_str()), ("model", OTHER)];
        sample(text, names::CURRENT_USAGE, &labels, settled);
    }
    let labels = [("tenant_id", OTHER), ("model", "*")];
    sample(text, names::CURRENT_USAGE, &labels, reading.other_tenants);
    family(text, names::MONTHLY_LIMIT, lines, |line| line.budget.limit.to_string());
    family(text, names::HARD_LIMIT_REACHED, lines, |line| {
        u8::from(line.account.exhausted || line.account.settled >= line.budget.limit).to_string()
    });
    month(text, reading);
}

/// What the running calendar month has cost, whatever the periods of the budgets are.
fn month(text: &mut String, reading: &Reading) {
    head(text, names::AI_MONTHLY, "gauge");
    let named = reading.spent.iter().map(|(tenant, spent)| (tenant.as_str(), *spent));
    for (tenant, spent) in named.chain([(OTHER, reading.other_tenants)]) {
        sample(text, names::AI_MONTHLY, &[("tenant_id", tenant)], spent);
    }
    head(text, names::AI_TENANTS, "gauge");
    sample(text, names::AI_TENANTS, &[], reading.spenders);
}

fn family(text: &mut String, name: &str, lines: &[Line], value: fn(&Line) -> String) {
    head(text, name, "gauge");
    for line in lines {
        let scope = &line.budget.scope;
        let labels = [("tenant_id", scope.tenant.as_str()), ("model", scope.model_or_star())];
        sample(text, name, &labels, value(line));
    }
}

fn usage(text: &mut String, tenants: &Tenants) {
    let models = || {
        tenants.iter().flat_map(|(tenant, usage)| {
            let tenant = tenant.text(TenantId::as_str);
            let models = usage.models.iter();
            models.map(move |(name, model)| (tenant, name.text(ModelName::as_str), model))
        })
    };
    head(text, names::TOKEN_USAGE, "counter");
    for (tenant, name, model) in models() {
        let tokens = &model.tokens;
        for (class, count) in [
            ("input", tokens.input),
            ("output", tokens.output),
            ("cache_read", tokens.cache_read),
            ("cache_write_5m", tokens.cache_write_5m),
            ("cache_write_1h", tokens.cache_write_1h),
        ] {
            let labels = [("tenant_id", tenant), ("model", name), ("type", class)];
            sample(text, names::TOKEN_USAGE, &labels, count);
        }
    }
    let mut charged = |metric: &str, value: fn(&Charged) -> String| {
        head(text, metric, "counter");
        for (tenant, name, model) in models() {
            for (report_type, charged) in &model.charged {
                let kind = report_type.text(|kind| kind.as_ref().map_or("", |kind| kind.as_str()));
                let labels = [("tenant_id", tenant), ("model", name), ("report_type", kind)];
                sample(text, metric, &labels, value(charged));
            }
        }
    };
    charged(names::TOKEN_COST, |charged| charged.cost.to_string());
    charged(names::TOKEN_CALLS, |charged| charged.calls.to_string());
}

fn head(text: &mut String, name: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", names::help(name));
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    text.push_str(name);
    for (place, (label, value)) in labels.iter().enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        let _ = write!(text, "{before}{label}=\"{}\"", escape(value));
    }
    if !labels.is_empty() {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

fn escape(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
