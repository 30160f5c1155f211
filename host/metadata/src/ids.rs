//! Ids: fixed lengths of bytes that say nothing.

use core::fmt;

use crate::CatalogError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = CatalogError;

            fn try_from(bytes: &[u8]) -> Result<Self, CatalogError> {
                bytes.try_into().map(Self).map_err(|_| {
                    CatalogError::Corrupt(format!("an id of {} bytes, not {}", bytes.len(), $bytes))
                })
            }
        }
    };
}

id!(
    /// A tenant: what one owner's root key covers.
    TenantId,
    32
);
id!(
    /// A datastore, whatever its name.
    DatastoreId,
    16
);
id!(
    /// A version of an object, from its intent on. Made by the trusted program, the same in the retries of one request.
    VersionId,
    16
);
id!(
    /// One attempt to store a segment; random, never used again.
    SegmentId,
    32
);
