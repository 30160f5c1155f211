//! Bytes as lower-case hexadecimal, for identifiers that people read.
//!
//! Invariant: only public bytes are printed through this file.

use core::fmt::{Formatter, Result};

/// Bytes shown of an identifier in logs: enough to tell two apart, too few to fill a line.
const SHORT_BYTES: usize = 6;

/// Writes all of `bytes`.
pub(crate) fn write(bytes: &[u8], f: &mut Formatter<'_>) -> Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Writes the first bytes only, inside `name(…)`.
pub(crate) fn write_short(name: &str, bytes: &[u8], f: &mut Formatter<'_>) -> Result {
    write!(f, "{name}(")?;
    write(&bytes[..bytes.len().min(SHORT_BYTES)], f)?;
    f.write_str(")")
}

#[cfg(test)]
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
