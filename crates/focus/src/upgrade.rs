//! How a bill of an older FOCUS version becomes one of 1.4: one rule per column and version.
//!
//! Owns the [`Rule`]s and the plan that a file's header makes of them. Knows nothing of files or
//! of how rows are moved. Invariant: no rule changes an amount, and none invents a fact; where
//! 1.4 wants what an older version doesn't tell, the column is null or follows from what the
//! specification itself says.
//!
//! Sources: the specification's CHANGELOG.md and
//! `supporting_content/appendix/version_migration_guidance.md`; each rule tells its reason.

use crate::{
    Column, Condition, Detected, Expression, Field, Fields, Former, Record, Rewrite, Version, value,
};

#[cfg(test)]
mod tests;

/// How a column of 1.4 comes from a version's columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The column is the same.
    Same,
    /// It is another column of that version.
    From(Former),
    /// The version doesn't tell it.
    Null,
    /// It follows from that version's columns.
    Derived(Expression),
}

/// A rule and why it is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Upgrade {
    /// The column of 1.4.
    pub column: Column,
    /// How it comes about.
    pub rule: Rule,
    /// Why.
    pub reason: &'static str,
}

impl Upgrade {
    /// What the column is made of, by the version's own names.
    pub fn expression(&self) -> Expression {
        match self.rule {
            Rule::Same => Expression::Field(self.column.name()),
            Rule::From(former) => Expression::Field(former.name()),
            Rule::Null => Expression::Null,
            Rule::Derived(expression) => expression,
        }
    }
}

/// The rule of a column for bills of a version.
pub fn rule(version: Version, column: Column) -> Upgrade {
    let (rule, reason) = special(version, column).unwrap_or(if column.since() <= version {
        (Rule::Same, "the column is the same in 1.4")
    } else {
        (Rule::Null, "the version has no such column and nothing in it tells the value")
    });
    Upgrade { column, rule, reason }
}

/// What a file becomes: the 65 columns of 1.4 in order, then the columns that are kept beside.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The version that the file is of.
    pub version: Version,
    /// How each column of 1.4 comes about.
    pub columns: Vec<Upgrade>,
    /// Whether each column of 1.4 comes from one that the file has; where not, all rows are null
    /// and nothing is required of them.
    pub given: Vec<bool>,
    /// Columns kept as they are: their place in the file and the name that they get.
    pub kept: Vec<(usize, String)>,
}

/// The plan for a file with this header. Stray and doubled columns are not kept: whether a file
/// that has them is taken is for its reader to decide.
pub fn plan<S: AsRef<str>>(header: &[S], detected: &Detected) -> Plan {
    let columns = Column::ALL.iter().map(|column| rule(detected.version, *column));
    let columns: Vec<Upgrade> = columns.collect();
    let names: Vec<&str> = detected.fields.iter().filter_map(Field::name).collect();
    let given =
        |upgrade: &Upgrade| upgrade.expression().reads().iter().any(|name| names.contains(name));
    let given = columns.iter().map(given).collect();
    let fields = header.iter().zip(&detected.fields).enumerate();
    let kept = fields.filter_map(|(at, (name, field))| match field {
        Field::Custom => Some((at, crate::header::plain(name.as_ref()).to_owned())),
        Field::Former(former) => Some((at, former.kept_as().to_owned())),
        Field::Focus(_) | Field::Unknown | Field::Duplicate => None,
    });
    Plan { version: detected.version, columns, given, kept: kept.collect() }
}

impl Plan {
    /// Whether the column comes from one that the file has.
    pub fn gives(&self, column: Column) -> bool {
        self.given[column.index()]
    }

    /// One row of the file as a row of 1.4.
    pub fn record<R: Fields + ?Sized>(&self, source: &R) -> Record {
        Record::new(|column| self.columns[column.index()].expression().text(source))
    }
}

const PROVIDER: Expression = Expression::Field("ProviderName");

fn special(version: Version, column: Column) -> Option<(Rule, &'static str)> {
    let before = |first: Version| version < first;
    Some(match column {
        Column::ServiceProviderName if before(Version::V1_3) => (
            Rule::From(Former::ProviderName),
            "1.3 put ServiceProviderName in the place of ProviderName; the seller of a \
             marketplace stays readable in x_PublisherName",
        ),
        Column::HostProviderName if before(Version::V1_3) => (
            Rule::From(Former::ProviderName),
            "1.4 wants the host to equal the service provider where no host is exposed, and \
             before 1.3 none is",
        ),
        Column::ServiceProviderName if before(Version::V1_4) => (
            Rule::Derived(Expression::First(&[Expression::Field("ServiceProviderName"), PROVIDER])),
            "1.3 has both columns; the older one speaks where the newer is empty",
        ),
        Column::ServiceSubcategory if before(Version::V1_4) => (
            Rule::Derived(SUBCATEGORY),
            "1.1 added the column, which has no nulls; every category has an Other (…) for \
             what isn't told",
        ),
        Column::PricingCurrency if before(Version::V1_4) => (
            Rule::Derived(Expression::First(&[
                Expression::Field("PricingCurrency"),
                Expression::Field("BillingCurrency"),
            ])),
            "prices are in the billing currency unless the bill tells another",
        ),
        Column::PricingCurrencyEffectiveCost if before(Version::V1_4) => (
            Rule::Derived(PRICED_EFFECTIVE_COST),
            "the same amount where pricing and billing currency are one; no rate is invented \
             where they are not",
        ),
        Column::ContractApplied if version == Version::V1_3 => (
            Rule::Derived(Expression::Rewritten(
                Rewrite::ContractApplied,
                &Expression::Field("ContractApplied"),
            )),
            "1.4 gave the column's JSON a schema: Id for ID, and a cost or a quantity, not both",
        ),
        _ => return None,
    })
}

const SUBCATEGORY: Expression = Expression::First(&[
    Expression::Field("ServiceSubcategory"),
    Expression::Joined(&[
        Expression::Text("Other ("),
        Expression::Field("ServiceCategory"),
        Expression::Text(")"),
    ]),
]);

const PRICED_EFFECTIVE_COST: Expression = Expression::First(&[
    Expression::Field("PricingCurrencyEffectiveCost"),
    Expression::Case(
        &[(
            Condition::Any(&[
                Condition::Null("PricingCurrency"),
                Condition::Same("PricingCurrency", "BillingCurrency"),
            ]),
            Expression::Field("EffectiveCost"),
        )],
        &Expression::Null,
    ),
]);

/// `ContractApplied` of 1.3 as 1.4 writes it; `None` where the text isn't of 1.3's form.
///
/// * `ContractID` and `ContractCommitmentID`, which 1.3 printed before its third erratum, become
///   `ContractId` and `ContractCommitmentId`; beside those, they are kept under `x_` names.
/// * 1.4 lets an element tell a cost or a quantity, not both (`ContractAppliedObjectSchema`,
///   `oneOf`). Of an element with both, the cost stays, which reconciles; quantity and unit are
///   kept under `x_` names.
pub fn contract_applied(text: &str) -> Option<String> {
    let mut members = value::members(text).ok()?;
    let (_, elements) = members.iter_mut().find(|(key, _)| key == "Elements")?;
    let rewritten: Option<Vec<String>> =
        value::elements(elements)?.iter().map(|element| contract_element(element.get())).collect();
    *elements = format!("[{}]", rewritten?.join(","));
    Some(value::object(&members))
}

fn contract_element(text: &str) -> Option<String> {
    const QUANTITY: [&str; 2] =
        ["ContractCommitmentAppliedQuantity", "ContractCommitmentAppliedUnit"];
    let mut members = value::members(text).ok()?;
    let tells = |name: &str| members.iter().any(|(key, value)| key == name && value != "null");
    let both = tells("ContractCommitmentAppliedCost") && QUANTITY.into_iter().any(tells);
    let keys: Vec<String> = members.iter().map(|(key, _)| key.clone()).collect();
    // No key may stand twice: where both spellings are, the former one is kept beside.
    let renamed = |former: &str, name: &str| match keys.iter().any(|key| key == name) {
        true => format!("x_{former}"),
        false => name.to_owned(),
    };
    for (key, _) in &mut members {
        match key.as_str() {
            "ContractID" => *key = renamed("ContractID", "ContractId"),
            "ContractCommitmentID" => {
                *key = renamed("ContractCommitmentID", "ContractCommitmentId");
            }
            name if both && QUANTITY.contains(&name) => *key = format!("x_{name}"),
            _ => {}
        }
    }
    Some(value::object(&members))
}
