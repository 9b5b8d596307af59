//! Alerts that are noted for the digest.

use budget::{Deliveries, DeliveryFilter, DeliveryState};

use super::*;

const PATH: &str = "/api/v1/notify/alertmanager";
const BEARER: &str = "the-alertmanagers-token";

/// As Alertmanager 0.28 sends it.
fn body(fingerprint: &str, severity: &str, status: &str) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"IdlePod\"}", "truncatedAlerts": 0,
        "status": "firing", "receiver": "digest", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://alertmanager:9093",
        "alerts": [{
            "status": status,
            "labels": { "alertname": "IdlePod", "severity": severity },
            "annotations": { "summary": "reporting-7c9 idles" },
            "startsAt": "2026-11-09T08:00:00.123Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090", "fingerprint": fingerprint,
        }],
    })
}

fn locked() -> (Harness, Arc<Memory>) {
    let config = Config {
        admin_token: Some(TOKEN.into()),
        alert_token: Some(BEARER.into()),
        ..Config::default()
    };
    Harness::on(config, |clock| Arc::new(Memory::new(Defaults::default(), clock)))
}

#[tokio::test]
async fn an_alert_of_severity_info_is_noted_once() {
    let (service, store) = locked();
    let tell = async |fingerprint: &str, severity: &str, status: &str| {
        let body = body(fingerprint, severity, status);
        let answer = service.ask("POST", PATH, Some(body), BEARER).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["noted"].as_u64().unwrap()
    };
    assert_eq!(tell("0a1b", "info", "firing").await, 1);
    // Alertmanager repeats itself, and says when it is over.
    assert_eq!(tell("0a1b", "info", "firing").await, 0);
    assert_eq!(tell("0a1b", "info", "resolved").await, 0);
    assert_eq!(tell("0a1c", "critical", "firing").await, 0);
    assert_eq!(tell("0a1d", "info", "firing").await, 1);
    let kept = store.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[1].state, DeliveryState::Noted);
    assert_eq!(kept[1].key, "alert/0a1b/2026-11-09T08:00:00.123Z");
    assert!(kept[1].facts.contains("reporting-7c9 idles"));
}

#[tokio::test]
async fn its_token_opens_nothing_else_and_others_dont_open_it() {
    let (service, _) = locked();
    let tell = async |token: &str| {
        let body = body("0a1b", "info", "firing");
        service.ask("POST", PATH, Some(body), token).await.status
    };
    assert_eq!(tell("").await, StatusCode::UNAUTHORIZED);
    assert_eq!(tell("wrong").await, StatusCode::UNAUTHORIZED);
    assert_eq!(tell(TOKEN).await, StatusCode::OK);
    for path in ["/metrics", "/api/v1/tenants", "/api/v1/events", "/api/v1/notify/other"] {
        let answer = service.ask("GET", path, None, BEARER).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let body = Some(json!({ "tenant_id": "acme" }));
    let key = service.ask("POST", "/api/v1/keys", body, TOKEN).await.json();
    assert_eq!(tell(key["secret"].as_str().unwrap()).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_no_alertmanager_sends_is_refused() {
    let (service, _) = locked();
    let check = async |body: Value, says: &str| {
        let answer = service.ask("POST", PATH, Some(body), BEARER).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert!(answer.text.contains(says), "{}", answer.text);
    };
    check(json!({}), "alerts").await;
    check(body("../x", "info", "firing"), "fingerprint").await;
    check(body("", "info", "firing"), "fingerprint").await;
    let mut many = body("0a1b", "info", "firing");
    many["alerts"] = Value::Array(vec![many["alerts"][0].clone(); 1_001]);
    check(many, "max_alerts").await;
    let mut when = body("0a1b", "info", "firing");
    when["alerts"][0]["startsAt"] = "yesterday".into();
    check(when, "startsAt").await;
}
