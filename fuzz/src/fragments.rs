//! A target for fragments as a location returns them.

use sc_erasure::{Code, Decoder, FragmentHeader, Kernel};

/// A fragment, whose header may be the only one of k that decode.
///
/// # Panics
/// When a header is read that is not written the same, when its pieces do not follow one another to its end, or when what decodes
/// does not have the length that it says.
pub fn fragment(bytes: &[u8]) {
    let Ok((header, length)) = FragmentHeader::parse(bytes) else {
        return;
    };
    let mut written = Vec::new();
    header.encode_into(&mut written);
    assert_eq!(written, bytes[..length], "a header has one form");
    let mut end = length;
    for block in 0..header.blocks {
        let range = header.piece_range(block);
        assert_eq!(range.start, end, "pieces follow one another");
        end = range.end;
        if let Some(piece) = bytes.get(range) {
            let _ = header.verify_piece(block, piece);
        }
    }
    assert_eq!(header.fragment_bytes(), end);
    decode(&header, bytes);
}

/// Decodes the last block of this fragment and others as the code makes them, where that is little work.
fn decode(header: &FragmentHeader, bytes: &[u8]) {
    let redundancy = header.redundancy;
    let Some(piece) = bytes.get(header.piece_range(header.blocks - 1)) else {
        return;
    };
    if redundancy.packets() > 16 {
        return;
    }
    let code = Code::new(redundancy, Kernel::PORTABLE);
    let others = (0..redundancy.total()).filter(|index| *index != header.index);
    let available: Vec<_> = std::iter::once((header.index, Some(&*header.coefficients)))
        .chain(others.map(|index| (index, None)))
        .take(usize::from(redundancy.data()))
        .collect();
    if let Ok(decoder) = Decoder::new(&code, &available) {
        let mut block = vec![0; header.bytes_of_block(header.blocks - 1)];
        decoder.decode(&vec![piece; available.len()], &mut block);
    }
}
