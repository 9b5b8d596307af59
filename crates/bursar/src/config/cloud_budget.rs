//! `[cost.budget.NAME]`: a budget for cloud cost.

use budget::{CloudBudget, CloudPeriod, Thresholds, Watched};
use focus::{
    Decimal,
    cost::{Basis, Dimension},
};
use jiff::Timestamp;

use super::{Fault, Source, file::TableText, value::parsed};

/// The keys of a budget's table.
const KEYS: &str = "limit, only, basis, currency, period, thresholds";

#[derive(Default)]
struct Fields {
    limit: Option<Decimal>,
    only: Vec<(Dimension, String)>,
    basis: Basis,
    currency: Option<String>,
    period: CloudPeriod,
    thresholds: Thresholds,
}

/// What a table means; `None` where something is wrong with it. When the budget was set is for
/// whoever sets it to say.
pub(super) fn read(written: &TableText, faults: &mut Vec<Fault>) -> Option<CloudBudget> {
    let before = faults.len();
    let table = format!("cost.budget.{}", written.name);
    let mut fault = |source: &Source, key: String, message: String| {
        faults.push(Fault { source: source.clone(), key: Some(key), message });
    };
    let mut fields = Fields::default();
    for (key, source, text) in &written.fields {
        if let Err(message) = fields.set(key, text) {
            fault(source, format!("{table}.{key}"), message);
        }
    }
    let named = |wanted: &str| written.fields.iter().any(|(key, _, _)| key == wanted);
    if !named("limit") {
        fault(&written.source, table.clone(), "limit is missing".to_owned());
    }
    if faults.len() > before {
        return None;
    }
    let Fields { limit, only, basis, currency, period, thresholds } = fields;
    let watched = Watched::new(only, basis, currency.as_deref().unwrap_or("USD"), period);
    let budget = watched.and_then(|watched| {
        let limit = limit.unwrap_or_default();
        CloudBudget::new(&written.name, watched, limit, Timestamp::UNIX_EPOCH)
    });
    match budget {
        Ok(budget) => Some(CloudBudget { thresholds, ..budget }),
        Err(error) => {
            let (source, message) = (written.source.clone(), error.to_string());
            faults.push(Fault { source, key: Some(table), message });
            None
        }
    }
}

impl Fields {
    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "limit" => {
                let limit = Decimal::parse(text);
                self.limit = Some(limit.ok_or_else(|| format!("{text:?} is no amount"))?);
            }
            "basis" => self.basis = text.parse().map_err(say)?,
            "currency" => self.currency = Some(text.to_owned()),
            "period" => self.period = text.parse().map_err(say)?,
            "thresholds" => {
                let percents = text.split(',').map(|part| parsed(part, "whole percentages"));
                let percents = percents.collect::<Result<_, _>>()?;
                self.thresholds = Thresholds::new(percents).map_err(say)?;
            }
            "only" => return Err("must be a table, as { service = \"AmazonEC2\" }".to_owned()),
            _ => {
                let name = key.strip_prefix("only.");
                let name = name.ok_or_else(|| format!("unknown; there are {KEYS}"))?;
                let dimension: Dimension = name.parse().map_err(say)?;
                self.only.push((dimension, text.to_owned()));
            }
        }
        Ok(())
    }
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}
