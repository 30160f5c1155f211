//! Multipart uploads.

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::http::Served;

#[tokio::test]
async fn parts_in_any_order_become_an_object() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    let new = json!({
        "datastore": "logs", "key": "a/b", "content_type": "text/plain", "tags": {"project": "apollo"},
    });
    let begun = served.send_json(Method::POST, "/v1/uploads", &new).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.text());
    let upload = begun.header("location").to_owned();

    let two = served
        .put(&format!("{upload}/parts/2"), "world")
        .await
        .json();
    let one = served
        .put(&format!("{upload}/parts/1"), "hello ")
        .await
        .json();
    let listed = served.get("/v1/uploads?datastore=logs").await.json();
    let parts = served.get(&format!("{upload}/parts")).await.json();
    let completion = json!({"parts": [
        {"part": 1, "etag": one["etag"]}, {"part": 2, "etag": two["etag"]},
    ]});
    let done = served
        .send_json(Method::POST, &format!("{upload}/complete"), &completion)
        .await;
    let got = served.get("/v1/datastores/logs/objects/a/b").await;

    assert_eq!(listed["uploads"][0]["id"], begun.json()["id"]);
    assert_eq!(listed["uploads"][0]["created"], "2023-11-14T22:13:20.000Z");
    assert_eq!(parts["parts"].as_array().unwrap().len(), 2);
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text());
    assert_eq!(got.body, "hello world");
    assert_eq!(got.header("content-type"), "text/plain");
    assert_eq!(got.header("x-tags"), "project=apollo");
}

#[tokio::test]
async fn an_upload_that_is_over_takes_no_part() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    let new = json!({"datastore": "logs", "key": "a"});
    let begun = served.send_json(Method::POST, "/v1/uploads", &new).await;
    let upload = begun.header("location").to_owned();

    let ended = served.send(Method::DELETE, &upload, &[], "").await;
    let part = served.put(&format!("{upload}/parts/1"), "x").await;

    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    part.assert_problem(404, "upload-gone");
    served
        .put("/v1/uploads/nonsense/parts/1", "x")
        .await
        .assert_problem(404, "upload-gone");
    served
        .put(&format!("{upload}/parts/0"), "x")
        .await
        .assert_problem(400, "malformed");
}

#[tokio::test]
async fn a_part_is_named_by_the_tag_in_its_header_as_well() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    let new = json!({"datastore": "logs", "key": "a"});
    let begun = served.send_json(Method::POST, "/v1/uploads", &new).await;
    let upload = begun.header("location").to_owned();

    let part = served.put(&format!("{upload}/parts/1"), "x").await;
    let tag = part.header("etag").to_owned();
    let completion = json!({"parts": [{"part": 1, "etag": tag}]});
    let done = served
        .send_json(Method::POST, &format!("{upload}/complete"), &completion)
        .await;

    let quoted = format!("\"{}\"", part.json()["etag"].as_str().unwrap());
    assert_eq!(tag, quoted);
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text());
}
