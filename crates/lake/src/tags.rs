//! How much of the cost is tagged.
use focus::Decimal;
use focus::cost::{Heading, Table, Tagged, Value, ValueKind};

use crate::{
    functions::share,
    lake::{Answer, Lake},
    report::{ReportError, filter, name, text},
};

impl Lake {
    /// Per tag and currency: the cost of charges that have it, the cost of all, and the share in
    /// percent. Without names, whether charges have any tag at all.
    pub fn tags<'a>(&'a self, asked: &'a Tagged) -> Answer<'a, Result<Table, ReportError>> {
        Box::pin(async move {
            let Tagged { tags, months, basis, only, as_of } = asked;
            let cost = name(basis.column().name());
            let mut looked: Vec<(String, String)> = tags
                .iter()
                .map(|tag| (tag.clone(), format!(r#""Tags" ->> {} is not null"#, text(tag))))
                .collect();
            if looked.is_empty() {
                looked.push(("(any)".into(), r#""Tags" is not null and "Tags" <> '{}'"#.into()));
            }
            let sums = looked.iter().enumerate().map(|(at, (_, condition))| {
                format!("sum(case when {condition} then {cost} else 0 end) as t{at}")
            });
            let filter = filter(*months, only, false);
            let sql = format!(
                r#"select "BillingCurrency", sum({cost}) as whole, {} from focus_data_table {filter}
               group by 1 order by 1"#,
                sums.collect::<Vec<_>>().join(", ")
            );
            let answer = self.sql(&sql, &[], *as_of).await?;
            let heading = |name: &str, kind| Heading { name: name.to_owned(), kind };
            let columns = vec![
                heading("Tag", ValueKind::Text),
                heading("BillingCurrency", ValueKind::Text),
                heading("Tagged", ValueKind::Decimal),
                heading("Whole", ValueKind::Decimal),
                heading("Percent", ValueKind::Decimal),
            ];
            let mut rows = Vec::new();
            for row in &answer.rows {
                let whole = row.get(1).and_then(Value::as_decimal).unwrap_or_default();
                for ((tag, _), tagged) in looked.iter().zip(row.iter().skip(2)) {
                    let tagged = tagged.as_decimal().unwrap_or_default();
                    let percent = share(Decimal::new(100, 0), tagged, whole);
                    rows.push(vec![
                        Value::Text(tag.clone()),
                        row[0].clone(),
                        Value::Decimal(tagged),
                        Value::Decimal(whole),
                        percent.map_or(Value::Null, |percent| Value::Decimal(percent.rounded(2))),
                    ]);
                }
            }
            Ok(Table { version: answer.version, columns, rows, ..Table::default() })
        })
    }
}
