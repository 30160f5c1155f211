//! The explorer and the OpenAPI document that it shows.

use std::collections::BTreeSet;

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::http::Served;

#[tokio::test]
async fn the_explorer_is_served_without_a_token_and_asks_no_other_server() {
    let served = Served::start().await;
    let get = async |path: &str| served.send_bare(Method::GET, path, &[], "").await;

    let root = get("/").await;
    let bare = get("/explorer").await;
    let index = get("/explorer/").await;
    let settings = get("/explorer/swagger-initializer.js").await;
    let script = get("/explorer/swagger-ui-bundle.js").await;

    assert_eq!(root.header("location"), "/explorer/");
    assert_eq!(bare.header("location"), "/explorer/");
    assert_eq!(index.status, StatusCode::OK);
    assert!(index.header("content-type").starts_with("text/html"));
    assert!(!index.text().contains("http://") && !index.text().contains("https://"));
    assert!(
        index
            .header("content-security-policy")
            .contains("connect-src 'self'")
    );
    assert!(settings.text().contains("/openapi.json"));
    assert!(
        settings.text().contains("\"persistAuthorization\": true"),
        "{}",
        settings.text()
    );
    assert!(script.body.len() > 100_000);
    get("/explorer/none").await.assert_problem(404, "no-path");
}

/// Every `$ref` below a value.
fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => {
                        found.insert(target);
                    }
                    member => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_holds_all_that_it_refers_to() {
    let served = Served::start().await;

    let document = served
        .send_bare(Method::GET, "/openapi.json", &[], "")
        .await
        .json();

    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for name in ["Problem", "ObjectHead", "Policy", "Grant"] {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(reference.as_str()), "{reference}");
    }
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
}

#[tokio::test]
async fn every_parameter_of_a_path_is_documented() {
    let served = Served::start().await;
    let document = served
        .send_bare(Method::GET, "/openapi.json", &[], "")
        .await
        .json();

    for (path, item) in document["paths"].as_object().unwrap() {
        let named: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array();
            let parameters = parameters.map_or(&[][..], Vec::as_slice);
            let documented: BTreeSet<&str> = parameters
                .iter()
                .filter(|it| it["in"] == "path")
                .map(|it| it["name"].as_str().unwrap())
                .collect();
            assert_eq!(documented, named, "{method} {path}");
            assert!(operation["operationId"].is_string(), "{method} {path}");
        }
    }
}
