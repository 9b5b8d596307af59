//! Invoices against the lake, per invoice id, to the cent.
//!
//! Owns the reading of an invoice's lines and the verdict on each id. Invariant: nothing is rounded
//! but the lake's exact sum, once, to the digits that the invoice has.

use focus::Decimal;
use focus::cost::{Heading, InvoiceLine, Invoices, Table, Value, ValueKind};
use std::{collections::BTreeMap, path::Path};

use crate::{
    lake::{Answer, Lake},
    report::{ReportError, text},
};

#[cfg(test)]
mod tests;

/// Digits after the point of an invoice that shows fewer.
const CENTS: u8 = 2;

/// Names that the three columns have in invoices and exports.
const INVOICE: &[&str] = &["invoiceid", "invoice id", "invoice", "invoice number"];
const CURRENCY: &[&str] = &["billingcurrency", "currency", "invoice currency"];
const AMOUNT: &[&str] =
    &["billedcost", "amount", "total", "invoiceamount", "invoice amount", "cost"];

/// Reads an invoice: CSV with its id, currency and amount; lines of one id are added up.
pub fn read_invoice(path: &Path) -> Result<Vec<InvoiceLine>, ReportError> {
    let fault =
        |line, say: String| ReportError::Invoice { file: path.display().to_string(), line, say };
    let bytes = std::fs::read(path).map_err(|error| fault(0, error.to_string()))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| fault(1, error.to_string()))?.clone();
    let place = |names: &[&str]| {
        let found = header.iter().position(|name| names.contains(&name.to_lowercase().as_str()));
        found.ok_or_else(|| fault(1, format!("no column named one of {}", names.join(", "))))
    };
    let (invoice, currency, amount) = (place(INVOICE)?, place(CURRENCY)?, place(AMOUNT)?);
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| fault(0, error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default();
        let parsed = Decimal::parse(field(amount))
            .ok_or_else(|| fault(line, format!("{:?} is no amount", field(amount))))?;
        lines.push(InvoiceLine {
            invoice: field(invoice).to_owned(),
            currency: field(currency).to_owned(),
            amount: parsed,
        });
    }
    Ok(lines)
}

impl Lake {
    /// Compares invoices with the billed cost that the lake has under their ids. With an issuer,
    /// ids that the lake has and the invoices have not are told too.
    pub fn reconcile<'a>(
        &'a self,
        invoices: &'a Invoices,
    ) -> Answer<'a, Result<Table, ReportError>> {
        Box::pin(async move {
            let Invoices { lines, issuer, as_of } = invoices;
            let mut invoiced: BTreeMap<(String, String), Decimal> = BTreeMap::new();
            for line in lines {
                let sum =
                    invoiced.entry((line.invoice.clone(), line.currency.clone())).or_default();
                *sum = sum.checked_add(line.amount).ok_or(ReportError::TooLarge)?;
            }
            let filter = match issuer {
                Some(issuer) => format!(r#"where "InvoiceIssuerName" = {} "#, text(issuer)),
                None => String::new(),
            };
            let sql = format!(
                r#"select "InvoiceId", "BillingCurrency", sum("BilledCost") from focus_data_table
               {filter}group by 1, 2"#
            );
            let answer = self.sql(&sql, &[], *as_of).await?;
            let mut charged: BTreeMap<(String, String), Decimal> = BTreeMap::new();
            for row in &answer.rows {
                if let [invoice, currency, cost] = row.as_slice() {
                    let key = (invoice.to_string(), currency.to_string());
                    charged.insert(key, cost.as_decimal().unwrap_or_default());
                }
            }
            let mut rows = Vec::new();
            for (key, amount) in &invoiced {
                let exact = charged.remove(key);
                rows.push(line(key, Some(*amount), exact)?);
            }
            if issuer.is_some() {
                for (key, exact) in charged {
                    rows.push(line(&key, None, Some(exact))?);
                }
            }
            let columns = headings();
            Ok(Table { version: answer.version, columns, rows, ..Table::default() })
        })
    }
}

fn headings() -> Vec<Heading> {
    let heading = |name: &str, kind| Heading { name: name.to_owned(), kind };
    vec![
        heading("InvoiceId", ValueKind::Text),
        heading("BillingCurrency", ValueKind::Text),
        heading("Invoice", ValueKind::Decimal),
        heading("Lake", ValueKind::Decimal),
        heading("LakeExact", ValueKind::Decimal),
        heading("Difference", ValueKind::Decimal),
        heading("Verdict", ValueKind::Text),
    ]
}

fn line(
    (invoice, currency): &(String, String),
    amount: Option<Decimal>,
    exact: Option<Decimal>,
) -> Result<Vec<Value>, ReportError> {
    let digits = amount.map_or(CENTS, |amount| amount.printed().max(CENTS));
    let rounded = exact.map(|exact| exact.rounded(digits));
    let difference = rounded
        .unwrap_or_default()
        .checked_sub(amount.unwrap_or_default())
        .ok_or(ReportError::TooLarge)?;
    let verdict = match (amount, rounded) {
        (Some(_), None) => "missing in the lake",
        (None, _) => "on no invoice",
        _ if difference == Decimal::ZERO => "equal",
        _ if difference.is_negative() => "the lake has less",
        _ => "the lake has more",
    };
    let value = |amount: Option<Decimal>| amount.map_or(Value::Null, Value::Decimal);
    let id = if invoice.is_empty() { Value::Null } else { Value::Text(invoice.clone()) };
    Ok(vec![
        id,
        Value::Text(currency.clone()),
        value(amount),
        value(rounded),
        value(exact),
        Value::Decimal(difference),
        Value::Text(verdict.to_owned()),
    ])
}
