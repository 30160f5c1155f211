//! Inputs that stand for several messages: pieces with their lengths in front.

/// Cuts an input into bytes and pieces. Whatever the input, the cuts follow from it; it ends when the input does.
pub struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    /// Starts at the beginning.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next piece: its length in two bytes, little-endian, then itself; cut short where the input ends.
    pub fn piece(&mut self) -> Option<&'a [u8]> {
        let (low, high) = (self.byte()?, self.byte()?);
        let length = usize::from(u16::from_le_bytes([low, high])).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

/// Writes a piece as [`Pieces::piece`] reads it.
///
/// # Panics
/// For a piece of 64 KiB: seeds are small.
pub fn push(out: &mut Vec<u8>, piece: &[u8]) {
    let length = u16::try_from(piece.len()).expect("seeds are small");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(piece);
}
