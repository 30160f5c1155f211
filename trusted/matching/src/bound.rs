//! The bounds of the language, and the error for what exceeds them.
//!
//! Invariant: a value of a type of this crate is within its bounds, whichever way it was made (by a
//! constructor, from ASCII, from binary), so nobody checks it again.
//! Source: names, counts and texts as their length prefixes allow; [`ITEM_BYTES_MAX`] is derived
//! beside it.

/// Longest attribute name, in bytes; the shortest has one.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest text value, in bytes.
pub const TEXT_BYTES_MAX: usize = 65_535;

/// Most attributes of one publication.
pub const ATTRIBUTES_MAX: usize = 255;

/// Most constraints of one subscription.
pub const CONSTRAINTS_MAX: usize = 255;

/// Most values of one `in {…}`; the fewest is one.
pub const IN_VALUES_MAX: usize = 1024;

/// Longest ASCII line, in bytes, without its line end.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Longest publication or subscription, in bytes of binary form with the names written out.
///
/// ASCII takes at most six bytes for one of binary (a control character as `\u{1f}`), and 6 x 128
/// KiB is below [`LINE_BYTES_MAX`]: whatever can be built can be printed and read again.
pub const ITEM_BYTES_MAX: usize = 128 << 10;

/// Most distinct names in the table of one header block.
pub const BLOCK_NAMES_MAX: usize = 1 << 15;

/// Most headers in one header block.
pub const BLOCK_HEADERS_MAX: usize = 1 << 16;

/// Why a name, value, publication or subscription was not made: what to change is the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// A name is empty or longer than [`NAME_BYTES_MAX`].
    #[error("an attribute name has {bytes} bytes, not 1 to {NAME_BYTES_MAX}")]
    NameLength {
        /// Length of the refused name.
        bytes: usize,
    },
    /// A text is longer than [`TEXT_BYTES_MAX`].
    #[error("a text value has {bytes} bytes, more than {TEXT_BYTES_MAX}")]
    TextLength {
        /// Length of the refused text.
        bytes: usize,
    },
    /// A number is infinite or not a number at all.
    #[error("a number is not finite")]
    NotFinite,
    /// A publication has more than [`ATTRIBUTES_MAX`] attributes.
    #[error("a publication has more than {ATTRIBUTES_MAX} attributes")]
    Attributes,
    /// A publication names one attribute twice.
    #[error("a publication names an attribute twice")]
    NameTwice,
    /// A subscription has more than [`CONSTRAINTS_MAX`] constraints.
    #[error("a subscription has more than {CONSTRAINTS_MAX} constraints")]
    Constraints,
    /// An `in` has no value, or more than [`IN_VALUES_MAX`].
    #[error("`in` has {count} values, not 1 to {IN_VALUES_MAX}")]
    InValues {
        /// How many it has.
        count: usize,
    },
    /// A publication or subscription is longer than [`ITEM_BYTES_MAX`].
    #[error("a publication or subscription takes more than {ITEM_BYTES_MAX} bytes")]
    ItemBytes,
}
