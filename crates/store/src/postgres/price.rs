//! Imported prices.

use ::budget::{Prices, StoreError};
use async_trait::async_trait;
use money::Price;

use super::{Postgres, row, unavailable};

const PUT: &str = "
insert into price (model, effective_from, price)
select
    new.model,
    new.effective_from,
    new.price::jsonb
from unnest($1::text[], $2::date[], $3::text[]) as new (model, effective_from, price)
on conflict (model, effective_from) do update
set price = excluded.price";

#[async_trait]
impl Prices for Postgres {
    async fn put_prices(&self, prices: Vec<Price>) -> Result<(), StoreError> {
        // Of two with one model and date, the later is kept; a statement may name each but once.
        let latest: std::collections::BTreeMap<_, _> = prices
            .iter()
            .map(|price| ((price.model.as_str(), price.effective_from), price))
            .collect();
        let (models, dates): (Vec<_>, Vec<_>) = latest.keys().copied().unzip();
        let texts: Vec<String> = latest
            .values()
            .map(|price| serde_json::to_string(price).map_err(row::corrupt))
            .collect::<Result<_, _>>()?;
        let mut db = self.pool.get().await?;
        let step = db.transaction().await.map_err(unavailable)?;
        let count = "update upkeep set prices_revision = prices_revision + 1";
        step.execute(count, &[]).await.map_err(unavailable)?;
        step.execute(PUT, &[&models, &dates, &texts]).await.map_err(unavailable)?;
        step.commit().await.map_err(unavailable)
    }

    async fn prices(&self) -> Result<Vec<Price>, StoreError> {
        let sql = "select price::text as price from price order by model, effective_from";
        let found = self.pool.query(sql, &[]).await?;
        let read = |found: &tokio_postgres::Row| {
            serde_json::from_str(row::column(found, "price")?).map_err(row::corrupt)
        };
        found.iter().map(read).collect()
    }

    async fn prices_revision(&self) -> Result<u64, StoreError> {
        let found = self.pool.query("select prices_revision from upkeep", &[]).await?;
        found.first().map_or(Ok(0), |found| row::count(found, "prices_revision"))
    }
}
