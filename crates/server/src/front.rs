//! What happens to every request before and after its handler: one function, no layers, for the
//! hot path pays for each.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use hyper::body::Incoming;
use tower_service::Service as _;

use crate::{
    Beside,
    auth::{self, Caller},
    fault::Fault,
    router::{self, Access, Index},
    routes::alerts,
    service::{Service, Shared},
};

/// What is answered where there is no API.
const PROBES: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/api/ai-budget/health"];

/// The service as connections see it: [`crate::run`] puts it behind a socket; tests and fuzzers ask
/// it directly.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    state: Shared,
    router: Router,
    index: Index,
}

impl Front {
    /// The service with the prices that ship with it; imported ones are not read.
    pub fn new(service: Service) -> Self {
        let state = service.into_state();
        let (router, index) = router::routes().build();
        let router = router
            .fallback(|| async { Fault::not_found("there is nothing at this path") })
            .method_not_allowed_fallback(|| async { Fault::method() })
            .with_state(state.clone());
        Self(Arc::new(Inner { state, router, index }))
    }

    pub(crate) fn state(&self) -> &Shared {
        &self.0.state
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request) -> Response {
        let started = Instant::now();
        let (route, access) = self.0.index.find(request.uri().path());
        let response = self.survive(self.handle(request, access)).await;
        self.0.state.metrics.answered(route, response.status(), started.elapsed());
        response
    }

    /// Lets the door beside answer. It has time limits of its own; a page that is open on this
    /// machine gets no further than here either.
    pub(crate) async fn pass(
        &self,
        beside: &Arc<dyn Beside>,
        request: hyper::Request<Incoming>,
        peer: IpAddr,
    ) -> Response {
        if self.0.state.auth.is_open()
            && let Err(fault) = auth::guard_open(request.method(), request.headers())
        {
            return fault.into_response();
        }
        let answer = AssertUnwindSafe(beside.answer(request, peer)).catch_unwind().await;
        answer.unwrap_or_else(|_| {
            tracing::error!("a request made the gateway panic; the lines above say where");
            Fault::internal().into_response()
        })
    }

    /// Lets a request in with its caller, or says why not.
    async fn admit(&self, mut request: Request, access: Access) -> Result<Request, Fault> {
        let state = &self.0.state;
        if !state.config.has_api && !PROBES.contains(&request.uri().path()) {
            return Err(Fault::not_found("this is a gateway alone: it has no API and no pages"));
        }
        if state.auth.is_open() {
            auth::guard_open(request.method(), request.headers())?;
        }
        if access == Access::Keyed {
            let (now, headers) = (state.now(), request.headers());
            // Elsewhere this token is nobody's.
            let is_alert = request.uri().path() == alerts::PATH && state.auth.tells_alerts(headers);
            let caller = match is_alert {
                true => Caller::Admin,
                false => state.auth.caller(headers, &*state.store, now).await?,
            };
            request.extensions_mut().insert(caller);
        }
        Ok(request)
    }

    async fn handle(&self, request: Request, access: Access) -> Response {
        let request = match self.admit(request, access).await {
            Ok(request) => request,
            Err(fault) => return fault.into_response(),
        };
        let Ok(response) = self.0.router.clone().call(request).await;
        response
    }

    /// Answers for what hangs or panics, be it in a handler or on the way to one.
    async fn survive(&self, answer: impl Future<Output = Response>) -> Response {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        match tokio::time::timeout(self.0.state.config.request_timeout, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!("a request made the service panic; the lines above say where");
                Fault::internal().into_response()
            }
            Err(_) => Fault::timeout().into_response(),
        }
    }
}
