//! What every command is given: how to answer, the config, and the way to the store.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use lake::LakeOptions;
use money::PriceBook;

use crate::{
    config::{self, Config},
    output::{Format, Printer},
};

#[cfg(test)]
mod tests;

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
    store::Options {
        defaults: config.defaults(),
        cover_percent: config.gateway_cover,
        ..store::Options::default()
    }
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

/// The lake's options: of the object store, what the environment says as it says it to AWS's own
/// programs (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …).
pub fn lake_options() -> LakeOptions {
    // What is no text names no key, region or endpoint.
    let variables = std::env::vars_os();
    let variables = variables.filter_map(|(n, v)| n.into_string().ok().zip(v.into_string().ok()));
    LakeOptions { storage: storage(variables), ..LakeOptions::default() }
}

fn storage(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut storage: Vec<(String, String)> = variables
        .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    // Of two endpoints the service's own counts; the store takes the last that it is told.
    storage.sort_by_key(|(name, _)| name == "aws_endpoint_url_s3");
    for (name, _) in &mut storage {
        if name == "aws_endpoint_url_s3" {
            "aws_endpoint_url".clone_into(name);
        }
    }
    storage
}
