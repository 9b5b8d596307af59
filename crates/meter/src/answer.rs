//! What callers are answered when their request goes no further. Amounts are exact decimal digits.

use api::{Percent, Usd};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use crate::{payer::Wrong, remote::OTHER_TENANT, verdict::Refusal};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const WARNING: HeaderName = HeaderName::from_static("x-ai-budget-warning");
const USAGE: HeaderName = HeaderName::from_static("x-ai-budget-usage");

/// What a refused caller is told to do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fallback {
    pub(crate) suggestion: String,
    pub(crate) contact: String,
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            suggestion: "Send a smaller request, use a cheaper model, or wait until the budget \
                         starts afresh."
                .to_owned(),
            contact: "Ask your administrator to raise the AI budget.".to_owned(),
        }
    }
}

#[derive(Serialize)]
struct Refused<'a> {
    error: &'static str,
    message: &'a str,
    current_usage_usd: Usd,
    monthly_limit_usd: Usd,
    percentage_used: Percent,
    fallback: &'a Fallback,
}

#[derive(Serialize)]
struct Fault<'a> {
    error: &'static str,
    message: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

/// The budget does not cover the request.
pub(crate) fn refused(refusal: &Refusal, fallback: &Fallback) -> Response<Full<Bytes>> {
    let body = Refused {
        error: "AI Budget Exceeded",
        message: &refusal.message,
        current_usage_usd: refusal.current_usage,
        monthly_limit_usd: refusal.limit,
        percentage_used: refusal.percentage,
        fallback,
    };
    let mut response = json(StatusCode::TOO_MANY_REQUESTS, &body);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(refusal.retry_after));
    // The vendors' SDKs would otherwise try again at once.
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    response
}

/// The request lacks something, or something in it is wrong, or the token does not speak for its
/// tenant.
pub(crate) fn wrong(wrong: &Wrong) -> Response<Full<Bytes>> {
    let Wrong { code, message, field } = wrong;
    let field = field.as_deref();
    let (status, error) = match code.as_str() {
        OTHER_TENANT => (StatusCode::FORBIDDEN, "Forbidden"),
        _ => (StatusCode::BAD_REQUEST, "Bad Request"),
    };
    json(status, &Fault { error, message, code, field })
}

/// Nobody knows whether the budget covers the request, and without knowing it is not made.
pub(crate) fn unavailable(retry_after: u64) -> Response<Full<Bytes>> {
    let body = Fault {
        error: "AI Budget Unavailable",
        message: "the AI budget can't be checked at the moment; try again soon",
        code: "budget_unavailable",
        field: None,
    };
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &body);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after.max(1)));
    response
}

/// Tells the caller how full the budget is, from a percentage on.
pub(crate) fn warn(headers: &mut HeaderMap, used: Percent, from: u16) {
    if used.hundredths < i128::from(from) * 100 {
        return;
    }
    headers.insert(WARNING, HeaderValue::from_static("true"));
    if let Ok(value) = HeaderValue::try_from(used.to_string()) {
        headers.insert(USAGE, value);
    }
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response<Full<Bytes>> {
    // Texts and exact numbers: there is nothing that JSON could not say.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Full::from(bytes));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
