//! Tokens are made, listed and deleted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::extract::{JsonOf, NoQuery, PathOf, QueryOf};
use super::object::time_text;
use super::objects::page_limit;
use crate::gateway::Shared;
use crate::problem::{Kind, Problem};
use crate::tokens::{
    Grant, Grants, RECORD_KIND, Record, Right, TokenError, TokenRequest, from_hex, mint_with_record,
};

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// For people: whose it is, or what for.
    #[serde(default)]
    #[schema(max_length = 256, example = "nightly backup")]
    label: String,
    /// What it grants.
    #[schema(min_items = 1, max_items = 64)]
    grants: Vec<Grant>,
    /// Seconds from now after which it grants nothing; without it the token stays until it is deleted.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3_155_760_000_u64, example = 86400)]
    lifetime_s: Option<u64>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    /// Its id: 32 hexadecimal digits.
    id: String,
    /// For people: whose it is, or what for.
    label: String,
    /// What it grants.
    grants: Vec<Grant>,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// When it expires; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires: Option<String>,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MintedToken {
    /// What whoever uses it sends as `Authorization: Bearer …`. It is shown this once.
    token: String,
    /// What was made.
    #[serde(flatten)]
    made: Token,
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenPage {
    /// Ascending by id.
    tokens: Vec<Token>,
    /// The cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TokenQuery {
    /// `next` of the page before.
    #[serde(default)]
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    cursor: String,
    /// Entries of a page; 1000 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl Token {
    fn new(id: String, record: &Record) -> Self {
        Self {
            id,
            label: record.label.clone(),
            grants: record.grants.as_slice().to_vec(),
            created: time_text(record.created_ms),
            expires: record.expires_ms.map(time_text),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Request(detail) => Self::malformed(detail),
            TokenError::Store(error) => error.into(),
        }
    }
}

/// Lists tokens, without their secrets.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = super::openapi::TOKENS,
    operation_id = "listTokens",
    params(TokenQuery),
    responses((status = 200, description = "A page of tokens", body = TokenPage)),
)]
pub(super) async fn list(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    QueryOf(query): QueryOf<TokenQuery>,
) -> Result<Json<TokenPage>, Problem> {
    caller.may_everywhere(Right::Administer)?;
    let limit = page_limit(query.limit)?;
    let records = shared.client.records(RECORD_KIND, &query.cursor, limit);
    let records = records.await?;
    let is_full = u32::try_from(records.len()) == Ok(limit);
    let next = records.last().filter(|_| is_full).map(|it| it.0.clone());
    let tokens = records.into_iter().filter_map(|(id, content)| {
        let record = Record::decode(&content)?;
        Some(Token::new(id, &record))
    });
    Ok(Json(TokenPage {
        tokens: tokens.collect(),
        next,
    }))
}

/// Makes a token, which grants no more than the one that asks. Its text is in the answer, and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = super::openapi::TOKENS,
    operation_id = "createToken",
    request_body = NewToken,
    responses((status = 201, description = "The token", body = MintedToken)),
)]
pub(super) async fn create(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    JsonOf(new): JsonOf<NewToken>,
) -> Result<Response, Problem> {
    caller.may_everywhere(Right::Administer)?;
    caller.may_grant(&Grants::new(new.grants.clone())?)?;
    let request = TokenRequest {
        label: new.label,
        grants: new.grants,
        lifetime_s: new.lifetime_s,
    };
    let (text, record) = mint_with_record(&shared.client, &request).await?;
    let minted = MintedToken {
        token: text.expose().to_string(),
        made: Token::new(text.id_hex(), &record),
    };
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(minted)).into_response())
}

/// Deletes a token, which cannot be the one that asks. Other gateways may believe it for some seconds more.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{token}",
    tag = super::openapi::TOKENS,
    operation_id = "deleteToken",
    params(super::openapi::TokenPath),
    responses(
        (status = 204, description = "It is worth nothing any more"),
        super::openapi::Conflict,
    ),
)]
pub(super) async fn delete(
    caller: Caller,
    _: NoQuery,
    State(shared): State<Arc<Shared>>,
    PathOf(id): PathOf<String>,
) -> Result<StatusCode, Problem> {
    caller.may_everywhere(Right::Administer)?;
    let bytes = from_hex::<16>(&id)
        .ok_or_else(|| Problem::malformed("a token's id has 32 hexadecimal digits"))?;
    if bytes == caller.id {
        return Err(Problem::new(
            Kind::IN_USE,
            "a token does not delete itself: make another, and delete this one with it",
        ));
    }
    let id = id.to_ascii_lowercase();
    if shared.client.record(RECORD_KIND, &id).await?.is_none() {
        return Err(Problem::new(Kind::NO_TOKEN, "there is no token of this id"));
    }
    shared.client.delete_record(RECORD_KIND, &id).await?;
    shared.tokens.forget(bytes);
    Ok(StatusCode::NO_CONTENT)
}
