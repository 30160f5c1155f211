//! Problems and documents: every answer is of the form that the OpenAPI document promises.

use hyper::{Method, StatusCode};
use sc_proto::store::problem::Code;
use serde_json::{Value, json};

use crate::http::Served;

#[tokio::test]
async fn what_the_router_refuses_is_a_problem_document_too() {
    let served = Served::start().await;

    served.get("/v2").await.assert_problem(404, "no-path");
    let method = served.send(Method::POST, "/v1/usage", &[], "").await;
    method.assert_problem(405, "method");
    assert_eq!(method.header("allow"), "GET,HEAD");
    let text = served.send(
        Method::POST,
        "/v1/datastores",
        &[("content-type", "text/plain")],
        "x",
    );
    text.await.assert_problem(415, "media-type");
    let headers = [("content-type", "application/json")];
    let broken = served
        .send(Method::POST, "/v1/datastores", &headers, "{")
        .await;
    broken.assert_problem(400, "malformed");
    let large = "x".repeat(2 << 20);
    let large = served
        .send(Method::POST, "/v1/datastores", &headers, large)
        .await;
    large.assert_problem(413, "too-large");
    let unknown = json!({"name": "a", "policy": "hot", "colour": "red"});
    let unknown = served
        .send_json(Method::POST, "/v1/datastores", &unknown)
        .await;
    unknown.assert_problem(400, "malformed");
    let list = json!(["logs", "hot"]);
    let list = served
        .send_json(Method::POST, "/v1/datastores", &list)
        .await;
    list.assert_problem(400, "malformed");
    served
        .get("/v1/tokens?lmit=1")
        .await
        .assert_problem(400, "malformed");
}

#[tokio::test]
async fn what_the_store_refuses_has_a_status_of_its_own() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    let warm = served.get("/v1/datastores/logs/objects/a").await;
    warm.assert_problem(404, "not-found");

    for (code, status, name) in [
        (Code::Quota, 413, "quota"),
        (Code::Placement, 409, "placement"),
        (Code::Forbidden, 403, "forbidden"),
        (Code::Lost, 503, "lost"),
        (Code::NotAuthentic, 502, "not-authentic"),
        (Code::Limit, 413, "limit"),
        (Code::InUse, 409, "in-use"),
    ] {
        served.store.break_down(Some(code));
        let answer = served.get("/v1/datastores/logs/objects/a").await;
        answer.assert_problem(status, name);
        assert_eq!(answer.header("retry-after").is_empty(), status != 503);
    }
}

#[tokio::test]
async fn datastores_policies_and_locations_are_administered() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;

    let twice = json!({"name": "logs", "policy": "hot"});
    let twice = served
        .send_json(Method::POST, "/v1/datastores", &twice)
        .await;
    twice.assert_problem(409, "exists");
    let patch = json!({"versioning": true});
    let patched = served
        .send_json(Method::PATCH, "/v1/datastores/logs", &patch)
        .await;
    assert_eq!(patched.json()["versioning"], true);
    served
        .get("/v1/datastores/none")
        .await
        .assert_problem(404, "no-datastore");
    let definition = json!({"redundancy": {"kind": "rs", "data": 4, "parity": 2}});
    let simulated = served
        .send_json(Method::POST, "/v1/policies/cold/simulate", &definition)
        .await;
    assert_eq!(simulated.status, StatusCode::OK, "{}", simulated.text());
    served
        .get("/v1/policies/cold")
        .await
        .assert_problem(404, "no-policy");
    let absent = served
        .send(Method::POST, "/v1/policies/cold/simulate", &[], "")
        .await;
    absent.assert_problem(404, "no-policy");
    let made = served
        .send_json(Method::PUT, "/v1/policies/cold", &definition)
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    assert_eq!(served.get("/v1/policies/cold").await.json()["name"], "cold");
    let present = served
        .send(Method::POST, "/v1/policies/cold/simulate", &[], "")
        .await;
    assert_eq!(present.status, StatusCode::OK, "{}", present.text());
    let state = json!({"state": "read-only"});
    let location = served
        .send_json(Method::PUT, "/v1/locations/north-1", &state)
        .await;
    assert_eq!(location.json()["state"], "read-only");
    assert_eq!(served.get("/v1/usage").await.status, StatusCode::OK);
    let attestation = served.get("/v1/attestation").await.json();
    assert_eq!(attestation["coders"][0]["tee"], "TEE: SIMULATION");
    let gone = served
        .send(Method::DELETE, "/v1/datastores/logs", &[], "")
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn health_is_told_to_anyone_and_says_what_protects_the_coders() {
    let served = Served::start().await;

    for path in ["/healthz", "/v1/healthz"] {
        let health = served.send_bare(Method::GET, path, &[], "").await;
        assert_eq!(health.status, StatusCode::OK);
        assert_eq!(health.json()["tee"], json!(["TEE: SIMULATION"]));
    }
}

/// Every path and method of the document, with its parameters filled in.
async fn operations(served: &Served) -> Vec<(Method, String, Value)> {
    let document = served
        .send_bare(Method::GET, "/openapi.json", &[], "")
        .await
        .json();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            let filled = path
                .replace("{part}", "1")
                .replace("{token}", &"0".repeat(32))
                .replace(['{', '}'], "");
            operations.push((method, filled, operation.clone()));
        }
    }
    operations
}

#[tokio::test]
async fn every_documented_path_is_served_and_asks_for_a_token() {
    let served = Served::start().await;
    let operations = operations(&served).await;
    assert!(operations.len() > 25);

    for (method, path, operation) in operations {
        let answer = served.send_bare(method.clone(), &path, &[], "").await;
        // What may be asked for with a token or without one is open where the port has opened it: not here.
        let security = operation.get("security").and_then(|it| it.as_array());
        let is_open = security.is_some_and(|all| all.iter().all(|it| *it == json!({})));
        let expected = if is_open { 200 } else { 401 };
        assert_eq!(answer.status.as_u16(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_to_a_broken_store_is_documented() {
    let served = Served::start().await;
    let operations = operations(&served).await;

    for code in [
        Code::Unavailable,
        Code::NotFound,
        Code::Malformed,
        Code::Limit,
    ] {
        for (method, path, operation) in &operations {
            served.store.break_down(None);
            served.get("/v1/datastores").await;
            served.store.break_down(Some(code));
            let answer = served.send(method.clone(), path, &[], "").await;
            let status = answer.status.as_u16().to_string();
            assert!(
                operation["responses"].get(&status).is_some(),
                "{method} {path} answers {status}: {:?}",
                answer.body
            );
            if code == Code::Unavailable {
                // Each try waits; one operation shows it.
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_parameter_that_no_path_knows_is_refused_everywhere() {
    let served = Served::start().await;

    for (method, path, operation) in operations(&served).await {
        let required = operation["parameters"].as_array().into_iter().flatten();
        let required = required.filter(|it| it["in"] == "query" && it["required"] == true);
        let known = required.map(|it| format!("{}=a&", it["name"].as_str().unwrap()));
        let path = format!("{path}?{}misspelt=1", known.collect::<String>());
        let headers = [("content-type", "application/json")];

        let answer = served.send(method.clone(), &path, &headers, "{}").await;

        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path}");
        if method != Method::HEAD {
            answer.assert_problem(400, "malformed");
            let text = answer.text();
            assert!(
                text.contains("misspelt") || text.contains("question mark"),
                "{method} {path}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn jobs_are_begun_listed_shown_and_cancelled() {
    let served = Served::start().await;
    let scrub = json!({ "kind": "scrub", "sample": 0.5 });

    let begun = served.send_json(Method::POST, "/v1/jobs", &scrub).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED);
    assert_eq!(begun.json()["definition"], scrub);
    let drained = served.send(Method::POST, "/v1/locations/north-1/drain", &[], "");
    assert_eq!(drained.await.json()["definition"]["location"], "north-1");
    let locations = served.get("/v1/locations").await.json();
    assert_eq!(locations["locations"][0]["state"], "draining");

    let ids = |page: Value| -> Vec<u64> {
        let jobs = page["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(served.get("/v1/jobs").await.json()), [2, 1]);
    assert_eq!(ids(served.get("/v1/jobs?before=2").await.json()), [1]);
    assert_eq!(ids(served.get("/v1/jobs?limit=1").await.json()), [2]);
    assert_eq!(served.get("/v1/jobs/1").await.json()["state"], "running");
    let cancelled = served.send(Method::DELETE, "/v1/jobs/1", &[], "").await;
    assert_eq!(cancelled.json()["state"], "cancelled");

    for (path, status, code) in [
        ("/v1/jobs/3", 404, "not-found"),
        ("/v1/jobs/x", 400, "malformed"),
        ("/v1/jobs?limit=0", 400, "malformed"),
        ("/v1/jobs?before=0", 400, "malformed"),
    ] {
        served.get(path).await.assert_problem(status, code);
    }
    let nothing = served.send_json(Method::POST, "/v1/jobs", &json!({})).await;
    nothing.assert_problem(400, "malformed");
}
