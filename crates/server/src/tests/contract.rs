//! The OpenAPI document and the router say the same.

use super::*;

#[tokio::test]
async fn every_url_is_documented_and_answers() {
    let service = Harness::open();
    let document = service.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let documented: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let mut routed: Vec<String> =
        crate::router::routes().paths().iter().map(|path| path.replace("{*", "{")).collect();
    routed.sort();
    assert_eq!(documented, routed);
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path.replace("{id}", ID).replace("{name}", "lambda");
            let answer = service.ask(&method.to_uppercase(), &path, None, "").await;
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let responses = &item[method]["responses"];
            let status = answer.status.as_str();
            assert!(responses.get(status).is_some(), "{method} {path}: {status} is undocumented");
        }
    }
}

#[tokio::test]
async fn references_in_the_document_lead_somewhere() {
    let text = Harness::open().get("/openapi.json").await.text;
    let document: Value = serde_json::from_str(&text).unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn pages_run_their_own_script_alone() {
    let page = Harness::open().get("/").await;
    let policy = page.header("content-security-policy");
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(page.text.contains(&format!("<script nonce=\"{nonce}\">")));
    assert!(!page.text.contains("{{"));
}
