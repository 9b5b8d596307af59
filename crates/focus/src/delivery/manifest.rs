//! A manifest, of whichever of the three kinds.
//!
//! Of AWS Data Exports: "Data Exports manifest file reference" (docs.aws.amazon.com,
//! cur/latest/userguide/dataexports-manifest.html) has five fields. `executionId` is the name of
//! the execution and of its folder where an export keeps its former ones, `dataFiles` are whole
//! `s3://` addresses as texts. `exportArn`, `columns` and `additionalOutputFiles` (statements for
//! Athena and Redshift) choose no file. Neither sizes nor a billing period are among them: the
//! period is in the manifest's own key.

use jiff::{
    Timestamp,
    civil::{Date, Time},
};
use serde::Deserialize;
use serde_json::Value;

use super::{FILES_MAX, MANIFEST_BYTES_MAX, ManifestError};
use crate::cost::Month;

/// Who writes such manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// AWS Data Exports.
    DataExport,
    /// AWS Cost and Usage Reports before Data Exports.
    Report,
    /// Azure Cost Management.
    Azure,
}

/// A file that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// As it is named: a key of the bucket or container, or `s3://bucket/key`.
    pub name: String,
    /// Its size, where it is told.
    pub bytes: Option<u64>,
}

/// What one manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its own key.
    pub key: String,
    /// Whose it is.
    pub kind: Kind,
    /// The export that it is of: the folder that all of its executions are in.
    pub export: String,
    /// The execution's id.
    pub execution: Option<String>,
    /// The first day that it has, and the first that it has not.
    pub span: (Date, Date),
    /// When the execution was, if it is told.
    pub written: Option<Timestamp>,
    /// The bucket that its keys are of.
    pub bucket: Option<String>,
    /// Its files.
    pub files: Vec<Named>,
    /// Rows of its files together.
    pub rows: Option<u64>,
}

/// Whether a key is named as exports name their manifests.
pub fn is_manifest(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.eq_ignore_ascii_case("manifest.json") || name.ends_with("-Manifest.json")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    // Data Exports.
    execution_id: Option<String>,
    data_files: Option<Vec<String>>,
    // Reports.
    assembly_id: Option<String>,
    report_keys: Option<Vec<String>>,
    billing_period: Option<Value>,
    bucket: Option<String>,
    // Azure.
    blobs: Option<Vec<Blob>>,
    run_info: Option<RunInfo>,
    data_row_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    blob_name: String,
    byte_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunInfo {
    run_id: Option<String>,
    submitted_time: Option<String>,
    start_date: Option<String>,
    end_date: Option<String>,
}

impl Manifest {
    /// Reads a manifest; `None` where it is JSON of somebody else's.
    pub fn parse(key: &str, bytes: &[u8]) -> Result<Option<Self>, ManifestError> {
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            let reason = format!("it has over {} MiB", MANIFEST_BYTES_MAX >> 20);
            return Err(ManifestError::TooLarge { key: key.to_owned(), reason });
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| broken(key, format!("no whole JSON ({error})")))?;
        let ours = ["dataFiles", "reportKeys", "blobs"];
        if !ours.iter().any(|name| value.get(name).is_some_and(Value::is_array)) {
            return Ok(None);
        }
        let text: Text =
            serde_json::from_value(value).map_err(|error| broken(key, error.to_string()))?;
        let manifest = match (text.data_files, text.report_keys, text.blobs) {
            (Some(files), None, None) => Self::export(key, text.execution_id, files)?,
            (None, Some(keys), None) => {
                let period = text.billing_period.as_ref().and_then(period);
                let span = period.or_else(|| span_of(key, false)).ok_or_else(|| no_period(key))?;
                let written = key.rsplit('/').nth(1).and_then(stamp);
                let names = keys.into_iter().map(|name| Named { name, bytes: None }).collect();
                let (kind, export) = (Kind::Report, report_root(key));
                let bucket = text.bucket;
                let execution = text.assembly_id;
                let (key, rows) = (key.to_owned(), None);
                Self { key, kind, export, execution, span, written, bucket, files: names, rows }
            }
            (None, None, Some(blobs)) => {
                Self::azure(key, blobs, text.run_info, text.data_row_count)?
            }
            _ => return Err(broken(key, "it is the manifest of two kinds of export at once")),
        };
        manifest.checked().map(Some)
    }

    fn export(
        key: &str,
        execution: Option<String>,
        files: Vec<String>,
    ) -> Result<Self, ManifestError> {
        let mut folders = key.split('/');
        let told = folders.find_map(|part| part.strip_prefix("BILLING_PERIOD="));
        let month: Month = told.and_then(|told| told.parse().ok()).ok_or_else(|| no_period(key))?;
        let first = month.first_day();
        // The calendar's last month has no first day after it.
        let end = first.last_of_month().tomorrow().map_err(|_| no_period(key))?;
        let root = match key.find("metadata/BILLING_PERIOD=") {
            Some(at) => &key[..at],
            None => key.split("BILLING_PERIOD=").next().unwrap_or_default(),
        };
        let files = files.into_iter().map(|name| Named { name, bytes: None });
        Ok(Self {
            key: key.to_owned(),
            kind: Kind::DataExport,
            export: root.to_owned(),
            execution,
            span: (first, end),
            written: key.rsplit('/').nth(1).and_then(stamp),
            bucket: None,
            files: files.collect(),
            rows: None,
        })
    }

    fn azure(
        key: &str,
        blobs: Vec<Blob>,
        run: Option<RunInfo>,
        rows: Option<u64>,
    ) -> Result<Self, ManifestError> {
        let run = run.ok_or_else(|| broken(key, "it has no runInfo"))?;
        let day = |text: &Option<String>| text.as_deref().and_then(date);
        let told = day(&run.start_date).zip(day(&run.end_date).and_then(|d| d.tomorrow().ok()));
        let span = span_of(key, true).or(told).ok_or_else(|| no_period(key))?;
        let submitted = run.submitted_time.as_deref();
        let files = blobs.into_iter();
        let files = files.map(|blob| Named { name: blob.blob_name, bytes: blob.byte_count });
        Ok(Self {
            key: key.to_owned(),
            kind: Kind::Azure,
            export: report_root(key),
            execution: run.run_id,
            span,
            written: submitted.and_then(|text| text.parse().ok()),
            bucket: None,
            files: files.collect(),
            rows,
        })
    }

    fn checked(mut self) -> Result<Self, ManifestError> {
        if self.files.len() > FILES_MAX {
            let reason = format!("it names over {FILES_MAX} files");
            return Err(ManifestError::TooLarge { key: self.key, reason });
        }
        if self.span.0 >= self.span.1 || Month::of_day(self.span.0).is_none() {
            return Err(broken(&self.key, "its billing period ends before it starts"));
        }
        let named = |id: &String| {
            !id.trim().is_empty() && id.len() <= 200 && !id.chars().any(char::is_control)
        };
        self.execution = self.execution.filter(named);
        Ok(self)
    }

    /// The first and the last month that it has days of.
    pub(super) fn months(&self) -> (Month, Month) {
        let last = self.span.1.yesterday().unwrap_or(self.span.0);
        let first = Month::of_day(self.span.0).unwrap_or(Month::FIRST);
        (first, Month::of_day(last).unwrap_or(first))
    }
}

fn broken(key: &str, reason: impl Into<String>) -> ManifestError {
    ManifestError::Broken { key: key.to_owned(), reason: reason.into() }
}

fn no_period(key: &str) -> ManifestError {
    broken(key, "neither it nor its folder says which billing period it is of")
}

/// `{"start": …, "end": …}` of a report: the end is the first day after.
fn period(value: &Value) -> Option<(Date, Date)> {
    let day = |name| value.get(name).and_then(Value::as_str).and_then(date);
    Some((day("start")?, day("end")?))
}

/// The day of `2026-10-01…` or `20261001…`.
fn date(text: &str) -> Option<Date> {
    let digits: String = text.chars().filter(|c| *c != '-').take(8).collect();
    if digits.len() != 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (year, month, day) = (&digits[..4], &digits[4..6], &digits[6..]);
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// The days of a folder that is named `20261001-20261031`, where its last day is meant as well, or
/// `20261001-20261101`, where it is not.
fn span_of(key: &str, is_last_meant: bool) -> Option<(Date, Date)> {
    let (from, to) = key.rsplit('/').find_map(span)?;
    Some((from, if is_last_meant { to.tomorrow().ok()? } else { to }))
}

fn span(folder: &str) -> Option<(Date, Date)> {
    let (from, to) = folder.split_once('-').filter(|(a, b)| a.len() == 8 && b.len() == 8)?;
    Some((date(from)?, date(to)?))
}

/// The folder above that of the days, or the manifest's own.
fn report_root(key: &str) -> String {
    let folders: Vec<&str> = key.split('/').collect();
    let named = folders.len().saturating_sub(1);
    let days = folders.iter().position(|folder| span(folder).is_some());
    folders[..days.unwrap_or(named)].join("/")
}

/// The instant that a folder of an execution begins with: `20261015T010203Z…` or RFC 3339.
fn stamp(folder: &str) -> Option<Timestamp> {
    let compact = folder.get(..16).filter(|text| text.ends_with('Z'));
    let at = compact.and_then(|text| {
        let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
        let day = date(day).filter(|_| day.len() == 8)?;
        let part = |from: usize| time.get(from..from + 2)?.parse::<i8>().ok();
        // A folder may be called anything: no such time is no instant.
        let time = Time::new(part(0)?, part(2)?, part(4)?, 0).ok()?;
        day.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    let end = folder.find('Z').map(|end| &folder[..=end]);
    at.or_else(|| end?.parse().ok())
}
