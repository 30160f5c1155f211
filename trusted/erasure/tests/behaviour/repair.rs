//! Fragments that are made of fragments.

use proptest::prelude::*;
use sc_erasure::{Code, Decoder, Features, Kernel, Matrix, Recoder, Redundancy, decodes_with_any};

use crate::pieces;
use crate::strategies::block;

/// A fragment as a location holds it: the coefficients of its packets, and its piece of one block.
#[derive(Clone)]
struct Held {
    coefficients: Matrix,
    piece: Vec<u8>,
}

/// A small generator (xorshift*).
struct Dice(u64);

impl Dice {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as u8
    }

    fn matrix(&mut self, rows: usize, columns: usize) -> Matrix {
        Matrix::new(columns, (0..rows * columns).map(|_| self.byte()).collect())
    }
}

fn store(code: &Code, block: &[u8]) -> Vec<Held> {
    let packets = code.redundancy().packets();
    let fragments = (0..).zip(pieces(code, block)).map(|(index, piece)| Held {
        coefficients: Matrix::new(packets, code.coefficients(index)),
        piece,
    });
    fragments.collect()
}

fn recode(recoder: &Recoder, held: &[&[u8]], count: usize) -> Vec<Vec<u8>> {
    let mut packets = vec![vec![0; held[0].len()]; count];
    let mut rows: Vec<&mut [u8]> = packets.iter_mut().map(Vec::as_mut_slice).collect();
    recoder.recode(held, &mut rows);
    packets
}

/// The lost fragment anew, of one packet of each helper, each a combination of the packets it holds.
fn repaired(redundancy: Redundancy, kernel: Kernel, helpers: &[&Held], dice: &mut Dice) -> Held {
    let subpackets = usize::from(redundancy.subpackets());
    let (mut rows, mut sent) = (Vec::new(), Vec::new());
    for helper in helpers {
        let recoder = Recoder::new(kernel, dice.matrix(1, subpackets));
        let held: Vec<&[u8]> = helper
            .piece
            .chunks(helper.piece.len() / subpackets)
            .collect();
        sent.extend(recode(&recoder, &held, 1));
        rows.extend_from_slice(recoder.coefficients(&helper.coefficients).cells());
    }
    let recoder = Recoder::new(kernel, dice.matrix(subpackets, helpers.len()));
    let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
    Held {
        coefficients: recoder.coefficients(&Matrix::new(redundancy.packets(), rows)),
        piece: recode(&recoder, &sent, subpackets).concat(),
    }
}

fn rebuild(code: &Code, fragments: &[Held], length: usize) -> Vec<u8> {
    let available: Vec<_> = (0..)
        .zip(fragments)
        .map(|(index, fragment)| (index, Some(fragment.coefficients.cells())))
        .collect();
    let held: Vec<&[u8]> = fragments.iter().map(|fragment| &*fragment.piece).collect();
    let needed = usize::from(code.redundancy().data());
    let mut block = vec![0; length];
    Decoder::new(code, &available)
        .unwrap()
        .decode(&held[..needed], &mut block);
    block
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_chain_of_repairs_keeps_every_choice_decodable(
        dense in any::<bool>(),
        seed in 1..u64::MAX,
        block in block().prop_filter("nothing is repaired of nothing", |block| !block.is_empty()),
    ) {
        // 5 helpers for k = 4 and two sub-packets: 5 packets are read instead of 8.
        let redundancy = Redundancy::rlnc(4, 6, 2, dense).unwrap();
        let kernel = Kernel::fastest(Features::ALL);
        let code = Code::new(redundancy, kernel);
        let mut dice = Dice(seed);
        let mut fragments = store(&code, &block);

        for lost in 0..12 {
            fragments.remove(0);
            let helpers: Vec<&Held> = fragments.iter().collect();
            let others: Vec<&[u8]> = fragments.iter().map(|held| held.coefficients.cells()).collect();
            let new = std::iter::repeat_with(|| repaired(redundancy, kernel, &helpers, &mut dice))
                .take(100)
                .find(|new| decodes_with_any(redundancy, new.coefficients.cells(), &others))
                .unwrap();
            fragments.push(new);
            fragments.rotate_left(lost % 3);

            prop_assert_eq!(rebuild(&code, &fragments, block.len()), &block[..]);
        }
    }
}

#[test]
fn a_fragment_that_repeats_another_is_seen() {
    let redundancy = Redundancy::rlnc(3, 5, 2, false).unwrap();
    let code = Code::new(redundancy, Kernel::PORTABLE);
    let fragments: Vec<_> = (0..5).map(|index| code.coefficients(index)).collect();
    let others: Vec<&[u8]> = fragments[1..].iter().map(Vec::as_slice).collect();

    assert!(decodes_with_any(redundancy, &fragments[0], &others));
    assert!(!decodes_with_any(redundancy, &fragments[1], &others));
    assert!(!decodes_with_any(redundancy, &[0; 12], &others));
}
