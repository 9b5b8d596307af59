//! A Cost Explorer on loopback that computes its answers from a FOCUS file.
//!
//! It speaks JSON 1.1 as the real one does: it checks the signature of each request, groups by two
//! dimensions at most, validates the dates, turns pages, throttles and counts its calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use focus::Decimal;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Whose keys a request must be signed with.
pub(crate) const KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// The account that those keys are of.
pub(crate) const ACCOUNT: &str = "123456789012";

const TARGET: &str = "AWSInsightsIndexService.GetCostAndUsage";
const METRICS: [&str; 3] = ["UnblendedCost", "AmortizedCost", "NetUnblendedCost"];

/// How it answers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Groups of a page; 0 is all of them.
    pub(crate) page: usize,
    /// Every so manieth call is throttled; 0 is none.
    pub(crate) throttle_every: usize,
    /// This page, counted from 0, can't be had.
    pub(crate) broken_page: Option<usize>,
}

/// A row of the FOCUS file, as far as Cost Explorer knows it.
struct Row {
    day: Date,
    service: String,
    region: String,
    account: String,
    billed: Decimal,
    effective: Decimal,
}

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    manner: Manner,
    /// Calls of `GetCostAndUsage`, throttled ones too.
    calls: usize,
    throttled: usize,
    unsigned: usize,
}

pub(crate) struct Explorer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A status and a body.
type Answer = (u16, Value);

impl Explorer {
    pub(crate) fn start(bill: &Path, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = State { rows: read(bill), manner, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || drop(talk(stream, &state)));
            }
        });
        Self { address, state }
    }

    /// From now on it answers from another file, in another manner.
    pub(crate) fn change(&self, bill: &Path, manner: Manner) {
        let mut state = lock(&self.state);
        (state.rows, state.manner) = (read(bill), manner);
    }

    /// Calls of `GetCostAndUsage` so far, and how many of them were throttled.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let state = lock(&self.state);
        assert_eq!(state.unsigned, 0, "requests without a good signature");
        (state.calls, state.throttled)
    }

    /// What it answers to a question.
    pub(crate) fn ask(&self, question: &Value) -> Answer {
        lock(&self.state).answer(question)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(bill: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(bill).expect("a FOCUS file");
    let headers = reader.headers().expect("a header").clone();
    let place = |name: &str| headers.iter().position(|header| header == name).expect("a column");
    let columns = [
        "ChargePeriodStart",
        "ServiceName",
        "RegionId",
        "SubAccountId",
        "BilledCost",
        "EffectiveCost",
    ]
    .map(place);
    let row = |record: csv::StringRecord| {
        let [day, service, region, account, billed, effective] =
            columns.map(|column| record[column].to_owned());
        let amount = |text: &str| Decimal::parse(text).expect("an amount");
        let has_none = region == "NULL" || region.is_empty();
        Row {
            day: day[..10].parse().expect("a day"),
            service,
            region: if has_none { "NoRegion".to_owned() } else { region },
            account,
            billed: amount(&billed),
            effective: amount(&effective),
        }
    };
    reader.records().map(|record| row(record.expect("a record"))).collect()
}

fn fault(code: &str, message: &str) -> Answer {
    (400, json!({ "__type": format!("com.amazonaws.insights#{code}"), "message": message }))
}

impl State {
    fn answer(&mut self, question: &Value) -> Answer {
        self.calls += 1;
        let every = self.manner.throttle_every;
        if every > 0 && self.calls.is_multiple_of(every) {
            self.throttled += 1;
            return fault("LimitExceededException", "You made too many calls in a short time");
        }
        let (start, end) = match period(&question["TimePeriod"]) {
            Ok(period) => period,
            Err(message) => return fault("ValidationException", &message),
        };
        if question["Granularity"] != "DAILY" {
            return fault("ValidationException", "this one answers by day alone");
        }
        let groups = question["GroupBy"].as_array().cloned().unwrap_or_default();
        if groups.len() > 2 {
            return fault("ValidationException", "Group by supports two groups at most");
        }
        let keys: Vec<&str> = groups.iter().filter_map(|group| group["Key"].as_str()).collect();
        let known = ["SERVICE", "REGION", "LINKED_ACCOUNT"];
        if keys.len() != groups.len() || keys.iter().any(|key| !known.contains(key)) {
            return fault("ValidationException", "a group has a key that is unknown");
        }
        let metrics: Vec<&str> = question["Metrics"]
            .as_array()
            .map_or_else(Vec::new, |metrics| metrics.iter().filter_map(Value::as_str).collect());
        if metrics.is_empty() || metrics.iter().any(|metric| !METRICS.contains(metric)) {
            return fault("ValidationException", "name metrics that there are");
        }
        let sums = self.sums((start, end), &keys, accounts(&question["Filter"]).as_ref());
        self.page(&sums, &metrics, &question["NextPageToken"])
    }

    /// The costs of each group on each day.
    fn sums(
        &self,
        (start, end): (Date, Date),
        keys: &[&str],
        accounts: Option<&BTreeSet<String>>,
    ) -> BTreeMap<(Date, Vec<String>), (Decimal, Decimal)> {
        let mut sums: BTreeMap<_, (Decimal, Decimal)> = BTreeMap::new();
        let wanted = |row: &&Row| {
            (start..end).contains(&row.day) && accounts.is_none_or(|all| all.contains(&row.account))
        };
        for row in self.rows.iter().filter(wanted) {
            let key = |key: &&str| match *key {
                "SERVICE" => row.service.clone(),
                "REGION" => row.region.clone(),
                _ => row.account.clone(),
            };
            let sum = sums.entry((row.day, keys.iter().map(key).collect())).or_default();
            sum.0 = sum.0.checked_add(row.billed).expect("a sum");
            sum.1 = sum.1.checked_add(row.effective).expect("a sum");
        }
        sums
    }

    fn page(
        &self,
        sums: &BTreeMap<(Date, Vec<String>), (Decimal, Decimal)>,
        metrics: &[&str],
        token: &Value,
    ) -> Answer {
        let page: usize = match token.as_str() {
            None => 0,
            Some(token) => match token.strip_prefix("page-").and_then(|page| page.parse().ok()) {
                Some(page) => page,
                None => return fault("InvalidNextTokenException", "the token is nobody's"),
            },
        };
        if self.manner.broken_page == Some(page) {
            return fault("DataUnavailableException", "The requested data is unavailable.");
        }
        let length = if self.manner.page == 0 { usize::MAX } else { self.manner.page };
        let month = today().first_of_month();
        let mut days: Vec<Value> = Vec::new();
        for ((day, keys), (billed, effective)) in sums.iter().skip(page * length).take(length) {
            let amount = |metric: &&str| {
                let cost = if *metric == "AmortizedCost" { effective } else { billed };
                let value = json!({ "Amount": cost.to_string(), "Unit": "USD" });
                ((*metric).to_owned(), value)
            };
            let metrics: serde_json::Map<_, _> = metrics.iter().map(amount).collect();
            let group = json!({ "Keys": keys, "Metrics": metrics });
            let start = day.to_string();
            match days.last_mut().filter(|last| last["TimePeriod"]["Start"] == start.as_str()) {
                Some(last) => last["Groups"].as_array_mut().expect("a list").push(group),
                None => days.push(json!({
                    "TimePeriod": { "Start": start, "End": day.tomorrow().expect("a day") },
                    "Total": {},
                    "Groups": [group],
                    "Estimated": *day >= month,
                })),
            }
        }
        let mut answer = json!({ "ResultsByTime": days, "DimensionValueAttributes": [] });
        if sums.len() > (page + 1).saturating_mul(length) {
            answer["NextPageToken"] = format!("page-{}", page + 1).into();
        }
        (200, answer)
    }
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The days that are asked for, as the real one validates them.
fn period(value: &Value) -> Result<(Date, Date), String> {
    let day = |name: &str| {
        let text = value[name].as_str().unwrap_or_default();
        text.parse::<Date>().map_err(|_| format!("{name} date is invalid: {text:?}"))
    };
    let (start, end) = (day("Start")?, day("End")?);
    if start >= end {
        return Err("Start date (and hour) should be before end date (and hour)".to_owned());
    }
    let month = today().first_of_month();
    let oldest = month.checked_sub(jiff::Span::new().months(13)).expect("a day");
    if start < oldest {
        return Err("You haven't enabled historical data beyond 14 months".to_owned());
    }
    if end > month.last_of_month().tomorrow().expect("a day") {
        return Err("end date past the beginning of next month".to_owned());
    }
    Ok((start, end))
}

fn accounts(filter: &Value) -> Option<BTreeSet<String>> {
    let dimensions = filter.get("Dimensions")?;
    let values = dimensions["Values"].as_array()?.iter().filter_map(Value::as_str);
    (dimensions["Key"] == "LINKED_ACCOUNT").then(|| values.map(str::to_owned).collect())
}

fn talk(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let (status, kind, text) = respond(state, &target, &headers, &body);
        let out = reader.get_mut();
        write!(
            out,
            "HTTP/1.1 {status} .\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )?;
    }
}

fn respond(
    state: &Mutex<State>,
    target: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> (u16, &'static str, String) {
    let json = "application/x-amz-json-1.1";
    if !is_signed(target, headers, body) {
        lock(state).unsigned += 1;
        let code = "com.amazonaws.insights#InvalidSignatureException";
        let fault = json!({ "__type": code, "message": "the signature does not match" });
        return (403, json, fault.to_string());
    }
    if body.starts_with(b"Action=GetCallerIdentity&") {
        let answer = format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/x</Arn>\
             <UserId>AIDA</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>\
             </GetCallerIdentityResponse>"
        );
        return (200, "text/xml", answer);
    }
    let (status, answer) = match headers.get("x-amz-target").map(String::as_str) {
        Some(TARGET) => match serde_json::from_slice(body) {
            Ok(question) => lock(state).answer(&question),
            Err(error) => fault("SerializationException", &error.to_string()),
        },
        _ => fault("UnknownOperationException", "there is no such operation"),
    };
    (status, json, answer.to_string())
}

/// Whether the request bears the signature that its content must have
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>).
fn is_signed(target: &str, headers: &BTreeMap<String, String>, body: &[u8]) -> bool {
    let signed = || {
        let authorization = headers.get("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let part = |name: &str| {
            let parts = authorization.split(',').map(str::trim);
            parts.filter_map(|part| part.strip_prefix(name)).next()
        };
        let (credential, names) = (part("Credential=")?, part("SignedHeaders=")?);
        let (key, scope) = credential.split_once('/')?;
        let date = headers.get("x-amz-date")?;
        let [day, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let mut canonical = format!("POST\n{target}\n\n");
        for name in names.split(';') {
            writeln!(canonical, "{name}:{}", headers.get(name)?).ok()?;
        }
        write!(canonical, "\n{names}\n{}", hex(&Sha256::digest(body))).ok()?;
        let hash = hex(&Sha256::digest(canonical));
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let first = hmac(format!("AWS4{SECRET}").as_bytes(), day);
        let parts = [region, service, "aws4_request"].into_iter();
        let signing = parts.fold(first, |key, part| hmac(&key, part));
        let is_whole = names.split(';').any(|name| name == "host") && date.starts_with(day);
        Some(key == KEY && is_whole && part("Signature=")? == hex(&hmac(&signing, &text)))
    };
    signed().unwrap_or(false)
}

/// HMAC of RFC 2104 over SHA-256.
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
