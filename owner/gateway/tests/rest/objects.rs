//! Objects: what is stored comes back, in whole and in part, under conditions and by version.

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::http::Served;

const OBJECT: &str = "/v1/datastores/logs/objects/2026/a%20b%2Fc%C3%BC";

async fn served() -> Served {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    served
}

#[tokio::test]
async fn an_object_comes_back_with_its_headers() {
    let served = served().await;
    let headers = [
        ("content-type", "text/plain"),
        ("x-meta-author", "J%C3%BCrg"),
        ("x-tags", "project=apollo&note=a+b"),
        ("x-storage-policy", "hot"),
    ];

    let put = served.send(Method::PUT, OBJECT, &headers, "hello").await;
    let got = served.get(OBJECT).await;

    assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
    assert_eq!(put.json()["key"], "2026/a b/cü");
    assert_eq!(put.json()["metadata"], json!({"author": "Jürg"}));
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.body, "hello");
    assert_eq!(got.header("content-type"), "text/plain");
    assert_eq!(got.header("content-length"), "5");
    assert_eq!(got.header("x-meta-author"), "J%C3%BCrg");
    assert_eq!(got.header("x-tags"), "project=apollo&note=a%20b");
    assert_eq!(got.header("accept-ranges"), "bytes");
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("x-version"), put.json()["version"]);
    assert_eq!(got.header("content-security-policy"), "sandbox");
    assert!(!got.header("last-modified").is_empty());
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let served = served().await;
    served.put(OBJECT, "hello").await;

    let head = served.send(Method::HEAD, OBJECT, &[], "").await;
    let get = served.get(OBJECT).await;

    assert_eq!(head.status, StatusCode::OK);
    assert!(head.body.is_empty());
    for name in [
        "content-length",
        "etag",
        "x-version",
        "content-type",
        "last-modified",
    ] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[tokio::test]
async fn an_object_of_many_segments_comes_back_whole_and_in_ranges() {
    let served = served().await;
    let content: Vec<u8> = (0..11_000_000_u32).map(|at| (at * 7 / 3) as u8).collect();

    let put = served.put(OBJECT, content.clone()).await;
    let whole = served.get(OBJECT).await;
    let range = [("range", "bytes=4194300-8388700")];
    let part = served.send(Method::GET, OBJECT, &range, "").await;

    assert_eq!(put.status, StatusCode::CREATED, "{}", put.text());
    assert!(whole.body == content);
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert!(part.body == content[4_194_300..=8_388_700]);
    assert_eq!(
        part.header("content-range"),
        "bytes 4194300-8388700/11000000"
    );
}

#[tokio::test]
async fn ranges_are_cut_to_the_object_or_refused() {
    let served = served().await;
    served.put(OBJECT, "0123456789").await;
    let range = async |value: &str| {
        served
            .send(Method::GET, OBJECT, &[("range", value)], "")
            .await
    };

    for (value, body, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=7-99", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = range(value).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{value}");
        assert_eq!(answer.body, body, "{value}");
        assert_eq!(answer.header("content-range"), content_range);
    }
    for value in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let answer = range(value).await;
        answer.assert_problem(416, "range");
        assert_eq!(answer.header("content-range"), "bytes */10");
    }
    for value in ["bytes=1-2,4-5", "lines=1-2", "bytes=4-2"] {
        let answer = range(value).await;
        assert_eq!(answer.status, StatusCode::OK, "{value}");
        assert_eq!(answer.body, "0123456789");
    }
}

#[tokio::test]
async fn an_empty_object_has_no_range() {
    let served = served().await;
    served.put(OBJECT, "").await;

    let whole = served.get(OBJECT).await;
    let range = served
        .send(Method::GET, OBJECT, &[("range", "bytes=0-")], "")
        .await;

    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.header("content-length"), "0");
    range.assert_problem(416, "range");
}

#[tokio::test]
async fn conditions_are_compared_with_the_current_version() {
    let served = served().await;
    let first = served.put(OBJECT, "one").await.header("etag").to_owned();
    let put = async |name: &str, value: &str| {
        served
            .send(Method::PUT, OBJECT, &[(name, value)], "two")
            .await
    };

    put("if-none-match", "*")
        .await
        .assert_problem(412, "condition-failed");
    put("if-none-match", &first)
        .await
        .assert_problem(412, "condition-failed");
    put("if-match", "\"other\"")
        .await
        .assert_problem(412, "condition-failed");
    let second = put("if-match", &first).await;
    assert_eq!(second.status, StatusCode::CREATED);
    put("if-match", &first)
        .await
        .assert_problem(412, "condition-failed");
    assert_eq!(put("if-match", "*").await.status, StatusCode::CREATED);
    assert_eq!(
        put("if-none-match", &first).await.status,
        StatusCode::CREATED
    );
    put("if-match", "nonsense")
        .await
        .assert_problem(400, "malformed");
}

#[tokio::test]
async fn whoever_has_the_object_already_is_told_so() {
    let served = served().await;
    let etag = served.put(OBJECT, "one").await.header("etag").to_owned();

    let same = served
        .send(Method::GET, OBJECT, &[("if-none-match", &etag)], "")
        .await;
    let other = served
        .send(Method::GET, OBJECT, &[("if-none-match", "\"x\"")], "")
        .await;
    let failed = served
        .send(Method::GET, OBJECT, &[("if-match", "\"x\"")], "")
        .await;

    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    assert_eq!(same.header("etag"), etag);
    assert!(same.body.is_empty());
    assert_eq!(other.body, "one");
    failed.assert_problem(412, "condition-failed");
}

#[tokio::test]
async fn older_versions_are_read_listed_and_deleted() {
    let served = Served::start().await;
    served.make_datastore("logs", true).await;
    let first = served
        .put(OBJECT, "one")
        .await
        .header("x-version")
        .to_owned();
    served.put(OBJECT, "two").await;

    let old = served.get(&format!("{OBJECT}?version={first}")).await;
    let deleted = served.send(Method::DELETE, OBJECT, &[], "").await;
    let gone = served.get(OBJECT).await;
    let listed = served
        .get("/v1/datastores/logs/objects?versions=true")
        .await;

    assert_eq!(old.body, "one");
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(deleted.header("x-delete-marker"), "true");
    gone.assert_problem(404, "not-found");
    let objects = listed.json()["objects"].as_array().unwrap().clone();
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[0]["is_delete_marker"], true);
    assert_eq!(objects[2]["version"], first);
}

#[tokio::test]
async fn a_listing_is_cut_into_pages_and_prefixes() {
    let served = served().await;
    for key in ["a/1", "a/2", "b", "c"] {
        served
            .put(&format!("/v1/datastores/logs/objects/{key}"), key)
            .await;
    }

    let folded = served
        .get("/v1/datastores/logs/objects?delimiter=/")
        .await
        .json();
    let page = served
        .get("/v1/datastores/logs/objects?limit=3")
        .await
        .json();
    let next = page["next"].as_str().unwrap();
    let rest = served
        .get(&format!("/v1/datastores/logs/objects?cursor={next}"))
        .await
        .json();

    assert_eq!(folded["prefixes"], json!(["a/"]));
    assert_eq!(folded["objects"].as_array().unwrap().len(), 2);
    assert_eq!(page["objects"].as_array().unwrap().len(), 3);
    assert_eq!(rest["objects"][0]["key"], "c");
    assert!(rest.get("next").is_none());
}

#[tokio::test]
async fn objects_are_found_by_an_indexed_tag() {
    let served = served().await;
    for (key, tags) in [("a", "project=apollo"), ("b", "project=gemini")] {
        let path = format!("/v1/datastores/logs/objects/{key}");
        served
            .send(Method::PUT, &path, &[("x-tags", tags)], key)
            .await;
    }

    let found = served
        .get("/v1/datastores/logs/objects?tag=project:apollo")
        .await
        .json();

    assert_eq!(found["objects"].as_array().unwrap().len(), 1);
    assert_eq!(found["objects"][0]["key"], "a");
}

#[tokio::test]
async fn a_copy_carries_what_its_source_does() {
    let served = served().await;
    let headers = [
        ("content-type", "text/plain"),
        ("x-meta-a", "1"),
        ("x-tags", "t=1"),
    ];
    served.send(Method::PUT, OBJECT, &headers, "hello").await;
    let target = "/v1/datastores/logs/objects/copy";
    let from = "logs/2026/a%20b/c%C3%BC";

    let copied = served
        .send(
            Method::PUT,
            target,
            &[("x-copy-from", from), ("x-meta-b", "2")],
            "",
        )
        .await;
    let got = served.get(target).await;
    let with_body = served
        .send(Method::PUT, target, &[("x-copy-from", from)], "x")
        .await;
    let of_nothing = served
        .send(Method::PUT, target, &[("x-copy-from", "logs/none")], "")
        .await;

    assert_eq!(copied.status, StatusCode::CREATED, "{}", copied.text());
    assert_eq!(got.body, "hello");
    assert_eq!(got.header("content-type"), "text/plain");
    assert_eq!(got.header("x-tags"), "t=1");
    assert_eq!((got.header("x-meta-a"), got.header("x-meta-b")), ("", "2"));
    with_body.assert_problem(400, "malformed");
    of_nothing.assert_problem(404, "not-found");
}

#[tokio::test]
async fn any_utf_8_is_a_key_of_1_to_1024_bytes() {
    let served = served().await;
    let path = |key: &str| format!("/v1/datastores/logs/objects/{key}");
    let long = "k".repeat(1024);

    for (key, told) in [
        ("%00", "\0"),
        ("%2e%2e", ".."),
        ("a//b", "a//b"),
        ("%2Fa", "/a"),
        ("/a", "/a"),
        ("%F0%9F%98%80", "😀"),
        ("a%3Fb", "a?b"),
        (long.as_str(), long.as_str()),
    ] {
        let put = served.put(&path(key), "x").await;
        assert_eq!(put.status, StatusCode::CREATED, "{key}: {}", put.text());
        assert_eq!(put.json()["key"], told);
        let location = put.header("location").to_owned();
        assert_eq!(served.get(&location).await.body, "x", "{location}");
    }
    served
        .put(&path(&"k".repeat(1025)), "x")
        .await
        .assert_problem(400, "malformed");
    served
        .put(&path("%FF"), "x")
        .await
        .assert_problem(400, "malformed");
    served
        .put(&path(""), "x")
        .await
        .assert_problem(400, "malformed");
}

#[tokio::test]
async fn where_fragments_lie_is_told_at_a_path_that_no_key_takes() {
    let served = served().await;
    served.put("/v1/datastores/logs/objects/a", "x").await;

    let stat = served.get("/v1/datastores/logs/stat?key=a").await;

    assert_eq!(stat.status, StatusCode::OK, "{}", stat.text());
    assert_eq!(stat.json()["object"]["key"], "a");
    assert_eq!(stat.json()["storage"]["owed"], 0);
}

#[tokio::test]
async fn a_deletion_that_is_done_and_not_sure_is_accepted() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    served.put(OBJECT, "x").await;
    served.store.leave_deletions_unsure();

    let deleted = served.send(Method::DELETE, OBJECT, &[], "").await;

    assert_eq!(deleted.status, StatusCode::ACCEPTED, "{}", deleted.text());
    assert!(!deleted.header("x-version").is_empty());
    served.get(OBJECT).await.assert_problem(404, "not-found");
}
