//! What every command is given: how to answer, the config, and the way to the store.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use money::PriceBook;

use crate::{
    config::{self, Config},
    output::{Format, Printer},
};

/// The store as commands hold it.
pub type Store = Arc<dyn budget::Store>;

/// What the global options mean.
#[derive(Debug, Clone)]
pub struct Context {
    /// The config file that was named, if one was.
    pub config_file: Option<PathBuf>,
    /// The form of answers that was asked for, if one was.
    pub format: Option<Format>,
    /// Whether tables have colours.
    pub colored: bool,
}

impl Context {
    /// Reads the config: file, then variables. Every fault is in the error.
    pub fn config(&self) -> anyhow::Result<Config> {
        let config = config::load(self.config_file.as_deref(), &config::environment())?;
        Ok(config.config)
    }

    /// Prints reports as asked for, tables otherwise.
    pub fn printer(&self) -> Printer {
        Printer { format: self.format.unwrap_or(Format::Table), colored: self.colored }
    }

    /// Opens the configured database, does something with it, and closes it, whatever came of it.
    pub async fn with_store<T>(
        &self,
        work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let config = self.config()?;
        let store = open(&config.database_url(), options(&config)).await?;
        let result = work(&store).await;
        store.close().await;
        result
    }
}

/// The store's options that a config means.
pub fn options(config: &Config) -> store::Options {
    store::Options { defaults: config.defaults(), ..store::Options::default() }
}

/// Opens a database; makes the folder of a SQLite file first.
pub async fn open(url: &str, options: store::Options) -> anyhow::Result<Store> {
    if let Some(folder) = config::sqlite_file(url).and_then(|file| file.parent().map(PathBuf::from))
        && !folder.as_os_str().is_empty()
    {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create the folder {}", folder.display()))?;
    }
    store::open(url, options)
        .await
        .with_context(|| format!("failed to open the database {}", config::masked_url(url)))
}

/// The shipped prices and the imported ones.
pub async fn price_book(store: &Store) -> anyhow::Result<PriceBook> {
    Ok(PriceBook::shipped().with(store.prices().await?))
}

/// Runs an async command on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let result = runtime.block_on(work);
    // An ingest that was left alone may still read a file; it changes nothing any more.
    runtime.shutdown_background();
    result
}
