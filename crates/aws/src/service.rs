//! The three ways in which AWS's APIs are spoken to.

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Api, AwsError, Client, client::Ask};

/// What RFC 3986 leaves as it is, and AWS signs so.
pub(crate) const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What an API's JSON 1.1 targets begin with.
const fn prefix(api: Api) -> &'static str {
    match api {
        Api::CostExplorer => "AWSInsightsIndexService",
        _ => "AWSBudgetServiceGateway",
    }
}

/// Asks by AWS's JSON 1.1 protocol
/// (<https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>).
pub(crate) async fn json<T: DeserializeOwned>(
    client: &Client,
    api: Api,
    action: &'static str,
    body: &impl Serialize,
) -> Result<T, AwsError> {
    let body = serde_json::to_vec(body)
        .map_err(|error| AwsError::Request { api, cause: error.to_string() })?;
    let target = format!("{}.{action}", prefix(api));
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)];
    let ask = Ask {
        api,
        action,
        region: None,
        method: Method::POST,
        target: "/",
        headers: &headers,
        body: Bytes::from(body),
    };
    let answer = client.ask(&ask).await?;
    serde_json::from_slice(&answer).map_err(|error| unreadable(api, action, &error))
}

/// Asks by AWS's query protocol
/// (<https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>); the answer is XML.
pub(crate) async fn query<T: DeserializeOwned>(
    client: &Client,
    api: Api,
    region: Option<&str>,
    action: &'static str,
    version: &str,
    parameters: &[(String, String)],
) -> Result<T, AwsError> {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut form = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        form.push_str(&format!("&{}={}", encoded(name), encoded(value)));
    }
    let ask = Ask {
        api,
        action,
        region,
        method: Method::POST,
        target: "/",
        headers: &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
        body: Bytes::from(form),
    };
    xml(client, &ask).await
}

/// Asks S3, whose requests are paths.
pub(crate) async fn get<T: DeserializeOwned>(
    client: &Client,
    action: &'static str,
    target: &str,
) -> Result<T, AwsError> {
    let ask = Ask {
        api: Api::S3,
        action,
        region: None,
        method: Method::GET,
        target,
        headers: &[],
        body: Bytes::new(),
    };
    xml(client, &ask).await
}

async fn xml<T: DeserializeOwned>(client: &Client, ask: &Ask<'_>) -> Result<T, AwsError> {
    let answer = client.ask(ask).await?;
    let text = std::str::from_utf8(&answer);
    let text = text.map_err(|error| unreadable(ask.api, ask.action, &error))?;
    quick_xml::de::from_str(text).map_err(|error| unreadable(ask.api, ask.action, &error))
}

pub(crate) fn unreadable(
    api: Api,
    action: &'static str,
    cause: &dyn std::fmt::Display,
) -> AwsError {
    AwsError::Answer { api, action, cause: cause.to_string() }
}

#[derive(serde::Deserialize)]
struct IdentityAnswer {
    #[serde(rename = "GetCallerIdentityResult")]
    result: IdentityResult,
}

#[derive(serde::Deserialize)]
struct IdentityResult {
    #[serde(rename = "Account")]
    account: String,
}

/// The number of the account whose credentials these are
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>): free, and
/// allowed to everybody.
pub(crate) async fn account(client: &Client) -> Result<String, AwsError> {
    let action = "GetCallerIdentity";
    let answer: IdentityAnswer = query(client, Api::Sts, None, action, "2011-06-15", &[]).await?;
    let account = answer.result.account;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    match is_account {
        true => Ok(account),
        false => Err(unreadable(Api::Sts, action, &format!("{account:?} is no account"))),
    }
}
