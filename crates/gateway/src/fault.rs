//! Errors of our own, in the words of the API that the caller speaks.
//!
//! Shapes: Anthropic's [errors](https://platform.claude.com/docs/en/api/errors) and OpenAI's
//! [error codes](https://platform.openai.com/docs/guides/error-codes).

use std::{fmt::Display, sync::Arc};

use api::Percent;
use budget::{EscrowError, Refusal, Reservation, StoreError};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use jiff::Timestamp;
use money::Money;
use serde_json::{Value, json};

use crate::dialect::Dialect;

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Why a call has not been answered by its vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unreadable,
    Unauthorized,
    Forbidden,
    UnmeteredPath,
    NotFound,
    Unfinished,
    TooLarge,
    BodyTimeout,
    Unmetered,
    Unpriced,
    NoUpstream,
    Budget,
    NoBudget,
    Busy,
    StoreDown,
    UpstreamDown,
    UpstreamTimeout,
    Internal,
}

impl Kind {
    const fn status(self) -> StatusCode {
        match self {
            Self::Unreadable | Self::Unmetered | Self::Unpriced | Self::Unfinished => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::UnmeteredPath | Self::NotFound | Self::NoUpstream => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Budget | Self::NoBudget => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::StoreDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamDown => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What programs tell it by: OpenAI's `code`, and our metrics' label.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Unauthorized => "invalid_api_key",
            Self::Forbidden => "other_tenant",
            Self::UnmeteredPath => "unmetered_path",
            Self::NotFound => "not_found",
            Self::Unfinished => "batch_in_progress",
            Self::TooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Unmetered => "unmetered",
            Self::Unpriced => "model_unpriced",
            Self::NoUpstream => "model_not_found",
            Self::Budget => "budget_exceeded",
            Self::NoBudget => "no_budget",
            Self::Busy => "overloaded",
            Self::StoreDown => "store_unavailable",
            Self::UpstreamDown => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Internal => "internal",
        }
    }

    const fn anthropic(self) -> &'static str {
        match self {
            Self::Unreadable
            | Self::BodyTimeout
            | Self::Unmetered
            | Self::Unpriced
            | Self::Unfinished => "invalid_request_error",
            Self::Unauthorized => "authentication_error",
            Self::Forbidden => "permission_error",
            Self::UnmeteredPath | Self::NotFound | Self::NoUpstream => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::Budget | Self::NoBudget => "rate_limit_error",
            Self::Busy => "overloaded_error",
            Self::UpstreamTimeout => "timeout_error",
            Self::StoreDown | Self::UpstreamDown | Self::Internal => "api_error",
        }
    }

    const fn openai(self) -> &'static str {
        match self {
            Self::Budget | Self::NoBudget => "insufficient_quota",
            Self::Busy | Self::StoreDown | Self::UpstreamDown => "server_error",
            Self::UpstreamTimeout | Self::Internal => "server_error",
            _ => "invalid_request_error",
        }
    }
}

/// An answer that is none of the vendor's.
#[derive(Debug)]
pub(crate) struct Fault(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: Kind,
    message: String,
    field: Option<String>,
    retry_after: Option<i64>,
    refusal: Option<Refusal>,
    /// What the call has cost all the same, and what was held for it.
    spent: Option<(Money, Option<Arc<Reservation>>)>,
    /// It may have been done all the same, and must not be done twice.
    is_unsure: bool,
}

impl Fault {
    pub(crate) fn new(kind: Kind, message: impl Display) -> Self {
        let message = message.to_string();
        let (field, retry_after, refusal, spent) = (None, None, None, None);
        let is_unsure = false;
        Self(Box::new(Parts { kind, message, field, retry_after, refusal, spent, is_unsure }))
    }

    /// With the field that it is about.
    pub(crate) fn about(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: i64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// It may have been done all the same: whoever has asked must not ask again by himself.
    pub(crate) fn unsure(mut self) -> Self {
        self.0.is_unsure = true;
        self
    }

    /// With what the call has cost, where that is known.
    pub(crate) fn costing(mut self, cost: Option<Money>, held: Option<Arc<Reservation>>) -> Self {
        self.0.spent = cost.map(|cost| (cost, held));
        self
    }

    /// What the call has cost, and what was held for it.
    pub(crate) fn spent(&self) -> Option<(Money, Option<&Reservation>)> {
        let (cost, held) = self.0.spent.as_ref()?;
        Some((*cost, held.as_deref()))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The budget that has refused, if one has.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.0.refusal.as_ref()
    }

    /// What an escrow's error answers at `now`.
    pub(crate) fn escrow(error: EscrowError, now: Timestamp) -> Self {
        match error {
            EscrowError::Refused(refusal) => Self::refused(*refusal, now),
            EscrowError::NoBudget(_) => {
                let message = format!("{error}; ask for one to be set with `bursar budget set`");
                Self::new(Kind::NoBudget, message).retry_after(60)
            }
            EscrowError::Unpriced(model) => Self::unpriced(&model),
            EscrowError::Store(error) => Self::store(&error),
            EscrowError::Range => Self::new(Kind::Unmetered, "the call could cost too much"),
            EscrowError::Conflict(_) | EscrowError::NotFound(_) | EscrowError::State { .. } => {
                tracing::error!("a key of the gateway's own was in use: {error}");
                Self::new(Kind::Internal, "something went wrong here; the log says what")
            }
        }
    }

    fn refused(refusal: Refusal, now: Timestamp) -> Self {
        let Refusal { scope, standing, resets_at, by_holds, .. } = &refusal;
        let used = Percent::of(standing.counted, standing.limit);
        let soon = if *by_holds { "; calls in flight may free some before then" } else { "" };
        let message = format!(
            "budget exceeded: this request could bring {scope} to {used} % of its {} USD; the \
             budget starts afresh at {resets_at}{soon}",
            standing.limit
        );
        let wait = resets_at.duration_since(now).as_secs() + 1;
        let mut fault = Self::new(Kind::Budget, message).retry_after(wait);
        fault.0.refusal = Some(refusal);
        fault
    }

    pub(crate) fn unpriced(model: impl Display) -> Self {
        let message = format!(
            "model {model} has no price here, so its calls can't be charged; an operator can \
             import one with `bursar prices import FILE`"
        );
        Self::new(Kind::Unpriced, message).about("model")
    }

    pub(crate) fn store(error: &StoreError) -> Self {
        if let StoreError::Unavailable(cause) = error {
            tracing::error!(cause = &**cause as &dyn std::error::Error, "{error}");
        }
        let message = format!("{error}: a call can't be made that can't be accounted for");
        Self::new(Kind::StoreDown, message).retry_after(1)
    }

    /// The answer in the caller's dialect.
    pub(crate) fn answer(&self, dialect: Dialect, request_id: &str) -> Response<Full<Bytes>> {
        let Parts { kind, message, field, retry_after, is_unsure, .. } = &*self.0;
        let body: Value = match dialect {
            Dialect::Anthropic => json!({
                "type": "error",
                "error": { "type": kind.anthropic(), "message": message },
                "request_id": request_id,
            }),
            Dialect::OpenAi => json!({ "error": {
                "message": message,
                "type": kind.openai(),
                "param": field,
                "code": kind.code(),
            }}),
        };
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        if *is_unsure || matches!(kind, Kind::Budget | Kind::NoBudget) {
            // The vendors' SDKs would otherwise try again at once.
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if *kind == Kind::Unauthorized {
            let challenge = HeaderValue::from_static("Bearer realm=\"bursar\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
