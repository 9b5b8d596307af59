//! One file for each command: what may be typed after it, and what it does.

pub mod backup;
pub mod budget;
pub mod completions;
pub mod config;
pub mod cost;
pub mod demo;
pub(crate) mod door;
pub mod gateway;
pub mod key;
pub mod ledger;
pub mod man;
pub mod notify;
pub mod prices;
pub mod replay;
pub mod reservation;
pub mod restore;
pub mod serve;
#[cfg(test)]
mod tests;

/// Reads every page of a list.
///
/// `next` is given the cursor of the last row so far; a page that is not full is the last.
pub(crate) async fn all_pages<T, C>(
    cursor: impl Fn(&T) -> C,
    mut next: impl AsyncFnMut(::budget::Page<C>) -> Result<Vec<T>, ::budget::StoreError>,
) -> anyhow::Result<Vec<T>> {
    const PAGE: usize = 1_000;
    let mut all: Vec<T> = Vec::new();
    loop {
        let after = all.last().map(&cursor);
        let page = next(::budget::Page { after, limit: PAGE }).await?;
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}
