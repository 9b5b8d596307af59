//! What drove the change from one month to another: price, usage, new, gone, discount.
//!
//! Owns the way a change is split. Per kind of charge (provider, service, region, SKU, unit,
//! currency), what is only in the later month is new, what is only in the earlier one is gone. For
//! the others, usage is the change of quantity at the earlier list price, price is the rest of the
//! change at list, and discount is the change of what the list price was reduced by. Where costs
//! are converted, the change of the rate is a part of its own, and the others are at the later
//! month's rate. Invariant: the parts of every line add up to its change, to the last digit.

use std::collections::BTreeMap;

use focus::cost::{AsOf, Compared, Heading, Month, Table, Value, ValueKind};
use focus::{Column, Decimal};

use crate::{
    functions::share,
    lake::{Answer, Lake},
    query::QueryError,
    rates::Exchange,
    report::{ReportError, filter, name, sql_of},
};

#[cfg(test)]
mod tests;

/// What kinds of charges are told apart by, beside the lines' own dimensions.
const KIND: [Column; 7] = [
    Column::ServiceProviderName,
    Column::ServiceName,
    Column::RegionId,
    Column::SkuId,
    Column::SkuPriceId,
    Column::ChargeCategory,
    Column::PricingUnit,
];

/// The parts of a change, in the order of the answer's columns.
const PARTS: [&str; 7] = ["Price", "Usage", "New", "Gone", "Discount", "Other", RATE];
/// The last one is there where costs are converted.
const RATE: &str = "Rate";

/// One month of one kind of charge.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    cost: Decimal,
    list: Decimal,
    quantity: Decimal,
}

/// A line's values, and both months of a kind.
type Pair = (Vec<Value>, Option<Side>, Option<Side>);
type Lines = BTreeMap<Vec<String>, Line>;

#[derive(Debug, Clone)]
struct Line {
    values: Vec<Value>,
    before: Decimal,
    after: Decimal,
    parts: [Decimal; PARTS.len()],
}

impl Lake {
    /// Splits the change between two months.
    pub fn diff<'a>(&'a self, compared: &'a Compared) -> Answer<'a, Result<Table, ReportError>> {
        Box::pin(async move {
            let version = self.state_at(compared.as_of).await?.version;
            let as_of = AsOf::version(version);
            let before = self.sql(&sql(compared, compared.before), &[], as_of).await?;
            let after = self.sql(&sql(compared, compared.after), &[], as_of).await?;
            let width = compared.by.len() + 1;
            let mut kinds: BTreeMap<Vec<String>, Pair> = BTreeMap::new();
            for (table, late) in [(before, false), (after, true)] {
                for row in table.rows {
                    let (key, side) = split(&row, width)?;
                    let kind =
                        kinds.entry(key).or_insert_with(|| (row[..width].to_vec(), None, None));
                    if late { kind.2 = Some(side) } else { kind.1 = Some(side) }
                }
            }
            let mut exchange = match &compared.currency {
                Some(currency) => Some(Exchange::open(currency, self.rates())?),
                None => None,
            };
            let mut lines: Lines = BTreeMap::new();
            for (mut key, (mut values, mut before, mut after)) in kinds {
                let mut moved = Decimal::ZERO;
                if let Some(exchange) = &mut exchange {
                    let from = std::mem::replace(&mut values[width - 1], exchange.value());
                    key[width - 1] = format!("={}", exchange.to);
                    let from = from.to_string();
                    if let Some(side) = &mut before {
                        let own = exchange.convert(side.cost, &from, compared.before)?;
                        *side = side.converted(exchange, &from, compared.after)?;
                        moved = side.cost.checked_sub(own).ok_or(ReportError::TooLarge)?;
                    }
                    if let Some(side) = &mut after {
                        *side = side.converted(exchange, &from, compared.after)?;
                    }
                }
                let line = lines.entry(key[..width].to_vec()).or_insert_with(|| Line {
                    values,
                    before: Decimal::ZERO,
                    after: Decimal::ZERO,
                    parts: [Decimal::ZERO; PARTS.len()],
                });
                add(line, before, after).ok_or(ReportError::TooLarge)?;
                line.rate(moved).ok_or(ReportError::TooLarge)?;
            }
            let mut table = table(compared, version, lines)?;
            table.rates = exchange.map(Exchange::used).unwrap_or_default();
            Ok(table)
        })
    }
}

impl Side {
    /// Its costs in another currency; what was used stays.
    fn converted(
        self,
        exchange: &mut Exchange,
        from: &str,
        month: Month,
    ) -> Result<Self, ReportError> {
        let cost = exchange.convert(self.cost, from, month)?;
        Ok(Self { cost, list: exchange.convert(self.list, from, month)?, ..self })
    }
}

impl Line {
    /// The earlier cost is at the later rate so far: it takes back what the rate has moved it by.
    fn rate(&mut self, moved: Decimal) -> Option<()> {
        let [.., rate] = &mut self.parts;
        *rate = rate.checked_add(moved)?;
        self.before = self.before.checked_sub(moved)?;
        Some(())
    }
}

fn sql(compared: &Compared, month: Month) -> String {
    let by = compared.by.iter().map(|dimension| sql_of(dimension, false));
    let currency = name(Column::BillingCurrency.name());
    let kind = KIND.iter().map(|column| name(column.name()));
    let keys: Vec<String> = by.chain([currency]).chain(kind).collect();
    let named: Vec<String> =
        keys.iter().enumerate().map(|(at, key)| format!("{key} as k{at}")).collect();
    let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
    let sums = [compared.basis.column(), Column::ListCost, Column::PricingQuantity];
    let sums: Vec<String> = sums
        .iter()
        .enumerate()
        .map(|(at, c)| format!("sum({}) as s{at}", name(c.name())))
        .collect();
    format!(
        "select {}, {} from focus_data_table {}group by {}",
        named.join(", "),
        sums.join(", "),
        filter(Some((month, month)), &compared.only, false),
        places.join(", ")
    )
}

/// The key, with null told apart from empty text, and the sums.
fn split(row: &[Value], width: usize) -> Result<(Vec<String>, Side), ReportError> {
    let keys = width + KIND.len();
    let [cost, list, quantity] = row.get(keys..).unwrap_or_default() else {
        return Err(QueryError::Plan("the answer has another width".into()).into());
    };
    let key = row[..keys].iter().map(|value| match value {
        Value::Null => String::new(),
        value => format!("={value}"),
    });
    let number = |value: &Value| value.as_decimal().unwrap_or_default();
    let side = Side { cost: number(cost), list: number(list), quantity: number(quantity) };
    Ok((key.collect(), side))
}

fn add(line: &mut Line, before: Option<Side>, after: Option<Side>) -> Option<()> {
    let [price, usage, new, gone, discount, other, _] = &mut line.parts;
    let (a, b) = (before.unwrap_or_default(), after.unwrap_or_default());
    line.before = line.before.checked_add(a.cost)?;
    line.after = line.after.checked_add(b.cost)?;
    match (before, after) {
        (None, _) => *new = new.checked_add(b.cost)?,
        (_, None) => *gone = gone.checked_sub(a.cost)?,
        (Some(_), Some(_)) => {
            let listed = b.list.checked_sub(a.list)?;
            let reduced = b.cost.checked_sub(b.list)?.checked_sub(a.cost.checked_sub(a.list)?)?;
            *discount = discount.checked_add(reduced)?;
            // The earlier list cost at the later quantity; without quantities nobody can tell.
            match share(a.list, b.quantity, a.quantity) {
                Some(at_new_quantity) => {
                    let used = at_new_quantity.checked_sub(a.list)?;
                    *usage = usage.checked_add(used)?;
                    *price = price.checked_add(listed.checked_sub(used)?)?;
                }
                None => *other = other.checked_add(listed)?,
            }
        }
    }
    Some(())
}

fn table(compared: &Compared, version: u64, lines: Lines) -> Result<Table, ReportError> {
    let text = |name: String| Heading { name, kind: ValueKind::Text };
    let amount = |name: String| Heading { name, kind: ValueKind::Decimal };
    let mut columns: Vec<Heading> = compared.by.iter().map(|by| text(by.to_string())).collect();
    columns.push(text(Column::BillingCurrency.name().to_owned()));
    columns.extend([compared.before, compared.after].map(|month| amount(month.to_string())));
    columns.push(amount("Change".into()));
    let parts = if compared.currency.is_some() { PARTS.len() } else { PARTS.len() - 1 };
    columns.extend(PARTS[..parts].iter().map(|part| amount((*part).into())));
    let mut sorted = Vec::new();
    for line in lines.into_values() {
        let change = line.after.checked_sub(line.before).ok_or(ReportError::TooLarge)?;
        let magnitude =
            if change.is_negative() { Decimal::ZERO.checked_sub(change) } else { Some(change) };
        let mut row = line.values;
        row.extend([line.before, line.after, change].map(Value::Decimal));
        row.extend(line.parts[..parts].iter().copied().map(Value::Decimal));
        sorted.push((magnitude.ok_or(ReportError::TooLarge)?, row));
    }
    // What changed most comes first, whichever way.
    sorted.sort_by(|(a, _), (b, _)| b.cmp(a));
    let rows = sorted.into_iter().map(|(_, row)| row).collect();
    Ok(Table { version, columns, rows, ..Table::default() })
}
