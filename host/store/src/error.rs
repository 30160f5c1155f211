//! Why a request was not done, and who should act.

use sc_metadata::CatalogError;
use sc_proto::coder::refusal::Reason;
use sc_proto::store::problem::Code;

use crate::placement::PlacementError;
use crate::policy::PolicyError;

/// A problem: for programs a code, for people words that name the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What kind of problem.
    pub code: Code,
    /// Lower case, no full stop; no secret and no plaintext, of which this room has none.
    pub message: String,
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn malformed(what: &str) -> Self {
        Self::new(Code::Malformed, what)
    }

    pub(crate) fn no_object() -> Self {
        Self::new(Code::NotFound, "there is no such object or version")
    }

    pub(crate) fn no_datastore(name: &str) -> Self {
        Self::new(
            Code::NoDatastore,
            format!("there is no datastore {name:?}; make it first"),
        )
    }

    pub(crate) fn no_policy(name: &str) -> Self {
        Self::new(
            Code::NoPolicy,
            format!("there is no storage policy {name:?}; define it, or choose another"),
        )
    }

    /// What the trusted program refused.
    pub(crate) fn refused(reason: Reason) -> Self {
        let (code, message) = match reason {
            Reason::Malformed | Reason::Unspecified => (
                Code::Malformed,
                "the coder cannot carry the request out: it is malformed, or names a part or an indexed tag that is not there",
            ),
            Reason::NotAuthentic | Reason::Pending => (
                Code::NotAuthentic,
                "the coder finds the request not authentic",
            ),
            Reason::Tenant => (
                Code::NotProvisioned,
                "no coder holds the tenant's root: its owner must provision one",
            ),
            Reason::Session => (
                Code::Session,
                "the session is void: its certificate was revoked or has run out; ask the owner for another",
            ),
            Reason::Right => (
                Code::Forbidden,
                "the client's certificate does not allow this",
            ),
            Reason::Limit => (Code::Limit, "the request exceeds a bound of the coder"),
            Reason::Stored => (
                Code::NotAuthentic,
                "what is stored is not what was made for this object",
            ),
            Reason::Segments => (
                Code::NotAuthentic,
                "the segments that are stored are not those that were answered",
            ),
            Reason::Owner => (
                Code::Forbidden,
                "the coder was started for another owner alone",
            ),
            Reason::Evidence => (
                Code::Unavailable,
                "the coder's platform makes no evidence: its machine's log says why",
            ),
            Reason::Stale => (
                Code::NotAuthentic,
                "the owner has said something newer already",
            ),
        };
        Self::new(code, message)
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        let code = match &error {
            CatalogError::NoSuchDatastore => Code::NoDatastore,
            CatalogError::Exists(_) | CatalogError::VersionExists => Code::Exists,
            CatalogError::NotEmpty => Code::NotEmpty,
            CatalogError::IntentGone => Code::UploadGone,
            CatalogError::ConditionFailed => Code::ConditionFailed,
            CatalogError::QuotaExceeded { .. } => Code::Quota,
            CatalogError::SegmentsChanged => Code::UploadGone,
            CatalogError::NoSuchPart(_)
            | CatalogError::NoSuchLocation
            | CatalogError::NoSuchJob => Code::NotFound,
            CatalogError::Invalid(_) | CatalogError::MarkerNeeded => Code::Malformed,
            _ => Code::Unavailable,
        };
        let mut message = error.to_string();
        if matches!(error, CatalogError::NoSuchLocation) {
            message.push_str(": `securecloud kv location ls` lists them");
        }
        Self::new(code, message)
    }
}

impl From<PlacementError> for Problem {
    fn from(error: PlacementError) -> Self {
        Self::new(Code::Placement, error.to_string())
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        Self::new(Code::Malformed, error.to_string())
    }
}
