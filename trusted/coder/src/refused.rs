//! Why a call is refused.

use sc_crypto::NotAuthentic;
use sc_enclave::ProvisionError;
use sc_proto::coder::refusal::Reason;

/// The one error of this room: what the host is told, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) Reason);

impl Refused {
    pub(crate) const MALFORMED: Self = Self(Reason::Malformed);
    pub(crate) const RIGHT: Self = Self(Reason::Right);
    pub(crate) const SESSION: Self = Self(Reason::Session);
    pub(crate) const STORED: Self = Self(Reason::Stored);
    pub(crate) const SEGMENTS: Self = Self(Reason::Segments);
    pub(crate) const LIMIT: Self = Self(Reason::Limit);
}

impl From<NotAuthentic> for Refused {
    fn from(_: NotAuthentic) -> Self {
        Self(Reason::NotAuthentic)
    }
}

impl From<sc_proto::DecodeError> for Refused {
    fn from(_: sc_proto::DecodeError) -> Self {
        Self::MALFORMED
    }
}

impl From<ProvisionError> for Refused {
    fn from(error: ProvisionError) -> Self {
        Self(match error {
            ProvisionError::Malformed => Reason::Malformed,
            ProvisionError::NoChallenge => Reason::Pending,
            ProvisionError::OtherOwner => Reason::Owner,
            ProvisionError::NoEvidence => Reason::Evidence,
            _ => Reason::NotAuthentic,
        })
    }
}

/// `bytes` as an array, or a refusal: fields of a call have fixed lengths.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refused> {
    bytes.try_into().map_err(|_| Refused::MALFORMED)
}
