//! Calls through a running service, over HTTP.

use std::{fmt, time::Duration};

use anyhow::{Context as _, bail};
use budget::BudgetId;
use focus::{PeriodUnit, Scope, TenantId};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, Uri, body::Bytes, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use money::{Money, Price};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::{AccountView, Answer, LedgerView, plan::Call};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Between two attempts at the rate limit, and how many there are.
const PAUSE: Duration = Duration::from_millis(100);
const ATTEMPTS: usize = 300;

/// A running service.
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: Option<header::HeaderValue>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A JSON number of exact digits.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Usd(Box<RawValue>);

impl Usd {
    fn money(&self) -> anyhow::Result<Money> {
        Ok(self.0.get().trim_matches('"').parse()?)
    }
}

#[derive(Debug, Deserialize)]
struct Reservation {
    state: String,
    cost_usd: Option<Usd>,
    replayed: bool,
}

#[derive(Debug, Deserialize)]
struct Status {
    budgets: Vec<BudgetLine>,
}

#[derive(Debug, Deserialize)]
struct BudgetLine {
    budget_id: Uuid,
    monthly_limit_usd: Usd,
    current_usage_usd: Usd,
    held_usd: Usd,
    unresolved_usd: Usd,
}

#[derive(Debug, Deserialize)]
struct Usage {
    rows: Vec<UsageRow>,
}

#[derive(Debug, Deserialize)]
struct UsageRow {
    cost_usd: Usd,
}

#[derive(Debug, Deserialize)]
struct Prices {
    prices: Vec<Price>,
}

impl Http {
    /// A client of the service at `http://host:port`.
    pub fn new(server: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let uri: Uri = server.parse().with_context(|| format!("{server:?} is no URL"))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            bail!("{server:?} is no address as http://127.0.0.1:3010");
        }
        let authorization = token.filter(|token| !token.is_empty()).map(|token| {
            let value = header::HeaderValue::from_str(&format!("Bearer {token}"));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: server.trim_end_matches('/').to_owned(),
            authorization: authorization.transpose().context("the token can't be sent")?,
        })
    }

    /// Waits and asks again while the key's rate limit is reached.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        for _ in 0..ATTEMPTS {
            let (status, answer) = self.call_once(method.clone(), path, body.clone()).await?;
            if status != StatusCode::TOO_MANY_REQUESTS || code(&answer) != "rate_limited" {
                return Ok((status, answer));
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the rate limit left no room for {path}")
    }

    async fn call_once(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body)
            }
            None => Bytes::new(),
        };
        let sent = async {
            let response = self.client.request(request.body(Full::new(body))?).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let answered = tokio::time::timeout(TIMEOUT, sent).await;
        answered
            .context("no answer within 30 s")?
            .with_context(|| format!("failed to reach {}", self.base))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        read(status, &body)
    }

    /// All prices that the service knows.
    pub async fn prices(&self) -> anyhow::Result<Vec<Price>> {
        Ok(self.get::<Prices>("/api/v1/prices").await?.prices)
    }

    pub(super) async fn send(&self, call: &Call) -> Answer {
        match self.spend(call).await {
            Ok(answer) => answer,
            Err(error) => Answer::Failed(format!("{error:#}")),
        }
    }

    async fn spend(&self, call: &Call) -> anyhow::Result<Answer> {
        let reserve = json!({
            "request_id": call.key,
            "tenant_id": call.tenant.as_str(),
            "model": call.model.as_str(),
            "estimated_input_tokens": call.usage.input,
            "estimated_output_tokens": call.usage.output,
        });
        let (status, body) =
            self.call(Method::POST, "/api/v1/reservations", Some(reserve.to_string())).await?;
        // By a budget, or because there is none: the rate limit has been waited for.
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Answer::Refused);
        }
        read::<Value>(status, &body)?;
        let settle = json!({
            "prompt_tokens": call.usage.input,
            "completion_tokens": call.usage.output,
        });
        let path = format!("/api/v1/reservations/{}/settle", call.key);
        let (status, body) = self.call(Method::POST, &path, Some(settle.to_string())).await?;
        let settled: Reservation = read(status, &body)?;
        match (settled.state.as_str(), settled.cost_usd) {
            ("settled", Some(cost)) => {
                Ok(Answer::Accepted { cost: cost.money()?, replayed: settled.replayed })
            }
            (state, _) => bail!("reservation {} is {state}", call.key),
        }
    }

    pub(super) async fn set_limit(&self, tenant: &TenantId, limit: Money) -> anyhow::Result<()> {
        // Written by hand, digit by digit: a limit never goes through a float.
        let name = serde_json::to_string(tenant.as_str())?;
        let set = format!(r#"{{"tenant_id":{name},"model":"*","monthly_limit_usd":{limit}}}"#);
        let (status, body) = self.call(Method::POST, "/api/ai-budget/set", Some(set)).await?;
        read::<Value>(status, &body)?;
        Ok(())
    }

    pub(super) async fn ledger(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> anyhow::Result<LedgerView> {
        let name = encoded(tenant.as_str());
        let month = now.to_zoned(TimeZone::UTC).first_of_month()?.start_of_day()?;
        let mut accounts = Vec::new();
        let status: Status = self.get(&format!("/api/ai-budget/tenant/{name}")).await?;
        let whole = BudgetId::of(&Scope::tenant(tenant.clone()), PeriodUnit::Month).0;
        for line in status.budgets.iter().filter(|line| line.budget_id == whole) {
            let end = month.checked_add(1.month())?;
            let settled = line.current_usage_usd.money()?;
            let promised = line.held_usd.money()?.checked_add(line.unresolved_usd.money()?);
            let counted = promised.and_then(|promised| promised.checked_add(settled));
            accounts.push(AccountView {
                model: "*".to_owned(),
                limit: line.monthly_limit_usd.money()?,
                settled,
                counted: counted.context("a balance is out of range")?,
                recorded: self.recorded(&name, month.timestamp(), end.timestamp()).await?,
            });
        }
        let later = now.checked_add(SignedDuration::from_hours(24))?;
        let recorded = self.recorded(&name, Timestamp::UNIX_EPOCH, later).await?;
        Ok(LedgerView { recorded, accounts })
    }

    async fn recorded(
        &self,
        tenant: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> anyhow::Result<Money> {
        let path = format!("/api/v1/usage?tenant_id={tenant}&from={from}&to={to}&group_by=model");
        let usage: Usage = self.get(&path).await?;
        let mut sum = Money::ZERO;
        for row in &usage.rows {
            sum = sum.checked_add(row.cost_usd.money()?).context("the usage is out of range")?;
        }
        Ok(sum)
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> anyhow::Result<T> {
    if !status.is_success() {
        let shown: String = String::from_utf8_lossy(body).chars().take(300).collect();
        bail!("the service answered {status}: {shown}");
    }
    serde_json::from_slice(body).context("the service's answer can't be read")
}

fn code(body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let code = problem.as_ref().and_then(|problem| problem.get("code")?.as_str());
    code.unwrap_or_default().to_owned()
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}
