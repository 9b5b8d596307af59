//! Every command of an escrow as a request, every answer as its outcome or its error.

use api::{
    CheckRequest, CheckResponse, ReservationRequest, ReservationView, ResolveRequest,
    SettleRequest, Tokens, Usd,
};
use async_trait::async_trait;
use budget::{
    Budget, Escrow, EscrowError, Key, Outcome, Quote, Refusal, Release, Reserve, Resolve, Settle,
    Standing, StoreError,
};
use focus::{Attribution, Scope};
use jiff::SignedDuration;
use serde::Serialize;

use super::{Remote, failure};
use crate::client::{Answer, RemoteError};

/// The longest time-out that the wire takes.
const TIMEOUT_MOST: i64 = 86_400;

/// A quote in the fields of a request.
struct Fields {
    /// Input, output, cache read, five-minute and one-hour cache write.
    tokens: [Option<Tokens>; 5],
    amount: Option<Usd>,
    quoted: Option<Usd>,
    estimated: Option<bool>,
}

impl Fields {
    fn of(quote: &Quote) -> Result<Self, EscrowError> {
        let usage = &quote.usage;
        let classes = [
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write_5m,
            usage.cache_write_1h,
        ];
        let amount_fits =
            quote.amount.is_none_or(|amount| !amount.is_negative() && amount <= Budget::LIMIT_MOST);
        if !amount_fits || classes.iter().any(|class| *class > Tokens::MOST) {
            return Err(EscrowError::Range);
        }
        let amount = quote.amount.map(Usd);
        let (amount, quoted) = if quote.given { (amount, None) } else { (None, amount) };
        let tokens = classes.map(|class| (class > 0).then_some(Tokens(class)));
        let estimated = quote.estimated.then_some(true);
        Ok(Self { tokens, amount, quoted, estimated })
    }
}

/// Whole seconds; a part of one is rounded up, so that nothing times out early.
fn seconds(timeout: SignedDuration) -> Result<u32, EscrowError> {
    let seconds = timeout.as_secs() + i64::from(timeout.subsec_nanos() > 0);
    let fits = (1..=TIMEOUT_MOST).contains(&seconds);
    fits.then(|| u32::try_from(seconds).ok()).flatten().ok_or(EscrowError::Range)
}

fn store(error: RemoteError) -> EscrowError {
    let overloaded = |code: &str| matches!(code, "overloaded" | "rate_limited");
    EscrowError::Store(match error {
        RemoteError::Busy { code, .. } if overloaded(&code) => StoreError::Overloaded,
        RemoteError::Busy { code, .. } if code == "store_closed" => StoreError::Closed,
        error => StoreError::unavailable(error),
    })
}

/// The error that the service has told of.
fn error(answer: &Answer, key: Key, call: Option<&Attribution>) -> EscrowError {
    let told = answer.problem().and_then(|problem| match (problem.code.as_str(), call) {
        ("budget_exceeded", _) => refusal(&problem).map(Box::new).map(EscrowError::Refused),
        ("no_budget", Some(call)) => Some(EscrowError::NoBudget(Box::new(call.clone()))),
        ("model_unpriced", Some(call)) => Some(EscrowError::Unpriced(call.model.to_string())),
        ("request_id_reused", _) => Some(EscrowError::Conflict(key)),
        // Any path that is none of the service's is not found, too.
        ("not_found", _) if problem.request_id == Some(key) => Some(EscrowError::NotFound(key)),
        ("reservation_state", _) => {
            let state = problem.state.as_deref()?.parse().ok()?;
            Some(EscrowError::State { key, state })
        }
        ("out_of_range", _) => Some(EscrowError::Range),
        ("invalid_field", _) if problem.field.as_deref() == Some("amount_usd") => {
            Some(EscrowError::Range)
        }
        _ => None,
    });
    told.unwrap_or_else(|| store(failure(answer)))
}

fn refusal(problem: &api::Problem) -> Option<Refusal> {
    let standing = Standing {
        settled: problem.current_usage_usd?.0,
        counted: problem.counted_usd?.0,
        limit: problem.monthly_limit_usd?.0,
        would_refuse: false,
    };
    Some(Refusal {
        scope: Scope::try_from(problem.budget.as_ref()?).ok()?,
        standing,
        resets_at: api::moment(problem.resets_at.as_deref()?).ok()?,
        overflow: problem.overflow.as_deref()?.parse().ok()?,
        by_holds: problem.by_holds?,
    })
}

impl Remote {
    /// Asks for something that leads to an outcome.
    async fn command<T: Serialize>(
        &self,
        path: &str,
        body: Option<&T>,
        key: Key,
        call: Option<&Attribution>,
    ) -> Result<Outcome, EscrowError> {
        let answer = self.client.post(path, body).await.map_err(store)?;
        if !answer.status.is_success() {
            return Err(error(&answer, key, call));
        }
        let view: ReservationView = answer.read().map_err(store)?;
        let outcome = Outcome::try_from(&view);
        outcome.map_err(|error| store(RemoteError::Unexpected(error.to_string())))
    }
}

#[async_trait]
impl Escrow for Remote {
    async fn check(&self, request: Reserve) -> Result<Standing, EscrowError> {
        let Fields { tokens, amount, quoted, .. } = Fields::of(&request.estimate)?;
        let [input, output, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens] =
            tokens;
        let call = request.call.clone();
        let body = CheckRequest {
            tenant_id: call.tenant,
            model: call.model,
            estimated_input_tokens: input.unwrap_or_default(),
            estimated_output_tokens: output.unwrap_or_default(),
            request_id: None,
            user_id: call.user,
            report_type: call.report_type,
            cache_read_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            service_tier: Some(request.estimate.tier),
            amount_usd: amount,
            quoted_usd: quoted,
            exact: Some(true),
        };
        let answer = self.client.post("/api/ai-budget/check", Some(&body)).await.map_err(store)?;
        if !answer.status.is_success() {
            return Err(error(&answer, request.key, Some(&request.call)));
        }
        let read: CheckResponse = answer.read().map_err(store)?;
        read.standing().ok_or_else(|| store(answer.unexpected()))
    }

    async fn reserve(&self, request: Reserve) -> Result<Outcome, EscrowError> {
        let Fields { tokens, amount, quoted, estimated } = Fields::of(&request.estimate)?;
        let [input, output, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens] =
            tokens;
        let call = request.call.clone();
        let body = ReservationRequest {
            request_id: request.key,
            tenant_id: call.tenant,
            model: call.model,
            user_id: call.user,
            report_type: call.report_type,
            estimated_input_tokens: input,
            estimated_output_tokens: output,
            cache_read_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            service_tier: Some(request.estimate.tier),
            amount_usd: amount,
            quoted_usd: quoted,
            amount_estimated: estimated,
            timeout_seconds: request.timeout.map(seconds).transpose()?,
        };
        let call = Some(&request.call);
        self.command("/api/v1/reservations", Some(&body), request.key, call).await
    }

    async fn settle(&self, request: Settle) -> Result<Outcome, EscrowError> {
        let Fields { tokens, amount, quoted, estimated } = Fields::of(&request.actual)?;
        let [input, output, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens] =
            tokens;
        let call = request.call.clone();
        let body = SettleRequest {
            prompt_tokens: input,
            completion_tokens: output,
            cache_read_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            service_tier: Some(request.actual.tier),
            amount_usd: amount,
            quoted_usd: quoted,
            amount_estimated: estimated,
            tenant_id: call.as_ref().map(|call| call.tenant.clone()),
            model: call.as_ref().map(|call| call.model.clone()),
            user_id: call.as_ref().and_then(|call| call.user.clone()),
            report_type: call.as_ref().and_then(|call| call.report_type.clone()),
        };
        let path = format!("/api/v1/reservations/{}/settle", request.key);
        self.command(&path, Some(&body), request.key, call.as_ref()).await
    }

    async fn release(&self, request: Release) -> Result<Outcome, EscrowError> {
        let path = format!("/api/v1/reservations/{}/release", request.key);
        self.command::<()>(&path, None, request.key, None).await
    }

    async fn resolve(&self, request: Resolve) -> Result<Outcome, EscrowError> {
        let path = format!("/api/v1/reservations/{}/resolve", request.key);
        let body = ResolveRequest { resolution: request.resolution };
        self.command(&path, Some(&body), request.key, None).await
    }
}
