//! `/api/v1/notify/alertmanager`.

use api::{AlertRequest, AlertsNoted, AlertsRequest};
use axum::{Json as Answer, extract::State};
use budget::NewDelivery;
use jiff::Timestamp;

use crate::{auth::Caller, extract::Json, fault::Fault, service::Shared};

/// The path, on which Alertmanager's own token counts.
pub(crate) const PATH: &str = "/api/v1/notify/alertmanager";
/// Under which name alerts are kept.
const CHANNEL: &str = "alertmanager";
/// Alerts of a request, at most.
const ALERTS_MOST: usize = 1_000;
/// Characters of a name and of a summary that are kept.
const NAME_MOST: usize = 200;
const SUMMARY_MOST: usize = 1_000;
const FINGERPRINT_MOST: usize = 64;

/// Notes alerts of severity `info` for the weekly digest, each once. For Alertmanager, which has a
/// token of its own, and administrators.
#[utoipa::path(post, path = "/api/v1/notify/alertmanager", tag = "records",
    operation_id = "noteAlerts", request_body = AlertsRequest,
    responses((status = 200, description = "Taken", body = AlertsNoted)))]
pub(crate) async fn note(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<AlertsRequest>,
) -> Result<Answer<AlertsNoted>, Fault> {
    caller.admin()?;
    if request.alerts.len() > ALERTS_MOST {
        let message = format!("has more than {ALERTS_MOST}: set max_alerts in Alertmanager");
        return Err(Fault::invalid("alerts", message));
    }
    let (all, now) = (request.alerts.len() as u64, state.now());
    let mut new = Vec::new();
    for alert in &request.alerts {
        let fingerprint = &alert.fingerprint;
        let is_plain = fingerprint.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_plain || !(1..=FINGERPRINT_MOST).contains(&fingerprint.len()) {
            let message = format!("must be 1 to {FINGERPRINT_MOST} ASCII letters and digits");
            return Err(Fault::invalid("fingerprint", message));
        }
        new.extend(noted(alert, now));
    }
    let noted = state.store.plan(CHANNEL, None, new, now).await?;
    Ok(Answer(AlertsNoted { noted, ignored: all - noted }))
}

fn noted(alert: &AlertRequest, now: Timestamp) -> Option<NewDelivery> {
    let is_info = alert.labels.get("severity").is_some_and(|severity| severity == "info");
    if alert.status != "firing" || !is_info {
        return None;
    }
    let name = format!("alert/{}/{}", alert.fingerprint, alert.starts_at);
    let source = alert.labels.get("alertname").map_or("alert", String::as_str);
    let annotations = &alert.annotations;
    let summary = annotations.get("summary").or_else(|| annotations.get("description"));
    let summary = summary.map_or("", String::as_str);
    let cut = |text: &str, most| text.chars().take(most).collect::<String>();
    let (source, summary) = (cut(source, NAME_MOST), cut(summary, SUMMARY_MOST));
    Some(NewDelivery::noted(name, &source, &summary, alert.starts_at, now))
}
