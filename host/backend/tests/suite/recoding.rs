//! What a backend that computes makes of the packets of a fragment.

use bytes::Bytes;
use sc_backend::BackendError;
use sc_erasure::{Code, FragmentHeader, Kernel, Redundancy};

use super::{SHORT_AND_LONG, Subject, body, name};

/// The last fragment of two blocks of one length, of a code whose pieces have two packets.
fn fragment(block_bytes: usize) -> Bytes {
    let redundancy = Redundancy::rlnc(4, 6, 2, false).unwrap();
    let code = Code::new(redundancy, Kernel::PORTABLE);
    let pieces = [1, 2].map(|seed| {
        let mut pieces = vec![vec![0; redundancy.piece_bytes(block_bytes)]; 6];
        let mut rows: Vec<&mut [u8]> = pieces.iter_mut().map(Vec::as_mut_slice).collect();
        code.encode(&body(seed, block_bytes), &mut rows);
        pieces.swap_remove(5)
    });
    let header = FragmentHeader {
        redundancy,
        index: 5,
        blocks: 2,
        block_bytes: block_bytes as u32,
        last_block_bytes: block_bytes as u32,
        segment: [1; 32],
        version: [2; 16],
        coefficients: code.coefficients(5),
        tags: body(3, redundancy.tag_bytes(2)).to_vec(),
        hashes: vec![[4; 32]; 2],
        mac: [5; 32],
    };
    let mut fragment = Vec::new();
    header.encode_into(&mut fragment);
    fragment.extend(pieces.concat());
    fragment.into()
}

pub(crate) async fn packets_are_combined_where_they_lie(subject: Subject) {
    let backend = subject.backend;
    if !backend.describe().await.unwrap().computes {
        let refused = backend
            .recode(&name("f"), Bytes::from_static(&[1, 0]))
            .await;
        assert!(matches!(
            refused,
            Err(BackendError::Unsupported(_) | BackendError::NotFound)
        ));
        return;
    }
    for block_bytes in SHORT_AND_LONG {
        let (name, fragment) = (name(&format!("f{block_bytes}")), fragment(block_bytes));
        backend.put(&name, fragment.clone()).await.unwrap();
        let (header, pieces) = FragmentHeader::parse(&fragment).unwrap();
        let (tags, pieces) = (&header.tags, &fragment[pieces..]);
        let packet = pieces.len() / 4;

        for first in [0, 1] {
            let scalars = Bytes::copy_from_slice(&[1 - first, first]);
            let made = backend.recode(&name, scalars).await.unwrap();

            let at = usize::from(first);
            let expected = [
                &tags[32 * at..][..32],
                &pieces[packet * at..][..packet],
                &pieces[packet * (2 + at)..][..packet],
            ];
            assert!(made == expected.concat());
        }
        let both = Bytes::from_static(&[1, 1, 1, 1]);
        let made = backend.recode(&name, both).await.unwrap();
        assert_eq!(made.len(), 2 * 32 + 4 * packet);
        assert_eq!(made[0], tags[0] ^ tags[32]);
    }
}

pub(crate) async fn what_cannot_be_recoded_is_refused(subject: Subject) {
    let backend = subject.backend;
    if !backend.describe().await.unwrap().computes {
        return;
    }
    backend.put(&name("f"), fragment(1100)).await.unwrap();
    backend.put(&name("g"), body(1, 1100)).await.unwrap();
    let recode = async |text: &str, scalars: &[u8]| {
        let scalars = Bytes::copy_from_slice(scalars);
        backend.recode(&name(text), scalars).await.unwrap_err()
    };

    assert_eq!(recode("absent", &[1, 1]).await, BackendError::NotFound);
    let damaged = recode("g", &[1, 1]).await;
    assert!(matches!(damaged, BackendError::Corrupt(_)), "{damaged}");
    for scalars in [&[][..], &[1], &[1; 3], &[1; 6], &[1; 1000]] {
        let refused = recode("f", scalars).await;
        assert!(matches!(refused, BackendError::Unsupported(_)), "{refused}");
    }
}
