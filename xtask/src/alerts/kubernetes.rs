//! The rules and routes in Kubernetes: the very bytes that are tested.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{shell, workspace};

/// A PrometheusRule, and the plain file that it is made of.
pub(crate) struct Made {
    pub(crate) path: &'static str,
    pub(crate) of: &'static str,
    name: &'static str,
}

/// All of them.
pub(crate) const MADE: [Made; 3] = [
    Made {
        path: "deploy/kubernetes/alerts-operator/finops-alerts.prometheusrule.yaml",
        of: "deploy/prometheus/finops-alerts.yaml",
        name: "bursar-finops-alerts",
    },
    Made {
        path: "deploy/kubernetes/alerts-operator/gateway.prometheusrule.yaml",
        of: "deploy/prometheus/gateway.rules.yml",
        name: "bursar-gateway",
    },
    Made {
        path: "deploy/kubernetes/alerts-operator/service.prometheusrule.yaml",
        of: "deploy/prometheus/service.rules.yml",
        name: "bursar-service",
    },
];

/// What each ConfigMap holds.
const CONFIG_MAPS: [(&str, &[&str]); 2] = [
    (
        "bursar-alert-rules",
        &[
            "deploy/prometheus/finops-alerts.yaml",
            "deploy/prometheus/gateway.rules.yml",
            "deploy/prometheus/service.rules.yml",
        ],
    ),
    (
        "bursar-alertmanager",
        &["deploy/alertmanager/alertmanager.yaml", "deploy/alertmanager/bursar.tmpl"],
    ),
];

/// The PrometheusRule of a plain file: the same lines, further in.
pub(crate) fn prometheus_rule(made: &Made, plain: &str) -> String {
    let mut text = format!(
        "# Made of {} by `cargo xtask alerts --write`: change that one.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: {}\n  \
         labels:\n    app.kubernetes.io/name: bursar\nspec:\n",
        made.of, made.name
    );
    for line in plain.lines() {
        if !line.is_empty() {
            text.push_str("  ");
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

pub(super) fn write() -> Result<()> {
    for made in &MADE {
        let text = prometheus_rule(made, &read(made.of)?);
        std::fs::write(workspace::root().join(made.path), text)
            .with_context(|| format!("failed to write {}", made.path))?;
    }
    Ok(())
}

/// What is read of anything in Kubernetes.
#[derive(Deserialize)]
struct Object {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
    spec: Option<serde_yaml_ng::Value>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

/// Fails where kustomize makes other rules or routes than those that are tested.
pub(super) fn check() -> Result<()> {
    if shell::which("kubectl").is_none() {
        shell::apt_install(&["kubernetes-client"])?;
    }
    let plain = built("deploy/kubernetes/alerts")?;
    ensure!(plain.len() == CONFIG_MAPS.len(), "{} objects instead of ConfigMaps", plain.len());
    for (name, files) in CONFIG_MAPS {
        let found = plain.iter().find(|object| object.metadata.name == name);
        let map = found.with_context(|| format!("there is no ConfigMap {name}"))?;
        ensure!(map.data.len() == files.len(), "{name} has other files than {files:?}");
        for file in files {
            let key = file.rsplit('/').next().unwrap_or(file);
            let same = map.data.get(key) == Some(&read(file)?);
            ensure!(same, "{name} has not the bytes of {file}");
        }
    }
    let objects = built("deploy/kubernetes/alerts-operator")?;
    ensure!(objects.len() == MADE.len(), "{} objects instead of PrometheusRules", objects.len());
    for made in &MADE {
        let rule = objects.iter().find(|object| object.metadata.name == made.name);
        let rule = rule.filter(|object| object.kind == "PrometheusRule");
        let rule = rule.with_context(|| format!("there is no PrometheusRule {}", made.name))?;
        let plain: serde_yaml_ng::Value = serde_yaml_ng::from_str(&read(made.of)?)?;
        ensure!(rule.spec.as_ref() == Some(&plain), "{} is not {}", made.name, made.of);
    }
    Ok(())
}

/// What kustomize makes of a folder.
fn built(folder: &str) -> Result<Vec<Object>> {
    let mut kustomize = Command::new("kubectl");
    kustomize.current_dir(workspace::root()).args(["kustomize", folder]);
    let text = shell::output(&mut kustomize)?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    documents
        .map(|document| Object::deserialize(document).context("failed to read what kustomize made"))
        .collect()
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(workspace::root().join(Path::new(path)))
        .with_context(|| format!("failed to read {path}"))
}
