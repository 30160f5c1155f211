//! Who asks: the bearer of a token, and what it grants.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::gateway::Shared;
use crate::problem::{Kind, Problem};
use crate::tokens::{Grants, Record, Right, Scope, TokenText};

/// The bearer of a valid token.
pub(super) struct Caller {
    /// The token's.
    pub(super) id: [u8; 16],
    record: Arc<Record>,
}

impl Caller {
    /// Goes on only where `right` is granted over the datastore.
    pub(super) fn may(&self, right: Right, datastore: &str) -> Result<(), Problem> {
        if self.record.grants.allow(right, Scope::Datastore(datastore)) {
            return Ok(());
        }
        Err(Problem::new(
            Kind::FORBIDDEN,
            format!(
                "the token does not grant the right {} over the datastore {datastore}",
                right.as_str()
            ),
        ))
    }

    /// Goes on only where `right` is granted over all that the tenant has.
    pub(super) fn may_everywhere(&self, right: Right) -> Result<(), Problem> {
        if self.record.grants.allow(right, Scope::Everything) {
            return Ok(());
        }
        Err(Problem::new(
            Kind::FORBIDDEN,
            format!(
                "the token does not grant the right {} over the datastores *",
                right.as_str()
            ),
        ))
    }

    /// Goes on only where all of `grants` is granted to the token itself.
    pub(super) fn may_grant(&self, grants: &Grants) -> Result<(), Problem> {
        let Some((right, datastores)) = self.record.grants.exceeded_by(grants) else {
            return Ok(());
        };
        Err(Problem::new(
            Kind::FORBIDDEN,
            format!(
                "no token grants more than the one that makes it, and this one lacks the right {} over the datastores {datastores}",
                right.as_str()
            ),
        ))
    }

    /// Whether anything is granted over the datastore, so that it may be shown.
    pub(super) fn knows(&self, datastore: &str) -> bool {
        self.record.grants.touch(Scope::Datastore(datastore))
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let text = parts.headers.get(AUTHORIZATION).ok_or_else(|| {
            Problem::new(
                Kind::UNAUTHENTICATED,
                "send a token in the header Authorization: Bearer sc_…",
            )
        })?;
        let text = text.to_str().ok().and_then(bearer).ok_or_else(|| {
            Problem::new(
                Kind::UNAUTHENTICATED,
                "the header Authorization holds no token of the form Bearer sc_…",
            )
        })?;
        match shared.tokens.verify(&shared.client, &text).await? {
            Some(record) => Ok(Self {
                id: text.id(),
                record,
            }),
            None => Err(Problem::new(
                Kind::UNAUTHENTICATED,
                "the token is unknown, deleted or expired",
            )),
        }
    }
}

/// The token of an authorization header's value.
fn bearer(value: &str) -> Option<TokenText> {
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    TokenText::parse(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_crypto::Secret;

    #[test]
    fn the_scheme_is_read_in_either_case() {
        let token = TokenText::new([1; 16], Secret::from_bytes([2; 32]));
        let text = token.expose();

        assert_eq!(bearer(&format!("Bearer {}", &*text)), Some(token));
        assert!(bearer(&format!("bearer {}", &*text)).is_some());
        assert!(bearer(&format!("Basic {}", &*text)).is_none());
        assert!(bearer(&text).is_none());
    }
}
