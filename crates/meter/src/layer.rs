//! The check around any service: who pays is found, the money is held, and only then is the request
//! handled.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use api::{CheckRequest, Percent, Tokens};
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{Either, Full};
use jiff::Timestamp;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Remote, Tracker, answer,
    call::{Asked, Call, Hold},
    client::{RemoteError, SetupError},
    payer::Wrong,
    remote::Verdict,
    settings::{FailMode, Settings},
    verdict::Verdicts,
};

/// The body of an answer: the service's own, or one that says why its request went no further.
pub type MeterBody<B> = Either<Full<Bytes>, B>;

/// Puts a budget check around services. See the crate's text.
#[derive(Clone)]
pub struct MeterLayer(Arc<Guard>);

impl MeterLayer {
    /// A layer that asks `remote` and reports through `tracker`. Clones share what is cached.
    pub fn new(remote: Remote, tracker: Tracker, settings: Settings) -> Result<Self, SetupError> {
        let shared = shared(&settings, &tracker)?;
        let verdicts =
            Verdicts::new(remote.address(), settings.cache_ttl, settings.cache_entries, shared);
        let remote = remote.with_timeout(settings.timeout).with_attempts(2);
        Ok(Self(Arc::new(Guard { remote, tracker, settings, verdicts })))
    }
}

#[cfg(feature = "redis")]
fn shared(
    settings: &Settings,
    tracker: &Tracker,
) -> Result<Option<Arc<dyn crate::verdict::Shared>>, SetupError> {
    let Some((url, timeout)) = &settings.redis else { return Ok(None) };
    let redis = crate::redis::Redis::open(url, *timeout, tracker.counters().clone())?;
    Ok(Some(Arc::new(redis)))
}

#[cfg(not(feature = "redis"))]
#[expect(clippy::unnecessary_wraps, reason = "opening a Redis may fail, where there is one")]
fn shared(
    _: &Settings,
    _: &Tracker,
) -> Result<Option<Arc<dyn crate::verdict::Shared>>, SetupError> {
    Ok(None)
}

impl<S> Layer<S> for MeterLayer {
    type Service = Meter<S>;

    fn layer(&self, inner: S) -> Meter<S> {
        Meter { inner, guard: self.0.clone() }
    }
}

/// A service whose requests are checked. A [`Call`] is among the extensions of those it handles.
#[derive(Clone)]
pub struct Meter<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S, B, RB> Service<Request<B>> for Meter<S>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<MeterBody<RB>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready is the one to be called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let guard = self.guard.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let asked = guard.asked(&parts);
            let (call, used) = match guard.admit(asked).await {
                Ok(admitted) => admitted,
                Err(answer) => return Ok(answer.map(Either::Left)),
            };
            parts.extensions.insert(call);
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            if let Some(used) = used {
                guard.warn(&mut response, used);
            }
            Ok(response.map(Either::Right))
        })
    }
}

/// What all requests of a layer share.
struct Guard {
    remote: Remote,
    tracker: Tracker,
    settings: Settings,
    verdicts: Verdicts,
}

/// A call that may be made, and how full its budget is, where that is known; or why it may not.
type Admission = Result<(Call, Option<Percent>), Box<Response<Full<Bytes>>>>;

impl Guard {
    fn asked(&self, parts: &Parts) -> Result<Asked, Wrong> {
        let payer = self.settings.payers.of(parts)?;
        let estimate = self.settings.estimates.of(parts)?;
        Ok(Asked::new(payer, estimate, self.tracker.clone()))
    }

    async fn admit(&self, asked: Result<Asked, Wrong>) -> Admission {
        let mut asked = asked.map_err(|wrong| Box::new(answer::wrong(&wrong)))?;
        let counters = self.tracker.counters();
        let now = Timestamp::now();
        if let Some(refusal) = self.verdicts.find(&asked.payer, &asked.estimate, now).await {
            counters.refused.increment(1);
            counters.cache_hits.increment(1);
            return Err(Box::new(self.refused(&refusal)));
        }
        let request = check(&asked).map_err(|wrong| Box::new(answer::wrong(&wrong)))?;
        let unknown = Hold::unknown(Timestamp::now(), self.settings.timeout);
        asked.holds(unknown);
        match self.remote.ask(&request).await {
            Ok(Verdict::Approved(approval)) => {
                let used = approval.percentage_used;
                Ok((Call::new(asked, Hold::Yes, Some(*approval)), Some(used)))
            }
            Ok(Verdict::Refused { refusal, is_sure }) => {
                // What an earlier try may hold all the same is freed when `asked` goes.
                if is_sure {
                    asked.holds(Hold::No);
                }
                counters.refused.increment(1);
                self.verdicts.put(&asked.payer, &asked.estimate, &refusal, Timestamp::now());
                Err(Box::new(self.refused(&refusal)))
            }
            Err(RemoteError::Invalid(problem)) => {
                asked.holds(Hold::No);
                let api::Problem { code, message, field, .. } = *problem;
                Err(Box::new(answer::wrong(&Wrong { code, message, field })))
            }
            Err(error) => {
                let hold = if error.may_have_happened() { unknown } else { Hold::No };
                self.unanswered(asked, hold, &error)
            }
        }
    }

    /// Nobody knows whether the request fits.
    fn unanswered(&self, mut asked: Asked, hold: Hold, error: &RemoteError) -> Admission {
        let counters = self.tracker.counters();
        match self.settings.fail_mode {
            FailMode::Open => {
                counters.failed_open.increment(1);
                tracing::warn!("failed to check a budget, so the request is let through: {error}");
                Ok((Call::new(asked, hold, None), None))
            }
            FailMode::Closed => {
                counters.failed_closed.increment(1);
                tracing::warn!("failed to check a budget, so the request is refused: {error}");
                // What may be held all the same is freed when `asked` goes.
                asked.holds(hold);
                let retry_after = match error {
                    RemoteError::Busy { retry_after: Some(seconds), .. } => *seconds,
                    _ => 1,
                };
                Err(Box::new(answer::unavailable(retry_after)))
            }
        }
    }

    fn refused(&self, refusal: &crate::verdict::Refusal) -> Response<Full<Bytes>> {
        let mut response = answer::refused(refusal, &self.settings.fallback);
        self.warn(&mut response, refusal.percentage);
        response
    }

    fn warn<B>(&self, response: &mut Response<B>, used: Percent) {
        answer::warn(response.headers_mut(), used, self.settings.warning_percent);
    }
}

fn check(asked: &Asked) -> Result<CheckRequest, Wrong> {
    let (payer, estimate) = (&asked.payer, &asked.estimate);
    let usage = &estimate.usage;
    let count = |count: u64, field: &str| {
        let wrong = || {
            let message = format!("{field} must be at most {}", Tokens::MOST);
            Wrong::new("invalid_field", message, field)
        };
        (count <= Tokens::MOST).then_some(Tokens(count)).ok_or_else(wrong)
    };
    let some = |tokens: Tokens| (tokens.0 > 0).then_some(tokens);
    Ok(CheckRequest {
        tenant_id: payer.tenant.clone(),
        model: estimate.model.clone(),
        estimated_input_tokens: count(usage.input, "estimated_input_tokens")?,
        estimated_output_tokens: count(usage.output, "estimated_output_tokens")?,
        request_id: Some(asked.request_id),
        user_id: payer.user.clone(),
        report_type: payer.report_type.clone(),
        cache_read_tokens: some(count(usage.cache_read, "cache_read_tokens")?),
        cache_write_5m_tokens: some(count(usage.cache_write_5m, "cache_write_5m_tokens")?),
        cache_write_1h_tokens: some(count(usage.cache_write_1h, "cache_write_1h_tokens")?),
        service_tier: Some(estimate.tier),
        amount_usd: None,
        quoted_usd: None,
        exact: None,
    })
}
