//! Rows that come out of quarantine.
//!
//! Owns the way back: rows are read as they were delivered, checked again, and taken in beside the
//! charges of the same source. Those that still may not be charges go into a quarantine again, in
//! the same commit.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    bill::{self, Layout, Reading},
    findings::Findings,
    import::{Ingested, Options, blocking, threads},
    ingest::{Before, IngestError, Work, run_rows},
    lake::Lake,
    manifest::Quarantine,
    partition::WriteError,
    publish::{Facts, finish, publish},
    quarantine::{self, Kept},
    schema,
};

/// Rows that are read at once.
const PAGE: usize = 20_000;

async fn find(lake: &Lake, id: Uuid) -> Result<(Quarantine, bytes::Bytes), IngestError> {
    let state = lake.refreshed().await?;
    let found = state.quarantines.into_iter().find(|quarantine| quarantine.id == id);
    let quarantine = found.ok_or(IngestError::NoQuarantine(id))?;
    let bytes = lake.storage().read(&quarantine.path).await?;
    Ok((quarantine, bytes.ok_or(IngestError::NoQuarantine(id))?))
}

pub(crate) async fn quarantined(
    lake: &Lake,
    id: Uuid,
    offset: usize,
    limit: usize,
) -> Result<Vec<Kept>, IngestError> {
    let (_, bytes) = find(lake, id).await?;
    blocking(move || {
        quarantine::read(bytes, offset, limit).map_err(|e| IngestError::from(WriteError::from(e)))
    })
    .await
}

pub(crate) async fn release(
    lake: &Lake,
    id: Uuid,
    options: &Options,
) -> Result<Ingested, IngestError> {
    let state = lake.refreshed().await?;
    let (found, bytes) = find(lake, id).await?;
    let report = Ingested {
        source: found.source.clone(),
        execution: found.execution.clone(),
        ..Ingested::default()
    };
    let (storage, options) = (lake.storage().clone(), options.clone());
    let on_invalid = options.on_invalid;
    let (outcome, custom, header) = blocking(move || {
        let parts = parts(bytes, &options)?;
        let layouts = parts.iter().map(|(layout, ..)| layout);
        let custom: std::collections::BTreeSet<String> =
            layouts.flat_map(|layout| layout.kept.iter().map(|(_, name)| name.clone())).collect();
        let header = parts.last().map(|(layout, ..)| layout.names.clone()).unwrap_or_default();
        let work = Work {
            storage,
            bills: Vec::new(),
            schema: schema::charges(custom.iter().map(String::as_str)),
            limits: options.limits,
            strict: options.on_invalid != crate::import::OnInvalid::Accept,
            threads: threads(options.threads),
            progress: options.progress.clone(),
            bytes_total: 0,
            before: Before::default(),
        };
        Ok::<_, IngestError>((run_rows(&work, parts)?, custom, header))
    })
    .await?;
    let facts = Facts {
        header,
        focus: found.focus,
        custom,
        bytes: 0,
        listing: None,
        others: Vec::new(),
        merge: true,
        releases: Some(id),
    };
    let stretch = publish(lake, outcome, on_invalid).await?;
    finish(lake, state, vec![stretch], facts, report).await
}

type Part = (Arc<Layout>, Vec<arrow::array::ArrayRef>, Findings);

/// The rows by header, ready to be upgraded.
fn parts(bytes: bytes::Bytes, options: &Options) -> Result<Vec<Part>, IngestError> {
    let mut parts = Vec::new();
    let mut offset = 0;
    loop {
        let kept = quarantine::read(bytes.clone(), offset, PAGE).map_err(WriteError::from)?;
        if kept.is_empty() {
            return Ok(parts);
        }
        offset += kept.len();
        for run in kept.chunk_by(|a, b| a.header == b.header && a.file == b.file) {
            let Some(first) = run.first() else { continue };
            let reading = Reading {
                version: options.version.or_else(|| first.focus.parse().ok()),
                lacking: true,
            };
            let path = std::path::Path::new(&first.file);
            let layout = bill::of_header(path, first.header.clone(), &[], reading, options.limits);
            let layout = layout.map_err(|refusal| IngestError::refused(path, refusal))?;
            let mut findings = Findings::default();
            let columns = quarantine::columns(run, &mut findings);
            parts.push((Arc::new(layout), columns, findings));
        }
    }
}
