//! The one place where errors become answers. What a caller may read is in the body; causes go to
//! the log.

use std::fmt::Display;

use api::{BudgetScope, Percent, Problem, Usd};
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use budget::{EscrowError, Key, Refusal, StoreError};
use focus::cost::CostsError;
use jiff::Timestamp;
use money::{Money, PriceError};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Fault(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    problem: Problem,
    retry_after: Option<i64>,
    is_final: bool,
}

impl Fault {
    fn new(status: StatusCode, error: &str, code: &str, message: impl Display) -> Self {
        let (error, code, message) = (error.to_owned(), code.to_owned(), message.to_string());
        let problem = Problem { error, message, code, ..Problem::default() };
        Self(Box::new(Parts { status, problem, retry_after: None, is_final: false }))
    }

    fn retry_after(mut self, seconds: i64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// What was said is no JSON, no UTF-8, or not whole.
    pub(crate) fn unreadable(code: &str, message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Unreadable request", code, message)
    }

    /// A field is wrong.
    pub(crate) fn invalid(field: &str, message: impl Display) -> Self {
        let message = format!("{field} {message}");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "Invalid request", "invalid_field", message).about(field)
    }

    /// With the field that it is about.
    pub(crate) fn about(mut self, field: &str) -> Self {
        self.0.problem.field = Some(field.to_owned());
        self
    }

    /// A request is wrong as a whole.
    pub(crate) fn unprocessable(code: &str, message: impl Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid request", code, message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Body too large", "body_too_large", message)
    }

    pub(crate) fn content_type() -> Self {
        let message = "send the body as content-type: application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "Unsupported media type", "content_type", message)
    }

    pub(crate) fn body_timeout() -> Self {
        let message = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "Timed out", "body_timeout", message)
    }

    pub(crate) fn timeout() -> Self {
        let message = "the answer took too long; repeat the request with the same request_id";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "Timed out", "timeout", message).retry_after(1)
    }

    pub(crate) fn draining() -> Self {
        let message = "the service is stopping";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "Not ready", "stopping", message).retry_after(1)
    }

    pub(crate) fn unauthorized(message: impl Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "unauthorized", message)
    }

    pub(crate) fn forbidden(code: &str, message: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", code, message)
    }

    pub(crate) fn not_found(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", "not_found", message)
    }

    /// Nothing is known under the key, as far as the caller may know.
    pub(crate) fn no_reservation(key: Key) -> Self {
        Self::not_found(EscrowError::NotFound(key)).of(key)
    }

    /// With the request id that it is about.
    fn of(mut self, key: Key) -> Self {
        self.0.problem.request_id = Some(key);
        self
    }

    pub(crate) fn method() -> Self {
        let message = "this path has no such method; the Allow header lists those it has";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "method", message)
    }

    pub(crate) fn conflict(code: &str, message: impl Display) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", code, message)
    }

    pub(crate) fn rate_limited(seconds: u64) -> Self {
        let message = "too many requests with this key; slow down";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", "rate_limited", message)
            .retry_after(i64::try_from(seconds).unwrap_or(1))
    }

    pub(crate) fn internal() -> Self {
        let message = "something went wrong here; the log says what";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "Internal error", "internal", message)
    }

    /// What an escrow's error answers at `now`.
    pub(crate) fn escrow(error: EscrowError, now: Timestamp) -> Self {
        match error {
            EscrowError::Refused(refusal) => Self::refused(&refusal, now),
            EscrowError::NoBudget(_) => Self::no_budget(&error),
            EscrowError::Unpriced(model) => Self::unpriced(&model),
            EscrowError::Conflict(key) => Self::conflict("request_id_reused", error).of(key),
            EscrowError::NotFound(key) => Self::no_reservation(key),
            EscrowError::State { key, state } => {
                let mut fault = Self::conflict("reservation_state", error).of(key);
                fault.0.problem.state = Some(state.to_string());
                fault
            }
            EscrowError::Range => Self::unprocessable("out_of_range", error),
            EscrowError::Store(error) => error.into(),
        }
    }

    fn refused(refusal: &Refusal, now: Timestamp) -> Self {
        let Refusal { scope, standing, resets_at, overflow, by_holds } = refusal;
        let used = Percent::of(standing.counted, standing.limit);
        let soon = if *by_holds { "; calls in flight may free some before then" } else { "" };
        let message = format!(
            "this request would bring {scope} to {used} % of its {} USD; \
             the budget starts afresh at {resets_at}{soon}",
            standing.limit
        );
        let wait = if *by_holds { 1 } else { resets_at.duration_since(now).as_secs() + 1 };
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut fault = Self::new(status, "Budget exceeded", "budget_exceeded", message);
        fault.stands(standing.settled, standing.limit, used);
        let problem = &mut fault.0.problem;
        problem.resets_at = Some(resets_at.to_string());
        problem.counted_usd = Some(Usd(standing.counted));
        problem.by_holds = Some(*by_holds);
        problem.overflow = Some(overflow.to_string());
        problem.budget = Some(BudgetScope::from(scope));
        fault.retry_after(wait)
    }

    fn no_budget(error: &EscrowError) -> Self {
        let message = format!("{error}; set one with POST /api/ai-budget/set");
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut fault = Self::new(status, "Budget exceeded", "no_budget", message);
        fault.stands(Money::ZERO, Money::ZERO, Percent { hundredths: 10_000 });
        fault.retry_after(60)
    }

    fn stands(&mut self, settled: Money, limit: Money, used: Percent) {
        let Parts { problem, is_final, .. } = &mut *self.0;
        problem.current_usage_usd = Some(Usd(settled));
        problem.monthly_limit_usd = Some(Usd(limit));
        problem.percentage_used = Some(used);
        // The vendors' SDKs would otherwise try again at once.
        *is_final = true;
    }

    fn unpriced(model: impl Display) -> Self {
        let message = format!(
            "model {model} has no price, so its calls can't be charged; \
             import one with `bursar prices import FILE` or POST /api/v1/prices"
        );
        Self::priceless(message)
    }

    fn priceless(message: impl Display) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "Model unpriced", "model_unpriced", message).about("model")
    }
}

impl From<PriceError> for Fault {
    fn from(error: PriceError) -> Self {
        match error {
            PriceError::Unpriced { model } => Self::unpriced(model),
            PriceError::Overflow { .. } => Self::unprocessable("out_of_range", error),
            PriceError::NotYet { .. } | PriceError::TierUnpriced { .. } => {
                Self::priceless(format!("{error}; import one with `bursar prices import FILE`"))
            }
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        match &error {
            StoreError::Overloaded => {
                Self::new(status, "Overloaded", "overloaded", &error).retry_after(1)
            }
            StoreError::Unavailable(cause) => {
                tracing::error!(cause = &**cause as &dyn std::error::Error, "{error}");
                Self::new(status, "Unavailable", "store_unavailable", &error).retry_after(1)
            }
            StoreError::Closed => {
                Self::new(status, "Unavailable", "store_closed", &error).retry_after(1)
            }
            StoreError::Corrupt(_) => {
                tracing::error!("{error}");
                Self::internal()
            }
        }
    }
}

impl From<CostsError> for Fault {
    fn from(error: CostsError) -> Self {
        match &error {
            CostsError::Question(_) => Self::unprocessable("invalid_question", error),
            CostsError::Limit(_) => Self::unprocessable("answer_too_large", error),
            CostsError::Unavailable(cause) => {
                tracing::error!(cause = &**cause as &dyn std::error::Error, "{error}");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, "Unavailable", "lake_unavailable", &error).retry_after(10)
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Parts { status, problem, retry_after, is_final } = *self.0;
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if is_final {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"bursar\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
