//! What the store keeps of a token, sealed: everything but its secret.

use sc_crypto::kdf::{mac, verify_mac};
use serde::{Deserialize, Serialize};

use super::grant::{Grant, Grants, LIFETIME_MAX_S, NAME_MAX, TokenError};
use super::text::{from_hex, hex};
use super::{TokenRequest, TokenText};

/// What the verifier is a code of, beside the id.
const VERIFIER_LABEL: &[u8] = b"securecloud token 1";

/// The record of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    verifier: [u8; 32],
    pub(crate) label: String,
    pub(crate) grants: Grants,
    pub(crate) created_ms: u64,
    pub(crate) expires_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    verifier: String,
    label: String,
    grants: Vec<Grant>,
    created_ms: u64,
    #[serde(default)]
    expires_ms: Option<u64>,
}

impl Record {
    pub(super) fn new(
        text: &TokenText,
        request: &TokenRequest,
        grants: Grants,
        now_ms: u64,
    ) -> Result<Self, TokenError> {
        if request.label.chars().count() > NAME_MAX {
            return Err(TokenError::Request("a label has at most 256 characters"));
        }
        if request
            .lifetime_s
            .is_some_and(|it| !(1..=LIFETIME_MAX_S).contains(&it))
        {
            return Err(TokenError::Request("a token lives 1 second to 100 years"));
        }
        let lifetime_ms = request.lifetime_s.map(|s| s.saturating_mul(1000));
        Ok(Self {
            verifier: mac(text.secret(), &message(text)),
            label: request.label.clone(),
            grants,
            created_ms: now_ms,
            expires_ms: lifetime_ms.map(|ms| now_ms.saturating_add(ms)),
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            verifier: hex(&self.verifier),
            label: self.label.clone(),
            grants: self.grants.as_slice().to_vec(),
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
        };
        serde_json::to_vec(&stored).expect("strings and numbers can be written")
    }

    /// Reads what [`Self::encode`] wrote; none for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            verifier: from_hex(&stored.verifier)?,
            label: stored.label,
            grants: Grants::new(stored.grants).ok()?,
            created_ms: stored.created_ms,
            expires_ms: stored.expires_ms,
        })
    }

    /// Whether `text` is this record's token and has not expired.
    pub(crate) fn accepts(&self, text: &TokenText, now_ms: u64) -> bool {
        let is_token = verify_mac(text.secret(), &message(text), &self.verifier).is_ok();
        is_token && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

fn message(text: &TokenText) -> [u8; VERIFIER_LABEL.len() + 16] {
    let mut message = [0; VERIFIER_LABEL.len() + 16];
    message[..VERIFIER_LABEL.len()].copy_from_slice(VERIFIER_LABEL);
    message[VERIFIER_LABEL.len()..].copy_from_slice(&text.id());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_crypto::Secret;

    const NOW_MS: u64 = 1_000_000;

    fn made(lifetime_s: Option<u64>) -> (TokenText, Record) {
        let text = TokenText::new([1; 16], Secret::from_bytes([2; 32]));
        let request = TokenRequest {
            lifetime_s,
            ..TokenRequest::everything("test")
        };
        let grants = Grants::new(request.grants.clone()).unwrap();
        let record = Record::new(&text, &request, grants, NOW_MS).unwrap();
        (text, record)
    }

    #[test]
    fn a_record_reads_back() {
        let (_, record) = made(Some(60));

        assert_eq!(Record::decode(&record.encode()), Some(record));
    }

    #[test]
    fn a_record_holds_nothing_of_the_secret() {
        let (text, record) = made(None);
        let stored = String::from_utf8(record.encode()).unwrap();

        assert!(!stored.contains(&hex(text.secret().expose())));
        assert!(!stored.contains(&text.expose()[3..]));
    }

    #[test]
    fn another_secret_or_id_is_not_accepted() {
        let (text, record) = made(None);
        let other_secret = TokenText::new(text.id(), Secret::from_bytes([3; 32]));
        let other_id = TokenText::new([9; 16], text.secret().duplicate());

        assert!(record.accepts(&text, NOW_MS));
        assert!(!record.accepts(&other_secret, NOW_MS));
        assert!(!record.accepts(&other_id, NOW_MS));
    }

    #[test]
    fn a_token_is_worth_nothing_once_it_has_expired() {
        let (text, record) = made(Some(60));

        assert!(record.accepts(&text, NOW_MS + 59_999));
        assert!(!record.accepts(&text, NOW_MS + 60_000));
    }

    #[test]
    fn what_is_no_record_is_none() {
        assert_eq!(Record::decode(b""), None);
        assert_eq!(Record::decode(b"{}"), None);
        assert_eq!(
            Record::decode(br#"{"verifier":"00","label":"","grants":[],"created_ms":1}"#),
            None
        );
    }
}
