//! Who may depend on whom. The table below is the architecture; ARCHITECTURE.md explains it.

use std::collections::BTreeMap;

use super::Finding;

/// The ring a crate stands in. An arrow may only point inward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Word,
    Decision,
    Adapter,
    Wire,
    Door,
    Binary,
    Tool,
}

/// Every crate and its ring, in reading order.
const RINGS: &[(&str, Ring)] = &[
    ("money", Ring::Word),
    ("focus", Ring::Word),
    ("budget", Ring::Decision),
    ("forecast", Ring::Decision),
    ("plan", Ring::Decision),
    ("store", Ring::Adapter),
    ("lake", Ring::Adapter),
    ("aws", Ring::Adapter),
    ("k8s", Ring::Adapter),
    ("notify", Ring::Adapter),
    ("api", Ring::Wire),
    ("meter", Ring::Door),
    ("gateway", Ring::Door),
    ("server", Ring::Door),
    ("bursar", Ring::Binary),
    ("xtask", Ring::Tool),
];

/// What each outside system's libraries are called, and the only crate that may name them.
const WALLS: &[(&str, &str)] = &[
    ("rusqlite", "store"),
    ("tokio-postgres", "store"),
    ("deadpool-postgres", "store"),
    ("refinery", "store"),
    ("datafusion", "lake"),
    ("arrow", "lake"),
    ("parquet", "lake"),
    ("deltalake-core", "lake"),
    ("aws-config", "aws"),
    ("aws-sdk-", "aws"),
    ("aws-sigv4", "aws"),
    ("aws-credential-types", "aws"),
    ("aws-smithy-", "aws"),
    ("aws-types", "aws"),
    ("kube", "k8s"),
    ("k8s-openapi", "k8s"),
    ("lettre", "notify"),
    ("minijinja", "notify"),
];

/// Libraries with a clock, a socket or a disk behind them: nothing a word or a decision may name.
const OUTSIDE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "tower",
    "tower-http",
    "reqwest",
    "redis",
    "async-nats",
    "object_store",
    "metrics",
    "moka",
    "governor",
];

/// The longest path between our crates.
const CHAIN_MAX: usize = 6;
const TABLE: &str = "xtask/src/tidy/edges.rs";

/// A member as `cargo metadata` tells it.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

pub(super) struct Dependency {
    pub(super) name: String,
    /// Only for the crate's own tests.
    pub(super) dev: bool,
}

/// The members in a `cargo metadata` answer.
pub(super) fn members(metadata: &serde_json::Value) -> Option<Vec<Member>> {
    let packages = metadata["packages"].as_array()?;
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array()?;
            let dependencies = dependencies
                .iter()
                .map(|dependency| {
                    Some(Dependency {
                        name: dependency["name"].as_str()?.to_owned(),
                        dev: dependency["kind"].as_str() == Some("dev"),
                    })
                })
                .collect::<Option<_>>()?;
            Some(Member { name: package["name"].as_str()?.to_owned(), dependencies })
        })
        .collect()
}

pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let file = match member.name.as_str() {
            "xtask" => "xtask/Cargo.toml".to_owned(),
            name => format!("crates/{name}/Cargo.toml"),
        };
        let Some(ring) = ring(&member.name) else {
            let say = format!(
                "crate `{}` has no ring: a new crate needs a new wall or a new noun; add it to {TABLE}",
                member.name
            );
            findings.push(Finding::new(&file, 0, say));
            continue;
        };
        for dependency in &member.dependencies {
            if let Some(say) = refuse(&member.name, ring, dependency) {
                findings.push(Finding::new(&file, 0, say));
            }
        }
    }
    findings.extend(chain(members));
    findings
}

fn ring(name: &str) -> Option<Ring> {
    RINGS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, ring)| *ring)
}

/// Why `from` may not depend on `dependency`, if it may not.
fn refuse(from: &str, ring_from: Ring, dependency: &Dependency) -> Option<String> {
    let to = dependency.name.as_str();
    if let Some(ring_to) = ring(to) {
        // A client is tested against what it is a client of.
        if dependency.dev && ring_from == Ring::Door && to == "server" {
            return None;
        }
        return (!allowed(from, ring_from, to, ring_to)).then(|| {
            format!(
                "`{from}` ({ring_from:?}) may not depend on `{to}` ({ring_to:?}): {}",
                advice(ring_to)
            )
        });
    }
    let wall = WALLS.iter().find(|(library, _)| match library.ends_with('-') {
        true => to.starts_with(library),
        false => {
            to == *library || to.strip_prefix(library).is_some_and(|rest| rest.starts_with('-'))
        }
    });
    if let Some((_, owner)) = wall.filter(|(_, owner)| *owner != from) {
        return Some(format!("only `{owner}` may name `{to}`: ask it for what you need"));
    }
    let inner = matches!(ring_from, Ring::Word | Ring::Decision);
    if inner && !dependency.dev && OUTSIDE.contains(&to) {
        return Some(format!(
            "`{from}` decides and may not name `{to}`: take the fact as an argument"
        ));
    }
    let outermost = matches!(ring_from, Ring::Binary | Ring::Tool);
    if to == "anyhow" && !outermost {
        return Some(format!(
            "`{from}` may not name `anyhow`: give the operation its own error enum"
        ));
    }
    None
}

fn allowed(from: &str, ring_from: Ring, to: &str, ring_to: Ring) -> bool {
    match ring_from {
        Ring::Word => (from, to) == ("focus", "money"),
        Ring::Decision => ring_to == Ring::Word,
        Ring::Adapter | Ring::Wire => matches!(ring_to, Ring::Word | Ring::Decision),
        Ring::Door => matches!(ring_to, Ring::Word | Ring::Decision | Ring::Wire),
        Ring::Binary => ring_to != Ring::Tool,
        Ring::Tool => matches!(to, "store" | "budget" | "money" | "focus"),
    }
}

fn advice(to: Ring) -> &'static str {
    match to {
        Ring::Adapter => "hold a trait of a decision crate and let `bursar` hand the adapter in",
        Ring::Binary | Ring::Tool => "nothing depends on the outermost ring; move the code inward",
        Ring::Decision => "decisions stand apart; share a word in `focus` or pass the result along",
        _ => "the arrow points outward; move what you need inward",
    }
}

/// The longest chain of our crates, in crates.
fn chain(members: &[Member]) -> Option<Finding> {
    fn longest(name: &str, graph: &BTreeMap<&str, &Member>, fuel: usize) -> Vec<String> {
        let below = graph.get(name).filter(|_| fuel > 0).and_then(|member| {
            let ours = member.dependencies.iter().filter(|d| !d.dev);
            ours.filter(|d| graph.contains_key(d.name.as_str()))
                .map(|d| longest(&d.name, graph, fuel - 1))
                .max_by_key(Vec::len)
        });
        std::iter::once(name.to_owned()).chain(below.unwrap_or_default()).collect()
    }
    let graph: BTreeMap<_, _> = members.iter().map(|m| (m.name.as_str(), m)).collect();
    let worst =
        graph.keys().map(|name| longest(name, &graph, members.len())).max_by_key(Vec::len)?;
    (worst.len() > CHAIN_MAX).then(|| {
        let say = format!("{} is a chain of over {CHAIN_MAX} crates: cut it", worst.join(" → "));
        Finding::new("Cargo.toml", 0, say)
    })
}
