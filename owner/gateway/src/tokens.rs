//! Bearer tokens: who may ask for what.
//!
//! Invariant: a token is believed only by its record, which the tenant's coder has sealed under the token's id; what the record keeps of
//! the secret does not reveal it, and is compared in time that does not depend on where the two differ.

mod grant;
mod memory;
mod record;
mod text;

use std::time::{SystemTime, UNIX_EPOCH};

use sc_client::OsEntropy;
use sc_client::kv::{KvClient, KvError};
use sc_crypto::{Entropy as _, Secret};

pub use grant::{Grant, Right, TokenError};
pub(crate) use grant::{Grants, Scope};
pub(crate) use memory::TokenMemory;
pub(crate) use record::Record;
pub use text::TokenText;
pub(crate) use text::{from_hex, hex};

/// The kind of the records that tokens have in the store.
pub(crate) const RECORD_KIND: &str = "token";

/// What a new token is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// For people: whose it is, or what for.
    pub label: String,
    /// What it grants.
    pub grants: Vec<Grant>,
    /// Seconds from now after which it grants nothing; none: it stays until it is deleted.
    pub lifetime_s: Option<u64>,
}

impl TokenRequest {
    /// A token that may do everything, for the owner's own hands.
    #[must_use]
    pub fn everything(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            grants: vec![Grant::everything()],
            lifetime_s: None,
        }
    }
}

/// Makes a token and keeps its record in the store; the text is shown this once.
///
/// # Errors
/// [`TokenError`] where the request itself is wrong, or where the store does not take the record.
pub async fn mint(client: &KvClient, request: &TokenRequest) -> Result<TokenText, TokenError> {
    mint_with_record(client, request)
        .await
        .map(|(text, _)| text)
}

/// Whether a token is good now: kept in the store, not deleted and not expired.
///
/// # Errors
/// The store does not answer.
pub async fn is_good(client: &KvClient, text: &TokenText) -> Result<bool, TokenError> {
    let content = client.record(RECORD_KIND, &text.id_hex()).await?;
    let record = content.and_then(|content| Record::decode(&content));
    Ok(record.is_some_and(|record| record.accepts(text, now_ms())))
}

pub(crate) async fn mint_with_record(
    client: &KvClient,
    request: &TokenRequest,
) -> Result<(TokenText, Record), TokenError> {
    let grants = Grants::new(request.grants.clone())?;
    let mut id = [0; 16];
    OsEntropy.fill(&mut id);
    let text = TokenText::new(id, Secret::random(&mut OsEntropy));
    let record = Record::new(&text, request, grants, now_ms())?;
    client
        .put_record(RECORD_KIND, &text.id_hex(), &record.encode(), true)
        .await?;
    Ok((text, record))
}

/// By this machine's clock, which is the owner's here.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl From<KvError> for TokenError {
    fn from(error: KvError) -> Self {
        Self::Store(error)
    }
}
