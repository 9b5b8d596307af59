//! Bills in a bucket: listed, read by ranges, spooled to disk.
//!
//! Owns the requests, their time limits and their repetition. An object is fetched in ranges of
//! some megabytes, each only if the object is still the one that was listed. Invariant: memory
//! holds some ranges, whatever an object's size, and the disk no more than the limit.

use std::{fmt, io::Write, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore,
    ObjectStoreExt, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path as Key,
};
use tempfile::NamedTempFile;
use url::Url;

use super::{Entries, Entry, FILES_MAX, Part, Skipped, SourceError, is_bill, name_reason};
use crate::{
    import::blocking,
    ingest::{IngestError, OnProgress, Progress},
    limit::Limits,
    storage::Storage,
};

/// Bytes of one request.
const RANGE: u64 = 8 << 20;
/// Requests at once.
const REQUESTS: usize = 4;
/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(5);

/// A prefix of a bucket, or one object of it.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    pub(super) name: String,
    /// Without `/` at its end.
    pub(super) prefix: String,
    pub(super) url: String,
    limits: Limits,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Tells how far the fetching is.
pub(super) struct Told<'a> {
    progress: Option<&'a OnProgress>,
    bytes: u64,
    bytes_total: u64,
}

impl<'a> Told<'a> {
    pub(super) const fn new(progress: Option<&'a OnProgress>, bytes_total: u64) -> Self {
        Self { progress, bytes: 0, bytes_total }
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(progress) = self.progress {
            let (bytes, bytes_total) = (self.bytes, self.bytes_total);
            progress(Progress { bytes, bytes_total, rows: 0, resumed: 0, is_fetching: true });
        }
    }
}

impl Bucket {
    /// `s3://bucket/prefix`, with the store's own settings (`aws_region`, …).
    pub(super) fn open(
        url: &str,
        settings: &[(String, String)],
        limits: Limits,
    ) -> Result<Self, SourceError> {
        let refuse = |reason: &str| SourceError::Foreign {
            path: url.into(),
            reason: format!("is no place for bills: {reason}").into(),
        };
        let parsed = Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(parsed.scheme(), "s3" | "s3a") {
            return Err(refuse("bills are read from a path or from s3://bucket/prefix"));
        }
        if parsed.password().is_some() || !parsed.username().is_empty() {
            return Err(refuse("keys are told by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
        let name = parsed.host_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(refuse("it names no bucket; write s3://bucket/prefix"));
        }
        let prefix =
            Key::from_url_path(parsed.path()).map_err(|error| refuse(&error.to_string()))?;
        let client = ClientOptions::new()
            .with_timeout(limits.request_time)
            .with_connect_timeout(CONNECT.min(limits.request_time));
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: limits.retries,
            retry_timeout: limits.request_time.saturating_mul(2),
        };
        let builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry);
        let set = |builder: AmazonS3Builder, (key, value): &(String, String)| match key
            .to_ascii_lowercase()
            .parse::<AmazonS3ConfigKey>()
        {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        };
        let builder = settings.iter().fold(builder, set).with_url(url);
        let store = builder.build().map_err(|error| refuse(&error.to_string()))?;
        let prefix = prefix.to_string();
        let url = format!("s3://{name}/{prefix}");
        Ok(Self { store: Arc::new(store), name, prefix, url, limits })
    }

    /// An object's key in the bucket.
    fn key(&self, key: &str) -> String {
        match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }

    pub(super) fn address(&self, key: &str) -> String {
        format!("s3://{}/{}", self.name, self.key(key))
    }

    /// The objects below the prefix, or the one that it names.
    pub(super) async fn list(&mut self) -> Result<(Entries, Vec<Skipped>), SourceError> {
        let (mut entries, mut skipped) = (Entries::new(), Vec::new());
        if is_bill(&self.prefix) {
            match self.store.head(&Key::from(self.prefix.as_str())).await {
                Ok(meta) => {
                    let whole = std::mem::take(&mut self.prefix);
                    let (folder, name) = whole.rsplit_once('/').unwrap_or(("", &whole));
                    folder.clone_into(&mut self.prefix);
                    entries.insert(name.to_owned(), entry(&meta));
                    return Ok((entries, skipped));
                }
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(remote("look at", &self.url, error)),
            }
        }
        let prefix = Key::from(self.prefix.as_str());
        let mut listed = self.store.list(Some(&prefix));
        while let Some(meta) = listed.next().await {
            let meta = meta.map_err(|error| remote("list", &self.url, error))?;
            let whole = meta.location.to_string();
            let below = match self.prefix.as_str() {
                "" => Some(whole.as_str()),
                prefix => whole.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
            };
            let Some(key) = below else { continue };
            match name_reason(key) {
                Some(reason) => {
                    let path = self.address(key).into();
                    skipped.push(Skipped { path, reason });
                }
                None => drop(entries.insert(key.to_owned(), entry(&meta))),
            }
            if entries.len() + skipped.len() > FILES_MAX {
                return Err(SourceError::TooMany { path: self.url.as_str().into() });
            }
        }
        Ok((entries, skipped))
    }

    /// The bytes of a small object.
    pub(super) async fn read(&self, key: &str, entry: &Entry) -> Result<Vec<u8>, SourceError> {
        if entry.bytes == 0 {
            return Ok(Vec::new());
        }
        Ok(self.range(key, entry, 0..entry.bytes).await?.to_vec())
    }

    /// Refuses more than the disk may be given.
    pub(super) fn check_size(&self, part: &Part) -> Result<(), SourceError> {
        let (bytes, most) = (part.bytes, self.limits.spool_bytes);
        if bytes <= most {
            return Ok(());
        }
        let reason = format!("holds {bytes} bytes to fetch at once, over the limit of {most}");
        Err(SourceError::Foreign { path: self.url.as_str().into(), reason: reason.into() })
    }

    /// Copies an object to disk.
    pub(super) async fn fetch(
        &self,
        key: &str,
        entry: &Entry,
        storage: &Storage,
        told: &mut Told<'_>,
    ) -> Result<NamedTempFile, IngestError> {
        let mut copy = storage.scratch()?;
        let starts = (0..entry.bytes).step_by(usize::try_from(RANGE).unwrap_or(usize::MAX));
        let ranges = starts.map(|start| start..entry.bytes.min(start + RANGE));
        let requests = ranges.map(|range| self.range(key, entry, range));
        let mut parts = stream::iter(requests).buffered(REQUESTS);
        while let Some(part) = parts.try_next().await? {
            let bytes = part.len() as u64;
            copy = blocking(move || {
                let written = copy.as_file_mut().write_all(&part);
                written.map_err(|e| crate::storage::file("write", copy.path(), e))?;
                Ok::<_, IngestError>(copy)
            })
            .await?;
            told.add(bytes);
        }
        Ok(copy)
    }

    /// A range of an object, if it is still the one that was listed.
    async fn range(
        &self,
        key: &str,
        entry: &Entry,
        range: Range<u64>,
    ) -> Result<Bytes, SourceError> {
        let url = || self.address(key);
        let changed = || SourceError::Changed { path: url().into() };
        let wanted = range.end - range.start;
        let options = GetOptions {
            if_match: entry.stamp.starts_with('"').then(|| entry.stamp.clone()),
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let got = match self.store.get_opts(&Key::from(self.key(key)), options).await {
            Ok(got) => got,
            Err(Error::Precondition { .. } | Error::NotFound { .. }) => return Err(changed()),
            Err(error) => return Err(remote("read", &url(), error)),
        };
        if got.meta.size != entry.bytes || stamp(&got.meta) != entry.stamp {
            return Err(changed());
        }
        let bytes = got.bytes().await.map_err(|error| remote("read", &url(), error))?;
        if bytes.len() as u64 != wanted {
            return Err(changed());
        }
        Ok(bytes)
    }
}

fn stamp(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.timestamp_millis().to_string())
}

fn entry(meta: &ObjectMeta) -> Entry {
    let modified = Timestamp::from_millisecond(meta.last_modified.timestamp_millis());
    let modified = modified.unwrap_or(Timestamp::MIN);
    Entry { bytes: meta.size, modified, stamp: stamp(meta) }
}

fn remote(action: &'static str, url: &str, error: Error) -> SourceError {
    // Of a listing that failed the store tells the status in words alone, and each error repeats
    // those below it.
    let mut inner: &dyn std::error::Error = &error;
    while let Some(below) = inner.source() {
        inner = below;
    }
    let cause = inner.to_string();
    let is = |status: &str| cause.contains(status);
    let say = match &error {
        Error::NotFound { .. } => NO_BUCKET,
        Error::PermissionDenied { .. } => DENIED,
        Error::Unauthenticated { .. } => UNKNOWN_KEY,
        _ if is("404 Not Found") => NO_BUCKET,
        _ if is("403 Forbidden") => DENIED,
        _ if is("401 Unauthorized") => UNKNOWN_KEY,
        _ if is("scheme is not allowed") => NO_TLS,
        _ => "the store failed or did not answer in time, again and again; try again later",
    };
    SourceError::Remote { action, url: url.to_owned(), say, cause }
}

const NO_TLS: &str =
    "the endpoint is http, without TLS; where that is meant set AWS_ALLOW_HTTP=true";
const NO_BUCKET: &str = "there is no such bucket; check its name and AWS_REGION";
const DENIED: &str = "the store denies it; the key needs s3:ListBucket and s3:GetObject there";
const UNKNOWN_KEY: &str =
    "the store does not know the key; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
