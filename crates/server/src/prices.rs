//! The price book in use: what is shipped and what was imported.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use budget::{Store, StoreError};
use money::PriceBook;

/// A price book, and which of its models have had more than one price.
pub(crate) struct Shelf {
    pub(crate) book: Arc<PriceBook>,
    dated: HashSet<String>,
}

impl Shelf {
    fn new(book: PriceBook) -> Self {
        // An alias that is also a model's name leads to two prices.
        let mut times: HashMap<&str, usize> = HashMap::new();
        for price in book.iter() {
            *times.entry(&price.model).or_default() += 1;
            for alias in &price.aliases {
                *times.entry(alias).or_default() += 1;
            }
        }
        let several = times.into_iter().filter(|(_, count)| *count > 1);
        let dated = several.map(|(model, _)| model.to_owned()).collect();
        Self { book: Arc::new(book), dated }
    }

    /// Whether it matters at which moment the model was used.
    pub(crate) fn is_dated(&self, model: &str) -> bool {
        self.dated.contains(model)
    }
}

/// Where the book in use lies.
pub(crate) struct PriceShelf(RwLock<Arc<Shelf>>);

impl PriceShelf {
    pub(crate) fn shipped() -> Self {
        Self(RwLock::new(Arc::new(Shelf::new(PriceBook::shipped()))))
    }

    pub(crate) fn get(&self) -> Arc<Shelf> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what is shipped and what the store has now.
    pub(crate) async fn reload(&self, store: &dyn Store) -> Result<(), StoreError> {
        let imported = store.prices().await?;
        let shelf = Arc::new(Shelf::new(PriceBook::shipped().with(imported)));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shelf;
        Ok(())
    }
}
