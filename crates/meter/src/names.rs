//! What is counted, under which names. Handles are looked up once, when the tracker is opened.

use metrics::{Counter, Gauge};

/// Counter: usage that nobody will be told of, and that nobody counts: alert on it.
pub const UNDELIVERED: &str = "bursar_meter_undelivered_total";
/// Counter: records written to the spool, to be delivered later.
pub const SPOOLED: &str = "bursar_meter_spooled_total";
/// Counter: records that the service has taken.
pub const DELIVERED: &str = "bursar_meter_delivered_total";
/// Counter: deliveries tried again.
pub const RETRIED: &str = "bursar_meter_retried_total";
/// Gauge: records in memory.
pub const QUEUED: &str = "bursar_meter_queued";
/// Gauge: bytes in the spool.
pub const SPOOL_BYTES: &str = "bursar_meter_spool_bytes";
/// Counter: requests let through without an answer of the service: alert on it.
pub const FAILED_OPEN: &str = "bursar_meter_failed_open_total";
/// Counter: requests answered 503 without an answer of the service.
pub const FAILED_CLOSED: &str = "bursar_meter_failed_closed_total";
/// Counter: requests answered 429, by the service or from a cache.
pub const REFUSED: &str = "bursar_meter_refused_total";
/// Counter: those of them that were answered from a cache.
pub const CACHE_HITS: &str = "bursar_meter_cache_hits_total";
/// Counter: answers that Redis did not give in time, or at all.
pub const REDIS_FAULTS: &str = "bursar_meter_redis_faults_total";

/// All of them, and what each shows.
pub const ALL: [(&str, &str); 11] = [
    (UNDELIVERED, "Records of usage that are lost or refused for good"),
    (SPOOLED, "Records of usage written to disk, to be delivered later"),
    (DELIVERED, "Records of usage that the service has taken"),
    (RETRIED, "Deliveries that were tried again"),
    (QUEUED, "Records of usage in memory"),
    (SPOOL_BYTES, "Bytes of usage on disk"),
    (FAILED_OPEN, "Requests let through without an answer of the budget service"),
    (FAILED_CLOSED, "Requests answered 503 without an answer of the budget service"),
    (REFUSED, "Requests answered 429"),
    (CACHE_HITS, "Requests answered 429 from a cache"),
    (REDIS_FAULTS, "Answers that Redis did not give in time, or at all"),
];

/// A handle for each.
pub(crate) struct Counters {
    pub(crate) undelivered: Counter,
    pub(crate) spooled: Counter,
    pub(crate) delivered: Counter,
    pub(crate) retried: Counter,
    pub(crate) queued: Gauge,
    pub(crate) spool_bytes: Gauge,
    pub(crate) failed_open: Counter,
    pub(crate) failed_closed: Counter,
    pub(crate) refused: Counter,
    pub(crate) cache_hits: Counter,
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "nothing else has such faults"))]
    pub(crate) redis_faults: Counter,
}

impl Counters {
    pub(crate) fn new() -> Self {
        for (name, help) in ALL {
            match name {
                QUEUED | SPOOL_BYTES => metrics::describe_gauge!(name, help),
                _ => metrics::describe_counter!(name, help),
            }
        }
        Self {
            undelivered: metrics::counter!(UNDELIVERED),
            spooled: metrics::counter!(SPOOLED),
            delivered: metrics::counter!(DELIVERED),
            retried: metrics::counter!(RETRIED),
            queued: metrics::gauge!(QUEUED),
            spool_bytes: metrics::gauge!(SPOOL_BYTES),
            failed_open: metrics::counter!(FAILED_OPEN),
            failed_closed: metrics::counter!(FAILED_CLOSED),
            refused: metrics::counter!(REFUSED),
            cache_hits: metrics::counter!(CACHE_HITS),
            redis_faults: metrics::counter!(REDIS_FAULTS),
        }
    }
}
