//! How large buckets are, as CloudWatch measures them once a day.
//!
//! Owns the list of buckets, the metric and the sum over storage classes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use crate::{
    Api, AwsError, Client,
    service::{self, ENCODED, unreadable},
};

const VERSION: &str = "2010-08-01";
const NAMESPACE: &str = "AWS/S3";
const METRIC: &str = "BucketSizeBytes";
/// Queries of one `GetMetricData`, at most
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>).
const QUERIES_MOST: usize = 500;
/// Pages of any list, at most.
const PAGES_MOST: usize = 1_000;
/// S3 measures once a day; the newest measure may be of the day before yesterday.
const BACK: SignedDuration = SignedDuration::from_hours(72);
const DAY: &str = "86400";

/// The size of each bucket in bytes, summed over its storage classes: the newest that CloudWatch
/// has. Of an empty bucket, and of a new one, it has none.
///
/// `wanted` names buckets; all of the account's without any. Asks `ListBuckets`, `ListMetrics` and
/// `GetMetricData`, the latter two once a region that has such buckets
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html>).
pub async fn bucket_sizes(
    client: &Client,
    wanted: &[String],
    now: Timestamp,
) -> Result<BTreeMap<String, f64>, AwsError> {
    let mut regions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (bucket, region) in buckets(client).await? {
        if !wanted.is_empty() && !wanted.contains(&bucket) {
            continue;
        }
        let region = match region {
            Some(region) => region,
            None => location(client, &bucket).await?,
        };
        regions.entry(region).or_default().insert(bucket);
    }
    let mut sizes = BTreeMap::new();
    for (region, buckets) in &regions {
        let series = series(client, region, buckets).await?;
        for batch in series.chunks(QUERIES_MOST) {
            newest(client, region, batch, now, &mut sizes).await?;
        }
    }
    Ok(sizes)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BucketsAnswer {
    #[serde(default)]
    buckets: Buckets,
    continuation_token: Option<String>,
}

#[derive(Deserialize, Default)]
struct Buckets {
    #[serde(rename = "Bucket", default)]
    all: Vec<Bucket>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    name: String,
    bucket_region: Option<String>,
}

/// The account's buckets, and their regions where S3 tells them
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html>).
async fn buckets(client: &Client) -> Result<Vec<(String, Option<String>)>, AwsError> {
    let mut buckets = Vec::new();
    let mut target = "/?max-buckets=1000".to_owned();
    for _ in 0..PAGES_MOST {
        let page: BucketsAnswer = service::get(client, "ListBuckets", &target).await?;
        let found = page.buckets.all.into_iter();
        buckets.extend(found.map(|bucket| (bucket.name, bucket.bucket_region)));
        let Some(token) = page.continuation_token.filter(|token| !token.is_empty()) else {
            return Ok(buckets);
        };
        let token = utf8_percent_encode(&token, ENCODED);
        target = format!("/?continuation-token={token}&max-buckets=1000");
    }
    Err(unreadable(Api::S3, "ListBuckets", &"its pages don't end"))
}

#[derive(Deserialize)]
struct Location {
    #[serde(rename = "$text", default)]
    region: String,
}

/// A bucket's region
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html>).
async fn location(client: &Client, bucket: &str) -> Result<String, AwsError> {
    let target = format!("/{}?location", utf8_percent_encode(bucket, ENCODED));
    let answer: Location = service::get(client, "GetBucketLocation", &target).await?;
    Ok(match answer.region.trim() {
        // The first region has no name here, and Ireland's was another.
        "" => "us-east-1".to_owned(),
        "EU" => "eu-west-1".to_owned(),
        region => region.to_owned(),
    })
}

#[derive(Deserialize)]
struct Members<T> {
    #[serde(rename = "member", default = "Vec::new")]
    all: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { all: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricsAnswer {
    list_metrics_result: MetricsResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricsResult {
    #[serde(default)]
    metrics: Members<Metric>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    #[serde(default)]
    dimensions: Members<DimensionText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DimensionText {
    name: String,
    value: String,
}

/// Bucket and storage class of a measure.
type Series = (String, String);

/// Which measures there are of some buckets: which storage classes each has
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html>).
async fn series(
    client: &Client,
    region: &str,
    buckets: &BTreeSet<String>,
) -> Result<Vec<Series>, AwsError> {
    let action = "ListMetrics";
    let mut series = BTreeSet::new();
    let mut token: Option<String> = None;
    for _ in 0..PAGES_MOST {
        let asked = [("Namespace", Some(NAMESPACE)), ("MetricName", Some(METRIC))];
        let asked = asked.into_iter().chain([("NextToken", token.as_deref())]);
        let asked = asked.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let asked: Vec<_> = asked.collect();
        let api = Api::CloudWatch;
        let answer: MetricsAnswer =
            service::query(client, api, Some(region), action, VERSION, &asked).await?;
        let page = answer.list_metrics_result;
        for metric in page.metrics.all {
            let dimensions = metric.dimensions.all;
            let of = |name: &str| dimensions.iter().find(|d| d.name == name).map(|d| &d.value);
            if let (Some(bucket), Some(class)) = (of("BucketName"), of("StorageType"))
                && buckets.contains(bucket)
            {
                series.insert((bucket.clone(), class.clone()));
            }
        }
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(series.into_iter().collect());
        }
    }
    Err(unreadable(Api::CloudWatch, action, &"its pages don't end"))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataAnswer {
    get_metric_data_result: DataResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataResult {
    #[serde(default)]
    metric_data_results: Members<Data>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    id: String,
    #[serde(default)]
    values: Members<String>,
}

/// Adds the newest measure of each series to its bucket's size.
async fn newest(
    client: &Client,
    region: &str,
    batch: &[Series],
    now: Timestamp,
    sizes: &mut BTreeMap<String, f64>,
) -> Result<(), AwsError> {
    let action = "GetMetricData";
    let wrong = |cause: String| unreadable(Api::CloudWatch, action, &cause);
    let mut asked = questions(batch, now);
    let mut found: BTreeMap<usize, f64> = BTreeMap::new();
    for _ in 0..PAGES_MOST {
        let api = Api::CloudWatch;
        let answer: DataAnswer =
            service::query(client, api, Some(region), action, VERSION, &asked).await?;
        let page = answer.get_metric_data_result;
        for data in page.metric_data_results.all {
            let number = data.id.strip_prefix('m').and_then(|number| number.parse().ok());
            let number = number.filter(|number| *number < batch.len());
            let number = number.ok_or_else(|| wrong(format!("nobody asked for {:?}", data.id)))?;
            let Some(text) = data.values.all.first() else { continue };
            let size: f64 = text.parse().map_err(|_| wrong(format!("{text:?} is no size")))?;
            if !size.is_finite() || size < 0.0 {
                return Err(wrong(format!("{text:?} is no size")));
            }
            // The newest comes first, also from page to page.
            found.entry(number).or_insert(size);
        }
        asked.retain(|(name, _)| name != "NextToken");
        match page.next_token.filter(|token| !token.is_empty()) {
            Some(token) => asked.push(("NextToken".to_owned(), token)),
            None => {
                for (number, size) in found {
                    *sizes.entry(batch[number].0.clone()).or_default() += size;
                }
                return Ok(());
            }
        }
    }
    Err(wrong("its pages don't end".to_owned()))
}

fn questions(batch: &[Series], now: Timestamp) -> Vec<(String, String)> {
    // Whole seconds, as CloudWatch reads instants.
    let until = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let since = until.checked_sub(BACK).unwrap_or(Timestamp::MIN);
    let mut asked: Vec<(String, String)> = [
        ("StartTime", since.to_string()),
        ("EndTime", until.to_string()),
        ("ScanBy", "TimestampDescending".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (number, (bucket, class)) in batch.iter().enumerate() {
        let one = format!("MetricDataQueries.member.{}", number + 1);
        let metric = format!("{one}.MetricStat.Metric");
        let dimension =
            |number: u8, part: &str| format!("{metric}.Dimensions.member.{number}.{part}");
        asked.extend([
            (format!("{one}.Id"), format!("m{number}")),
            (format!("{one}.MetricStat.Stat"), "Average".to_owned()),
            (format!("{one}.MetricStat.Period"), DAY.to_owned()),
            (format!("{metric}.Namespace"), NAMESPACE.to_owned()),
            (format!("{metric}.MetricName"), METRIC.to_owned()),
            (dimension(1, "Name"), "BucketName".to_owned()),
            (dimension(1, "Value"), bucket.clone()),
            (dimension(2, "Name"), "StorageType".to_owned()),
            (dimension(2, "Value"), class.clone()),
        ]);
    }
    asked
}
