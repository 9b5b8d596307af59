use lake::OnInvalid;
use secrecy::ExposeSecret;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn loaded(text: &str, pairs: &[(&str, &str)]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bursar.toml");
    fs::write(&path, text).unwrap();
    load(Some(&path), &variables(pairs))
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn nothing_said_means_the_defaults() {
    let config = loaded("", &[("XDG_DATA_HOME", "/data")]).unwrap().config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:3010");
    assert_eq!(config.database_url(), "sqlite:///data/bursar/bursar.db");
    assert_eq!(config.defaults(), Defaults::default());
    assert!(config.admin_token.is_none());
}

#[test]
fn the_file_is_obeyed_and_a_variable_overrides_it() {
    let text = r#"
        listen = "127.0.0.1:4000"
        admin_token = "from-the-file-0123"
        [budget]
        default_limit_usd = 12.50
        [reservation]
        resolve_after = "never"
        timeout = "90s"
        [rate_limit]
        per_second = 5
    "#;
    let loaded = loaded(text, &[("BURSAR_LISTEN", "[::1]:9"), ("BURSAR_LOG", "")]).unwrap();
    let config = loaded.config;
    assert_eq!(config.listen.to_string(), "[::1]:9");
    assert_eq!(config.default_limit, Some("12.5".parse().unwrap()));
    assert_eq!(config.resolve_after, None);
    assert_eq!(config.timeout, SignedDuration::from_secs(90));
    assert_eq!(config.rate_per_second.get(), 5);
    assert_eq!(config.admin_token.unwrap().expose_secret(), "from-the-file-0123");
    assert_eq!(loaded.given["listen"].0, Source::Variable("BURSAR_LISTEN"));
    assert!(!loaded.given.contains_key("log.level"));
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let text = "listen = \"here\"\nlisten_on = 3\n\n[budget]\ndefault_limit_usd = -1\nsoft = 80\n\
                [log]\nformat = \"xml\"\nlevel = [1]\n";
    let error = loaded(text, &[("BURSAR_RESERVATION_TIMEOUT", "soon")]).unwrap_err();
    let expected = "the config can't be used
  bursar.toml:6: budget.soft: unknown; there are default_limit_usd
  bursar.toml:2: listen_on: unknown; there are listen, data_dir, database, lake, cost, admin_token, \
admin_token_file, budget, reservation, http, rate_limit, metrics, gateway, aws, collect, notify, log, \
upstream
  bursar.toml:9: log.level: must be a text or a number
  bursar.toml:5: budget.default_limit_usd: a limit is between 0 and 1000000000 USD
  bursar.toml:1: listen: \"here\" is not an address with a port, as 127.0.0.1:3010
  bursar.toml:8: log.format: \"xml\" is neither text nor json
  BURSAR_RESERVATION_TIMEOUT: reservation.timeout: \"soon\" is not a duration, as 15m or 24h";
    assert_eq!(sorted(&error), sorted(expected));
}

#[test]
fn a_broken_file_says_where_it_breaks() {
    let error = loaded("listen = \n[log\n", &[]).unwrap_err();
    assert!(error.contains("bursar.toml:1:") && error.contains("bursar.toml:2:"), "{error}");
}

#[test]
fn a_missing_file_is_a_fault() {
    let error = load(Some(Path::new("/no/such.toml")), &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("/no/such.toml:1: No such file"), "{error}");
}

#[test]
fn passwords_are_masked() {
    assert_eq!(masked_url("postgres://me:s3c@ret@db/bursar"), "postgres://me:***@db/bursar");
    assert_eq!(masked_url("postgres://me:s/3?c@db/bursar"), "postgres://me:***@db/bursar");
    assert_eq!(
        masked_url("postgres://db/x?sslmode=require&password=p"),
        "postgres://db/x?sslmode=require&password=***"
    );
    assert_eq!(masked_url("sqlite:///data/bursar.db"), "sqlite:///data/bursar.db");
}

#[test]
fn every_setting_can_be_set() {
    for setting in SETTINGS {
        let unknown = format!("no setting is called {}", setting.key);
        let answer = Config::new(PathBuf::new()).set(setting.key, "x");
        assert_ne!(answer, Err(unknown));
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_variable_that_is_no_text_is_a_fault() {
    let error = loaded("", &[("BURSAR_DATA_DIR", "/data/\u{fffd}")]).unwrap_err();
    assert!(error.contains("BURSAR_DATA_DIR: data_dir: is not UTF-8"), "{error}");
}

#[test]
fn localhost_is_the_loopback_address() {
    let config = loaded("listen = \"localhost:4000\"", &[]).unwrap().config;
    assert_eq!(config.listen, SocketAddr::from(([127, 0, 0, 1], 4000)));
    assert!(loaded("listen = \"localhost\"", &[]).is_err());
}

#[test]
fn a_log_level_is_one_that_exists_or_names_its_module() {
    for level in ["info", "info,store=debug", "warn,server::front[request]=trace", "off"] {
        assert_eq!(loaded("", &[("BURSAR_LOG", level)]).unwrap().config.log_level, level);
    }
    let error = loaded("", &[("BURSAR_LOG", "info,inof")]).unwrap_err();
    let levels = "off, error, warn, info, debug, trace";
    let fault =
        format!("BURSAR_LOG: log.level: \"inof\" is none of {levels}, and not MODULE=LEVEL");
    assert!(error.contains(&fault), "{error}");
}

#[test]
fn a_misspelt_variable_is_told_and_those_of_kubernetes_are_not() {
    let variables = variables(&[
        ("BURSAR_ADMIN_TOKE", "0123456789abcdef"),
        ("BURSAR_LISTEN", "127.0.0.1:1"),
        ("BURSAR_CONFIG", "bursar.toml"),
        ("BURSAR_PORT_3010_TCP_ADDR", "10.0.0.1"),
        ("BURSAR_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
    ]);
    assert_eq!(unknown(&variables), ["BURSAR_ADMIN_TOKE"]);
}

#[test]
fn a_budget_for_cloud_cost_is_a_table_of_its_name() {
    let text = r#"
        [cost.budget.web]
        limit = 12000.50
        only = { service = "Amazon EC2", "tag:team" = "a, b" }
        period = "quarter"
        thresholds = [100, 50]
        [cost.budget."everything here"]
        limit = 1
    "#;
    let budgets = loaded(text, &[]).unwrap().config.cloud_budgets;
    let [web, all] = budgets.as_slice() else { panic!("{budgets:?}") };
    assert_eq!(web.watched.to_string(), "ServiceName = Amazon EC2, tag:team = a, b");
    assert_eq!((web.limit.to_string(), web.watched.period.as_str()), ("12000.5".into(), "quarter"));
    assert_eq!(web.thresholds.percents(), [50, 100]);
    assert_eq!((all.name.as_str(), all.watched.currency.as_str()), ("everything here", "USD"));

    let text = "[cost.budget.a]\nonly = { colour = \"red\" }\nlimit = \"much\"\nhue = 1\n\
                [cost.budget.b]\nperiod = \"week\"\n[cost]\nbudgets = 1\n\
                [cost.budget.c]\nlimit = -1\n";
    let error = loaded(text, &[]).unwrap_err();
    for fault in [
        "bursar.toml:2: cost.budget.a.only.colour: \"colour\" is no dimension",
        "bursar.toml:3: cost.budget.a.limit: \"much\" is no amount",
        "bursar.toml:4: cost.budget.a.hue: unknown; there are limit, only",
        "bursar.toml:5: cost.budget.b: limit is missing",
        "bursar.toml:6: cost.budget.b.period: period \"week\" is none of month",
        "bursar.toml:8: cost.budgets: unknown; there are rates, budget, source",
        "bursar.toml:9: cost.budget.c: a limit is between 0 and",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
}

#[test]
fn a_source_of_bills_is_a_table_of_its_name() {
    let text = r#"
        [cost.source.aws]
        path = "/exports/aws"
        every = "6h"
        on_invalid = "quarantine"
        [cost.source.ai]
        path = "ledger"
        [cost.source.focus]
        path = "s3://billing/exports/focus"
    "#;
    let sources = loaded(text, &[]).unwrap().config.cost_sources;
    let [aws, ai, focus] = sources.as_slice() else { panic!("{sources:?}") };
    assert_eq!((aws.name.as_str(), aws.every.as_secs()), ("aws", 6 * 60 * 60));
    assert_eq!((aws.on_invalid, ai.on_invalid), (OnInvalid::Quarantine, OnInvalid::Accept));
    assert_eq!((&ai.origin, ai.every.as_secs()), (&Origin::Ledger, 30 * 60));
    assert_eq!(focus.origin, Origin::Delivered("s3://billing/exports/focus".into()));

    let text = "[cost.source.a]\nevery = \"0s\"\nlacking = \"maybe\"\nwhere = 1\n";
    let error = loaded(text, &[]).unwrap_err();
    for fault in [
        "bursar.toml:1: cost.source.a: path is missing",
        "bursar.toml:2: cost.source.a.every: \"0s\" is not between 1s and 366 days",
        "bursar.toml:3: cost.source.a.lacking: \"maybe\" is not true or false",
        "bursar.toml:4: cost.source.a.where: unknown; there are path, every",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
}

#[test]
fn cost_explorer_is_a_source_with_accounts_and_a_profile() {
    let text = r#"
        [cost.source.aws]
        path = "cost-explorer"
        accounts = ["123456789012", "000000000001"]
        profile = "billing"
    "#;
    let sources = loaded(text, &[]).unwrap().config.cost_sources;
    let accounts = ["123456789012", "000000000001"].map(str::to_owned).to_vec();
    let profile = Some("billing".to_owned());
    assert_eq!(sources[0].origin, Origin::CostExplorer { accounts, profile });
    assert_eq!(sources[0].every.as_secs(), 6 * 60 * 60);

    let text = "[cost.source.a]\npath = \"exports\"\nprofile = \"x\"\n\
                [cost.source.b]\npath = \"cost-explorer\"\naccounts = [12]\n\
                on_invalid = \"refuse\"\n";
    let error = loaded(text, &[]).unwrap_err();
    for fault in [
        "bursar.toml:3: cost.source.a.profile: is for path = \"cost-explorer\" alone",
        "bursar.toml:6: cost.source.b.accounts: \"12\" is not an account of AWS",
        "bursar.toml:7: cost.source.b.on_invalid: Cost Explorer tells no quantities",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
}

#[test]
fn what_is_collected_is_a_setting_like_others() {
    let text = "[aws]\ncalls_most = 7\nbudgets_every = \"1h\"\n[collect]\nevery = \"1m\"\n\
                [collect.s3]\nbuckets = \"logs, backups\"\n\
                [collect.clickhouse]\nurl = \"http://ch:8123\"\n\
                [collect.postgres_wal]\nurl = \"postgres://me:secret@db/postgres\"\n";
    let config = loaded(text, &[]).unwrap().config;
    assert_eq!((config.aws_calls, config.aws_budgets_every.map(|e| e.as_secs())), (7, Some(3_600)));
    let buckets = config.collect.buckets.unwrap();
    assert_eq!(buckets, ["logs", "backups"]);
    let all = loaded("", &[("BURSAR_COLLECT_S3_BUCKETS", "all")]).unwrap().config.collect;
    assert_eq!(all.buckets, Some(Vec::new()));
    let wal = setting::by_key("collect.postgres_wal.url").unwrap();
    assert_eq!(shown(wal, "postgres://me:secret@db/x"), "postgres://me:***@db/x");

    let text = "[collect.s3]\nbuckets = \"a b\"\n[collect.clickhouse]\n\
                url = \"http://me:secret@ch:8123\"\n[collect.postgres_wal]\n\
                url = \"sqlite:///x.db\"\n[collect.mongo]\nurl = 1\n";
    let error = loaded(text, &[]).unwrap_err();
    for fault in [
        "bursar.toml:2: collect.s3.buckets: \"a b\" is no bucket",
        "bursar.toml:4: collect.clickhouse.url: holds a user, a password or a query",
        "bursar.toml:6: collect.postgres_wal.url: is no address of Postgres",
        "bursar.toml:7: collect.mongo: unknown; there are every, s3, clickhouse, postgres_wal",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
}

#[test]
fn a_channel_is_a_table_of_its_name_and_its_secret_may_lie_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, "0123456789abcdef\nfedcba9876543210\n").unwrap();
    let text = format!(
        r#"
        [notify]
        quiet_hours = "22:00-07:00"
        time_zone = "Europe/Berlin"
        digest = "friday 16:30"
        review = "never"
        [notify.channel.mail]
        type = "email"
        host = "127.0.0.1"
        port = 1025
        tls = "none"
        from = "Bursar <bursar@example.com>"
        to = ["ops@example.com", "cfo@example.com"]
        severity = "warning"
        [notify.channel.hook]
        type = "webhook"
        url = "https://example.com/hook"
        secret_file = "{}"
        events = ["budget_exhausted", "digest"]
        per_minute = 6
        group = "1m"
        attempts = 3
        [notify.channel.pager]
        type = "pagerduty"
        key = "R0123456789"
        "#,
        file.display()
    );
    let notify = loaded(&text, &[]).unwrap().config.notify;
    assert_eq!(notify.zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(
        notify.digest.map(|(day, time)| format!("{day:?} {time}")).unwrap(),
        "Friday 16:30:00"
    );
    assert_eq!(notify.review, None);
    assert_eq!(notify.quiet.map(|(from, to)| (from.hour(), to.hour())), Some((22, 7)));
    let [mail, hook, pager] = notify.channels.as_slice() else { panic!("{notify:?}") };
    let Target::Email(settings) = &mail.target else { panic!("{mail:?}") };
    assert_eq!((settings.port, settings.to.len()), (Some(1025), 2));
    assert_eq!(mail.wanted.severity, budget::Severity::Warning);
    let Target::Webhook(url, secrets) = &hook.target else { panic!("{hook:?}") };
    assert_eq!((url.host(), secrets.len()), ("example.com", 2));
    assert_eq!((hook.pace.per_minute, hook.pace.window.as_secs()), (6, 60));
    assert_eq!((hook.pace.attempts_most, hook.wanted.topics.as_ref().unwrap().len()), (3, 2));
    assert_eq!(pager.wanted.severity, budget::Severity::Critical);
    let shown = format!("{notify:?}");
    for secret in ["0123456789abcdef", "R0123456789", "/hook"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_channel_that_can_not_be_meant_is_told_with_its_line() {
    let text = "[notify]\nquiet_hours = \"late\"\ntime_zone = \"Berlin\"\ndigest = \"monday\"\n\
                colour = 1\n[notify.channel.a]\nseverity = \"loud\"\n\
                [notify.channel.b]\ntype = \"fax\"\n\
                [notify.channel.c]\ntype = \"slack\"\nurl = \"http://example.com/secret\"\n\
                host = \"x\"\nevents = \"budgets\"\n\
                [notify.channel.d]\ntype = \"email\"\nhost = \"mail.example.com\"\n\
                from = \"b@example.com\"\ntls = \"none\"\n\
                [notify.channel.e]\ntype = \"webhook\"\nurl = \"https://example.com\"\n\
                secret = \"short\"\nsecret_file = \"/no/such\"\n\
                [notify.channel.f]\ntype = \"teams\"\n";
    let error = loaded(text, &[]).unwrap_err();
    for fault in [
        "bursar.toml:2: notify.quiet_hours: \"late\" is not 22:00-07:00",
        "bursar.toml:3: notify.time_zone: \"Berlin\" is no time zone",
        "bursar.toml:4: notify.digest: \"monday\" is no day and time",
        "bursar.toml:5: notify.colour: unknown; there are quiet_hours, time_zone, templates, digest, \
         review, ingest_stale, anomaly, alertmanager_token_file, channel",
        "bursar.toml:6: notify.channel.a: type is missing",
        "bursar.toml:7: notify.channel.a.severity: \"loud\" is none of info, warning",
        "bursar.toml:9: notify.channel.b.type: is none of email, slack",
        "bursar.toml:12: notify.channel.c.url: has to begin with https://",
        "bursar.toml:13: notify.channel.c.host: unknown; there are type, events",
        "bursar.toml:14: notify.channel.c.events: \"budgets\" is none of budget_threshold",
        "bursar.toml:15: notify.channel.d: mail through mail.example.com has to be encrypted",
        "bursar.toml:20: notify.channel.e: has more than one of secret, secret_file, secret_env",
        "bursar.toml:25: notify.channel.f: url, url_file or url_env is missing",
    ] {
        assert!(error.contains(fault), "{fault}: {error}");
    }
    assert!(!error.contains("com/secret"), "{error}");
}
