//! Tokens: what they grant, how they end, and that nothing but their record is believed.

use hyper::{Method, StatusCode};
use sc_gateway::{Grant, Limits, Right, TokenRequest, TokenText, mint};
use serde_json::json;

use crate::http::Served;

const OBJECT: &str = "/v1/datastores/logs/objects/a";

impl Served {
    /// The status of a request with this token.
    async fn status(&self, token: &str, method: Method, path: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        let answer = self
            .send_bare(method, path, &[("authorization", &bearer)], "")
            .await;
        answer.status.as_u16()
    }

    async fn mint(&self, datastore: &str, rights: &[Right]) -> String {
        let request = TokenRequest {
            grants: vec![Grant {
                datastores: vec![datastore.into()],
                rights: rights.to_vec(),
            }],
            ..TokenRequest::default()
        };
        let text = mint(&self.client, &request).await.unwrap();
        text.expose().to_string()
    }
}

#[tokio::test]
async fn a_token_may_do_what_it_grants_and_nothing_else() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    served.make_datastore("other", false).await;
    served.put(OBJECT, "x").await;
    let listing = "/v1/datastores/logs/objects";

    for (right, allowed) in [
        (Right::Read, (Method::GET, OBJECT, 200)),
        (Right::Write, (Method::PUT, OBJECT, 201)),
        (Right::List, (Method::GET, listing, 200)),
        (
            Right::Delete,
            (Method::DELETE, "/v1/datastores/logs/objects/b", 204),
        ),
        (
            Right::Administer,
            (Method::DELETE, "/v1/datastores/logs", 409),
        ),
    ] {
        let token = served.mint("logs", &[right]).await;
        let tried = [
            (Method::GET, OBJECT, 200),
            (Method::PUT, OBJECT, 201),
            (Method::GET, listing, 200),
            (Method::DELETE, "/v1/datastores/logs/objects/b", 204),
            (Method::DELETE, "/v1/datastores/logs", 409),
        ];
        for (method, path, status) in tried {
            let is_allowed = (method.clone(), path, status) == allowed;
            let expected = if is_allowed { status } else { 403 };
            let got = served.status(&token, method.clone(), path).await;
            assert_eq!(got, expected, "{right:?}: {method} {path}");
        }
        let elsewhere = "/v1/datastores/other/objects/a";
        assert_eq!(served.status(&token, Method::GET, elsewhere).await, 403);
        assert_eq!(served.status(&token, Method::GET, "/v1/tokens").await, 403);
    }
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_told() {
    let served = Served::start().await;
    let made_up = TokenText::parse(&format!("sc_{}", "A".repeat(64))).unwrap();
    let mut wrong = served.token.clone();
    wrong.replace_range(60..61, if &wrong[60..61] == "A" { "B" } else { "A" });

    for value in [
        "",
        "Bearer",
        "Bearer sc_",
        "Basic abc",
        &format!("Bearer {}", &*made_up.expose()),
        &format!("Bearer {wrong}"),
        &served.token,
    ] {
        let answer = served
            .send_bare(
                Method::GET,
                "/v1/datastores",
                &[("authorization", value)],
                "",
            )
            .await;
        answer.assert_problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        assert!(!answer.text().contains(&served.token[3..20]));
    }
    let none = served
        .send_bare(Method::GET, "/v1/datastores", &[], "")
        .await;
    none.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_listing_shows_only_datastores_that_are_granted() {
    let served = Served::start().await;
    served.make_datastore("logs", false).await;
    served.make_datastore("other", false).await;
    let token = served.mint("log*", &[Right::Read]).await;

    let bearer = format!("Bearer {token}");
    let listed = served
        .send_bare(
            Method::GET,
            "/v1/datastores",
            &[("authorization", &bearer)],
            "",
        )
        .await;

    let datastores = listed.json()["datastores"].as_array().unwrap().clone();
    assert_eq!(datastores.len(), 1);
    assert_eq!(datastores[0]["name"], "logs");
}

#[tokio::test]
async fn a_token_is_made_listed_and_deleted_over_rest() {
    let served = Served::start().await;
    let new = json!({
        "label": "backup", "lifetime_s": 3600,
        "grants": [{"datastores": ["logs"], "rights": ["read", "list"]}],
    });

    let made = served.send_json(Method::POST, "/v1/tokens", &new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let (text, id) = (made.json()["token"].clone(), made.json()["id"].clone());
    let (text, id) = (text.as_str().unwrap(), id.as_str().unwrap());
    let before = served.status(text, Method::GET, "/v1/datastores").await;
    let listed = served.get("/v1/tokens").await;
    let path = format!("/v1/tokens/{id}");
    let deleted = served.send(Method::DELETE, &path, &[], "").await;
    let after = served.status(text, Method::GET, "/v1/datastores").await;

    assert_eq!(made.header("cache-control"), "no-store");
    assert_eq!(before, 200);
    assert_eq!(listed.json()["tokens"].as_array().unwrap().len(), 2);
    assert!(!listed.text().contains(&text[25..]));
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(after, 401);
    served
        .send(Method::DELETE, &path, &[], "")
        .await
        .assert_problem(404, "no-token");
    let own = TokenText::parse(&served.token).unwrap().id_hex();
    let own = served
        .send(Method::DELETE, &format!("/v1/tokens/{own}"), &[], "")
        .await;
    own.assert_problem(409, "in-use");
}

#[tokio::test]
async fn a_record_put_in_anothers_place_gains_nothing() {
    let served = Served::start_with(Limits {
        token_memory: std::time::Duration::ZERO,
        ..Limits::default()
    })
    .await;
    let weak = served.mint("logs", &[Right::Read]).await;
    let id = |token: &str| TokenText::parse(token).unwrap().id_hex();

    served.store.swap_records(&id(&served.token), &id(&weak));

    let status = served.status(&weak, Method::GET, "/v1/tokens").await;
    assert!(status == 502 || status == 401, "{status}");
}

#[tokio::test]
async fn numbers_are_told_to_whoever_may_list_everything() {
    let served = Served::start().await;
    let weak = served.mint("logs", &[Right::List]).await;

    let told = served.get("/metrics").await;

    assert_eq!(told.status, StatusCode::OK);
    assert!(
        told.text()
            .contains("securecloud_gateway_answers_total{class=\"2xx\"}")
    );
    assert_eq!(served.status(&weak, Method::GET, "/metrics").await, 403);
}

#[tokio::test]
async fn a_token_makes_none_that_grants_more_than_itself() {
    let served = Served::start().await;
    let maker = served.mint("*", &[Right::Administer, Right::Read]).await;
    let bearer = format!("Bearer {maker}");
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    let made = async |grants: serde_json::Value| {
        let body = json!({ "grants": grants }).to_string();
        let answer = served.send_bare(Method::POST, "/v1/tokens", &headers, body);
        answer.await
    };

    let less = made(json!([{"datastores": ["logs"], "rights": ["read"]}])).await;
    let more = made(json!([{"datastores": ["logs"], "rights": ["read", "write"]}])).await;

    assert_eq!(less.status, StatusCode::CREATED, "{}", less.text());
    more.assert_problem(403, "forbidden");
    assert!(more.text().contains("the right write"), "{}", more.text());
}
