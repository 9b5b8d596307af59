//! Every setting: its key in the file, its variable, its default. This list is the only one.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its place in the file, `table.key`.
    pub key: &'static str,
    /// The variable that overrides the file.
    pub variable: &'static str,
    /// What holds where nobody has said anything, for people.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Whether it must not be shown.
    pub secret: bool,
}

/// Names the config file itself; `--config` overrides it.
pub const CONFIG_VARIABLE: &str = "BURSAR_CONFIG";

/// Read when it is there and no other file is named.
pub const CONFIG_FILE: &str = "/etc/bursar/bursar.toml";

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting(
        "listen",
        "BURSAR_LISTEN",
        "127.0.0.1:3010",
        "Address and port that the service listens on",
    ),
    setting(
        "data_dir",
        "BURSAR_DATA_DIR",
        "the user's data directory",
        "Folder of the SQLite database",
    ),
    setting(
        "database.url",
        "BURSAR_DATABASE_URL",
        "sqlite, bursar.db in data_dir",
        "sqlite:///absolute/path.db or postgres://user@host/name?sslrootcert=PATH",
    ),
    setting(
        "lake.url",
        "BURSAR_LAKE_URL",
        "lake in data_dir",
        "Folder of ingested bills, or s3://bucket/prefix",
    ),
    setting(
        "cost.rates",
        "BURSAR_COST_RATES",
        "none",
        "Rates of currencies as CSV: From, To, Month or Date, Rate, Source",
    ),
    Setting {
        secret: true,
        ..setting("admin_token", "BURSAR_ADMIN_TOKEN", "none", "Token that may do everything")
    },
    setting(
        "admin_token_file",
        "BURSAR_ADMIN_TOKEN_FILE",
        "none",
        "File that holds the admin token, instead of admin_token",
    ),
    setting(
        "budget.default_limit_usd",
        "BURSAR_DEFAULT_LIMIT_USD",
        "1000",
        "Monthly limit where no budget was set, or \"refuse\"",
    ),
    setting(
        "reservation.timeout",
        "BURSAR_RESERVATION_TIMEOUT",
        "15m",
        "How long a reservation waits for its settle",
    ),
    setting(
        "reservation.resolution",
        "BURSAR_RESERVATION_RESOLUTION",
        "charge",
        "What becomes of a hold that stays unresolved: charge or release",
    ),
    setting(
        "reservation.resolve_after",
        "BURSAR_RESERVATION_RESOLVE_AFTER",
        "24h",
        "After how long as unresolved, or \"never\"",
    ),
    setting(
        "http.head_timeout",
        "BURSAR_HTTP_HEAD_TIMEOUT",
        "60s",
        "How long a connection may take to send a request's head, or wait before it",
    ),
    setting(
        "http.stall_timeout",
        "BURSAR_HTTP_STALL_TIMEOUT",
        "60s",
        "How long a caller may read nothing of what is sent to him",
    ),
    setting(
        "rate_limit.per_second",
        "BURSAR_RATE_LIMIT_PER_SECOND",
        "1000",
        "Requests a second that one key may make",
    ),
    setting(
        "metrics.tenants",
        "BURSAR_METRICS_TENANTS",
        "200",
        "Tenants that /metrics names apart; the others are summed up",
    ),
    setting(
        "gateway.trusted_networks",
        "BURSAR_GATEWAY_TRUSTED_NETWORKS",
        "none; without an admin token, this machine",
        "Networks whose x-tenant-id is believed, as 10.0.0.0/8, 192.168.1.0/24",
    ),
    setting(
        "gateway.wait",
        "BURSAR_GATEWAY_WAIT",
        "2s",
        "How long a call waits that fits but for the holds of others; 0s = not at all",
    ),
    setting(
        "gateway.body_timeout",
        "BURSAR_GATEWAY_BODY_TIMEOUT",
        "60s",
        "How long the body of a call may take to arrive",
    ),
    setting(
        "gateway.drain",
        "BURSAR_GATEWAY_DRAIN",
        "2m",
        "How long an answer is read on once its caller has hung up, for what it costs",
    ),
    setting(
        "gateway.fail",
        "BURSAR_GATEWAY_FAIL",
        "closed",
        "While the budget store is down: closed refuses calls, open lets them through",
    ),
    setting(
        "gateway.cover_percent",
        "BURSAR_GATEWAY_COVER_PERCENT",
        "1",
        "Part of a budget promised before its holds are on SQLite's disk, under a cover that is",
    ),
    setting(
        "gateway.calls_most",
        "BURSAR_GATEWAY_CALLS_MOST",
        "4096",
        "Calls in flight at a time; more are told to come again",
    ),
    setting(
        "gateway.spool_dir",
        "BURSAR_GATEWAY_SPOOL_DIR",
        "spool in data_dir",
        "Folder for charges that the store could not take",
    ),
    setting(
        "aws.calls_most",
        "BURSAR_AWS_CALLS_MOST",
        "100",
        "Paid calls (0.01 USD each) that AWS may be asked in a day (UTC), pages and repeats too",
    ),
    setting(
        "aws.budgets_every",
        "BURSAR_AWS_BUDGETS_EVERY",
        "never",
        "How often budgets are taken over from AWS Budgets",
    ),
    setting(
        "collect.every",
        "BURSAR_COLLECT_EVERY",
        "5m",
        "How often ClickHouse and Postgres are asked for what they store",
    ),
    setting(
        "collect.s3.buckets",
        "BURSAR_COLLECT_S3_BUCKETS",
        "none",
        "Buckets whose size is told in /metrics: names with commas, or all",
    ),
    setting(
        "collect.s3.every",
        "BURSAR_COLLECT_S3_EVERY",
        "1h",
        "How often CloudWatch is asked for them; it measures once a day",
    ),
    setting(
        "collect.clickhouse.url",
        "BURSAR_COLLECT_CLICKHOUSE_URL",
        "none",
        "ClickHouse's HTTP interface, as http://clickhouse:8123, for the size of its disks",
    ),
    setting(
        "collect.clickhouse.user",
        "BURSAR_COLLECT_CLICKHOUSE_USER",
        "default",
        "Who asks ClickHouse",
    ),
    setting(
        "collect.clickhouse.password_file",
        "BURSAR_COLLECT_CLICKHOUSE_PASSWORD_FILE",
        "none",
        "File that holds the password for ClickHouse",
    ),
    setting(
        "collect.postgres_wal.url",
        "BURSAR_COLLECT_POSTGRES_WAL_URL",
        "none",
        "Postgres server whose archived WAL is told in /metrics, as database.url",
    ),
    setting(
        "notify.quiet_hours",
        "BURSAR_NOTIFY_QUIET_HOURS",
        "none",
        "Hours in which only what is critical is told, as 22:00-07:00",
    ),
    setting(
        "notify.time_zone",
        "BURSAR_NOTIFY_TIME_ZONE",
        "UTC",
        "Time zone of quiet hours, digest, review and the times in notices",
    ),
    setting(
        "notify.templates",
        "BURSAR_NOTIFY_TEMPLATES",
        "none",
        "Folder of templates in the place of the built-in ones",
    ),
    setting(
        "notify.digest",
        "BURSAR_NOTIFY_DIGEST",
        "monday 09:00",
        "When the weekly digest goes out, or \"never\"",
    ),
    setting(
        "notify.review",
        "BURSAR_NOTIFY_REVIEW",
        "09:00",
        "When, on a month's first day, the review is called for, or \"never\"",
    ),
    setting(
        "notify.ingest_stale",
        "BURSAR_NOTIFY_INGEST_STALE",
        "26h",
        "After how long without bills from a source somebody is told, or \"never\"",
    ),
    setting(
        "notify.anomaly",
        "BURSAR_NOTIFY_ANOMALY",
        "10",
        "How much more than usual a day costs that somebody is told of, or \"never\"",
    ),
    setting(
        "notify.alertmanager_token_file",
        "BURSAR_NOTIFY_ALERTMANAGER_TOKEN_FILE",
        "none",
        "File of the token with which Alertmanager tells alerts for the digest",
    ),
    setting("log.format", "BURSAR_LOG_FORMAT", "text", "Form of the log on stderr: text or json"),
    setting(
        "log.level",
        "BURSAR_LOG",
        "info",
        "error, warn, info, debug or trace, also per module: info,store=debug",
    ),
];

const fn setting(
    key: &'static str,
    variable: &'static str,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting { key, variable, default, about, secret: false }
}

/// The setting with a key.
pub fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
