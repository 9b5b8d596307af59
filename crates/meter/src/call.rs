//! The part of one request: what is held for it, and how that ends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::{CheckResponse, Tokens, TrackRequest};
use focus::ModelName;
use jiff::Timestamp;
use money::{Money, ServiceTier, TokenUsage};
use uuid::Uuid;

use crate::{Estimate, Payer, Tracker, record::Record};

/// A release that overtakes a check which got no answer would find nothing to release.
const OVERTAKE: Duration = Duration::from_secs(2);
/// The service works on a check for half a minute at most, and may be some seconds away.
const CHECK_MOST: Duration = Duration::from_secs(35);

/// What a request has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Tokens by class.
    pub tokens: TokenUsage,
    /// The model, where another one was called than was checked.
    pub model: Option<ModelName>,
    /// The vendor's service tier; that of the estimate when left out.
    pub tier: Option<ServiceTier>,
}

impl Usage {
    /// Prompt and completion tokens, without a cache.
    pub fn new(tokens_input: u64, tokens_output: u64) -> Self {
        let tokens =
            TokenUsage { input: tokens_input, output: tokens_output, ..TokenUsage::default() };
        Self { tokens, model: None, tier: None }
    }
}

/// Whether the service holds money for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    No,
    Yes,
    /// It was asked to, has not answered, and may still do it until then.
    Unknown(Timestamp),
}

impl Hold {
    /// After a check that begins now and is given up after a while.
    pub(crate) fn unknown(now: Timestamp, timeout: Duration) -> Self {
        let until = now.checked_add(timeout.saturating_add(CHECK_MOST));
        Self::Unknown(until.unwrap_or(Timestamp::MAX))
    }
}

#[derive(Debug)]
struct State {
    hold: Hold,
    is_tracked: bool,
}

#[derive(Debug)]
struct Inner {
    request_id: Uuid,
    payer: Payer,
    estimate: Estimate,
    approval: Option<CheckResponse>,
    tracker: Tracker,
    state: Mutex<State>,
}

/// What a handler finds among a request's extensions. Clones are the same call.
///
/// A handler that has called a model says what was used with [`Call::track`]; one that has not says so
/// with [`Call::release`]. Where it says neither, the hold is left to the service's time-out: it is
/// unresolved after 15 minutes and charged in full after a day, unless the service is configured
/// otherwise, for nobody knows whether the money was spent.
#[derive(Debug, Clone)]
pub struct Call(Arc<Inner>);

impl Call {
    pub(crate) fn new(asked: Asked, hold: Hold, approval: Option<CheckResponse>) -> Self {
        let (request_id, payer, estimate, tracker) = asked.disarm();
        let state = Mutex::new(State { hold, is_tracked: false });
        Self(Arc::new(Inner { request_id, payer, estimate, approval, tracker, state }))
    }

    /// Names the call at the service: the reservation and the entry of the ledger.
    pub fn request_id(&self) -> Uuid {
        self.0.request_id
    }

    /// Who pays.
    pub fn payer(&self) -> &Payer {
        &self.0.payer
    }

    /// What the check was made with.
    pub fn estimate(&self) -> &Estimate {
        &self.0.estimate
    }

    /// What is held; nothing where the service did not answer and the request was let through.
    pub fn held(&self) -> Option<Money> {
        self.0.approval.as_ref()?.held_usd.map(|held| held.0)
    }

    /// Charged before this call in the running period of the fullest budget, and its limit.
    pub fn standing(&self) -> Option<(Money, Money)> {
        let approval = self.0.approval.as_ref()?;
        Some((approval.current_usage_usd.0, approval.monthly_limit_usd.0))
    }

    /// Reports what was used, once, at any time, also after the answer. Returns at once; delivery
    /// happens in the background. Several calls to one model in a request are reported together.
    ///
    /// Usage without a token is no usage: it counts as [`Call::release`].
    ///
    /// False when it was not taken: reported before, or counts that can't be right, in which case the
    /// hold is kept, for something was used.
    pub fn track(&self, usage: Usage) -> bool {
        let inner = &*self.0;
        let TokenUsage { input, output, cache_read, cache_write_5m, cache_write_1h } = usage.tokens;
        let counts = [input, output, cache_read, cache_write_5m, cache_write_1h];
        if counts.iter().any(|count| *count > Tokens::MOST) {
            let id = inner.request_id;
            tracing::error!(%id, "a handler has reported usage that can't be right");
            return false;
        }
        let is_nothing = counts.iter().all(|count| *count == 0);
        let hold = {
            let mut state = self.lock();
            if state.is_tracked {
                return false;
            }
            state.is_tracked = !is_nothing;
            std::mem::replace(&mut state.hold, Hold::No)
        };
        if is_nothing {
            free(&inner.tracker, inner.request_id, hold);
            return true;
        }
        let model = usage.model.unwrap_or_else(|| inner.estimate.model.clone());
        let is_same = model == inner.estimate.model;
        let some = |count: u64| (count > 0).then_some(Tokens(count));
        let body = TrackRequest {
            request_id: if is_same { inner.request_id } else { Uuid::new_v4() },
            tenant_id: inner.payer.tenant.clone(),
            model,
            prompt_tokens: Tokens(input),
            completion_tokens: Tokens(output),
            report_type: inner.payer.report_type.clone(),
            user_id: inner.payer.user.clone(),
            cache_read_tokens: some(cache_read),
            cache_write_5m_tokens: some(cache_write_5m),
            cache_write_1h_tokens: some(cache_write_1h),
            service_tier: Some(usage.tier.unwrap_or(inner.estimate.tier)),
        };
        let record = Record::Track { body: Box::new(body) };
        if is_same {
            inner.tracker.put(record);
        } else {
            // A reservation can't be settled for another model: the usage has an id of its own, and
            // the hold goes back once the usage is safe.
            let (tracker, request_id) = (inner.tracker.clone(), inner.request_id);
            inner.tracker.put_then(record, move || free(&tracker, request_id, hold));
        }
        true
    }

    /// Nothing was used and nothing will be: frees what is held, in the background. Does nothing once
    /// usage was reported.
    pub fn release(&self) {
        let hold = {
            let mut state = self.lock();
            if state.is_tracked {
                return;
            }
            std::mem::replace(&mut state.hold, Hold::No)
        };
        free(&self.0.tracker, self.0.request_id, hold);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free(tracker: &Tracker, request_id: Uuid, hold: Hold) {
    match hold {
        Hold::No => {}
        Hold::Yes => tracker.put(Record::Release { request_id, until: None }),
        Hold::Unknown(until) => {
            tracker.put_later(Record::Release { request_id, until: Some(until) }, OVERTAKE);
        }
    }
}

/// A check on its way. Where the caller goes away before it is answered, nobody will use what it may
/// hold: it is freed when this is dropped.
pub(crate) struct Asked {
    pub(crate) request_id: Uuid,
    pub(crate) payer: Payer,
    pub(crate) estimate: Estimate,
    tracker: Tracker,
    hold: Hold,
}

impl Asked {
    pub(crate) fn new(payer: Payer, estimate: Estimate, tracker: Tracker) -> Self {
        Self { request_id: Uuid::new_v4(), payer, estimate, tracker, hold: Hold::No }
    }

    /// What is freed if the call goes no further.
    pub(crate) fn holds(&mut self, hold: Hold) {
        self.hold = hold;
    }

    fn disarm(mut self) -> (Uuid, Payer, Estimate, Tracker) {
        self.hold = Hold::No;
        let (payer, estimate) = (self.payer.clone(), self.estimate.clone());
        (self.request_id, payer, estimate, self.tracker.clone())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        free(&self.tracker, self.request_id, self.hold);
    }
}
