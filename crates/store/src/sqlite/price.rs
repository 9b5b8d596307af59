//! Imported prices.

use ::budget::{Prices, StoreError};
use async_trait::async_trait;
use money::Price;

use super::{Sqlite, load, row, save};

#[async_trait]
impl Prices for Sqlite {
    async fn put_prices(&self, prices: Vec<Price>) -> Result<(), StoreError> {
        let put = move |db: &rusqlite::Connection| {
            for price in &prices {
                let sql = "insert or replace into price (model, effective_from, price)
                    values (?1, ?2, ?3)";
                let text = serde_json::to_string(price).map_err(row::corrupt)?;
                let model: &str = price.model.as_ref();
                save::execute(db, sql, &[&model, &price.effective_from.to_string(), &text])?;
            }
            let sql = "insert into revision (name, number)
                values ('price', 1)
                on conflict (name) do update set number = number + 1";
            save::execute(db, sql, &[])?;
            Ok(())
        };
        self.writer.write(None, put).await
    }

    async fn prices(&self) -> Result<Vec<Price>, StoreError> {
        let sql = "select price from price order by model, effective_from";
        let read = |row: &rusqlite::Row<'_>| {
            let text: String = row::column(row, "price")?;
            serde_json::from_str(&text).map_err(row::corrupt)
        };
        self.readers.read(move |db| load::rows(db, sql, &[], read)).await
    }

    async fn prices_revision(&self) -> Result<u64, StoreError> {
        let sql = "select number from revision where name = 'price'";
        let read = |row: &rusqlite::Row<'_>| row::count(row, "number");
        let found = self.readers.read(move |db| load::rows(db, sql, &[], read)).await?;
        Ok(found.first().copied().unwrap_or_default())
    }
}
