//! The routes in `deploy/alertmanager`: where every alert goes in every severity, what mutes what in a running
//! Alertmanager, and what its messages read like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::rules::{File, SEVERITIES};
use crate::workspace::{Folder, Process};
use crate::{shell, workspace};

/// Who is told, by severity; what has none goes where warnings go.
const RECEIVERS: [(&str, &str); 4] = [
    ("info", "digest"),
    ("warning", "engineering"),
    ("critical", "oncall,leadership"),
    ("", "engineering"),
];

/// Critical alerts, and the warnings that nobody has to hear of beside them.
const CRITICAL: [&str; 3] = [
    "AIBudgetExceeded tenant_id=acme model=gpt-4o",
    "AIBudgetExceeded tenant_id=globex model=*",
    "BudgetExceededCritical budget=web currency=USD period=month",
];
const MUTED: [&str; 6] = [
    "AIBudgetWarning tenant_id=acme model=gpt-4o",
    "AIBudgetWarning tenant_id=globex model=*",
    "AIBudgetWarning tenant_id=globex model=gpt-4o",
    "AITokenAnomaly tenant_id=globex",
    "BudgetExceeded80Percent budget=web currency=USD period=month",
    "ForecastExceedsBudget budget=web currency=USD period=month",
];
/// Warnings that are about something else, or about nothing that the critical ones name.
const HEARD: [&str; 11] = [
    "AIBudgetWarning tenant_id=acme model=*",
    "AIBudgetWarning tenant_id=acme model=o3",
    "AIBudgetWarning tenant_id=initech model=gpt-4o",
    "AITokenAnomaly tenant_id=acme",
    "BudgetExceeded80Percent budget=web currency=USD period=quarter",
    "BudgetExceeded80Percent budget=data currency=USD period=month",
    "ForecastExceedsBudget budget=data currency=USD period=month",
    "TotalAISpendHigh",
    "ClickHouseDiskHigh disk=default",
    "CloudCostSpike provider=AWS currency=USD",
    "FinOpsDataStale data=bursar",
];

pub(super) fn check(rules: &File) -> Result<()> {
    shell::run(amtool().arg("check-config").arg(config()))?;
    let mut count = 0;
    for (alert, labels) in rules.alerts() {
        for (severity, receivers) in RECEIVERS {
            let mut test = amtool();
            test.args(["config", "routes", "test", "--config.file"]).arg(config());
            test.arg(format!("--verify.receivers={receivers}")).arg(format!("alertname={alert}"));
            let team = labels.get("team").map_or("", String::as_str);
            test.arg(format!("team={team}")).arg(format!("severity={severity}"));
            shell::output(&mut test)
                .with_context(|| format!("{alert} of {severity} is not routed to {receivers}"))?;
            count += 1;
        }
    }
    let known: BTreeSet<&str> = RECEIVERS.iter().map(|(severity, _)| *severity).collect();
    ensure!(SEVERITIES.iter().all(|severity| known.contains(severity)), "a severity has no route");
    println!("{count} routes lead where they should");
    messages()?;
    mute()
}

fn folder() -> PathBuf {
    workspace::root().join("deploy").join("alertmanager")
}

fn config() -> PathBuf {
    folder().join("alertmanager.yaml")
}

fn amtool() -> Command {
    Command::new("amtool")
}

/// What each text has to say, and what none may: names come from tenants.
fn messages() -> Result<()> {
    let alert = |status: &str, model: &str| {
        json!({
            "status": status,
            "labels": { "alertname": "AIBudgetExceeded", "severity": "critical",
                "team": "ai-platform", "tenant_id": "a<b>&co", "model": model },
            "annotations": { "summary": format!("Tenant a<b>&co is refused for {model}"),
                "description": "97.00 of 100.00 USD are spent.",
                "runbook_url": "docs/runbooks/ai-budget.md#aibudgetexceeded" },
            "startsAt": "2026-11-26T10:00:00Z", "endsAt": "2026-11-26T10:10:00Z",
            "generatorURL": "http://prometheus.example/graph?g0.expr=x&g0.tab=1",
        })
    };
    let common = json!({ "alertname": "AIBudgetExceeded", "severity": "critical",
        "team": "ai-platform" });
    let data = json!({
        "receiver": "leadership", "status": "firing",
        "alerts": [alert("firing", "gpt-4o"), alert("resolved", "o3")],
        "groupLabels": { "alertname": "AIBudgetExceeded" }, "commonLabels": common,
        "commonAnnotations": { "runbook_url": "docs/runbooks/ai-budget.md#aibudgetexceeded" },
        "externalURL": "http://alertmanager.example",
    });
    let here = Folder::fresh("alerts")?;
    let file = here.0.join("data.json");
    std::fs::write(&file, data.to_string()).context("failed to write a message's data")?;
    let runbook = "https://bursar.example/docs/runbooks/ai-budget.md#aibudgetexceeded";
    let href = format!("href=\"{runbook}\"");
    let cases: [(&str, &str, &[&str]); 4] = [
        ("bursar.subject", "text", &["CRITICAL: Tenant a<b>&co is refused for gpt-4o"]),
        ("bursar.runbook", "text", &[runbook]),
        (
            "bursar.text",
            "text",
            &["97.00 of 100.00 USD", "tenant_id: a<b>&co", "No longer so", runbook],
        ),
        (
            "bursar.html",
            "html",
            &["97.00 of 100.00 USD", "a&lt;b&gt;&amp;co", "No longer so", &href, "viewport"],
        ),
    ];
    for (name, kind, wanted) in cases {
        let mut render = amtool();
        render.args(["template", "render", "--template.type", kind, "--template.data"]).arg(&file);
        render.arg("--template.glob").arg(folder().join("bursar.tmpl"));
        render.arg("--template.text").arg(format!("{{{{ template \"{name}\" . }}}}"));
        let text = shell::output(&mut render)?;
        for wanted in wanted {
            ensure!(text.contains(wanted), "{name} does not say `{wanted}`:\n{text}");
        }
        for unwanted in ["<no value>", "ZgotmplZ"] {
            ensure!(!text.contains(unwanted), "{name} says `{unwanted}`:\n{text}");
        }
        ensure!(kind != "html" || !text.contains("a<b>"), "{name} takes a name for HTML:\n{text}");
    }
    Ok(())
}

/// How long the alerts may take to be known to each other.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// Fails where a running Alertmanager mutes other warnings than those that are said already.
fn mute() -> Result<()> {
    let here = Folder::fresh("alertmanager")?;
    let port = shell::free_port()?;
    let url = format!("--alertmanager.url=http://127.0.0.1:{port}");
    let log_path = here.0.join("log");
    let log = std::fs::File::create(&log_path).context("failed to create a log")?;
    // Debian has a name of its own for it.
    let program = ["alertmanager", "prometheus-alertmanager"].into_iter();
    let program = program.filter_map(shell::which).next().context("there is no alertmanager")?;
    let mut command = Command::new(program);
    command.arg("--config.file").arg(config()).arg("--storage.path").arg(&here.0);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let _running = Process(command.spawn().context("failed to start Alertmanager")?);
    wait(|| Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()))
        .with_context(|| format!("Alertmanager does not listen: {}", shell::tail(&log_path)))?;
    for (severity, alerts) in
        [("warning", &HEARD[..]), ("warning", &MUTED[..]), ("critical", &CRITICAL[..])]
    {
        for alert in alerts {
            let mut add = amtool();
            add.args([&url, "alert", "add"]).arg(format!("severity={severity}"));
            let (name, labels) = alert.split_once(' ').unwrap_or((alert, ""));
            add.arg(format!("alertname={name}")).args(labels.split_whitespace());
            shell::output(&mut add)?;
        }
    }
    let wanted: BTreeSet<String> = MUTED.iter().map(|alert| sorted(alert)).collect();
    let mut found = BTreeSet::new();
    let met = wait(|| {
        found = muted(&url)?;
        Ok(found == wanted)
    });
    if met.is_err() {
        bail!("Alertmanager mutes {found:#?}, and should mute {wanted:#?}");
    }
    println!("{} warnings are muted and {} are heard", MUTED.len(), HEARD.len());
    Ok(())
}

fn wait(mut met: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !met()? {
        ensure!(started.elapsed() < PATIENCE, "it did not come in {} s", PATIENCE.as_secs());
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// The alerts that are muted by others, as they are written above.
fn muted(url: &str) -> Result<BTreeSet<String>> {
    let mut query = amtool();
    query.args([url, "alert", "query", "--inhibited", "-o", "json"]);
    let text = shell::output(&mut query)?;
    let alerts: serde_json::Value = serde_json::from_str(&text)?;
    let alerts = alerts.as_array().context("amtool tells no list of alerts")?.iter();
    let is_muted = |alert: &&serde_json::Value| alert["status"]["state"] == "suppressed";
    alerts
        .filter(is_muted)
        .map(|alert| {
            let mut labels: BTreeMap<String, String> =
                serde_json::from_value(alert["labels"].clone())?;
            labels.remove("severity");
            let name = labels.remove("alertname").unwrap_or_default();
            let labels = labels.iter().map(|(label, value)| format!("{label}={value}"));
            Ok(sorted(&std::iter::once(name).chain(labels).collect::<Vec<_>>().join(" ")))
        })
        .collect()
}

/// An alert with its labels in order.
fn sorted(alert: &str) -> String {
    let mut words: Vec<&str> = alert.split_whitespace().collect();
    if let Some(labels) = words.get_mut(1..) {
        labels.sort_unstable();
    }
    words.join(" ")
}
