//! Fragments that are made of fragments.

use proptest::prelude::*;
use sc_erasure::{
    Code, Decoder, Features, Kernel, Matrix, Recoder, Redundancy, RepairPlan, decodes_with_any,
};

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

/// A storage of one block whose fragments are lost one after another, each made anew as a plan says.
struct Storage {
    code: Code,
    block: Vec<u8>,
    fragments: Vec<Held>,
    kernel: Kernel,
}

impl Storage {
    fn new(redundancy: Redundancy, block: Vec<u8>) -> Self {
        let kernel = Kernel::fastest(Features::ALL);
        let code = Code::new(redundancy, kernel);
        Self {
            fragments: store(&code, &block),
            code,
            block,
            kernel,
        }
    }

    fn coefficients(&self, without: usize) -> Vec<(u8, &[u8])> {
        let each = self.fragments.iter().enumerate();
        let others = each.filter(|(at, _)| *at != without);
        others
            .map(|(at, held)| (at as u8, held.coefficients.cells()))
            .collect()
    }

    /// Loses a fragment, and makes it of what others send. Gives how many packets these sent.
    fn repair(&mut self, lost: usize) -> usize {
        let redundancy = self.code.redundancy();
        let helpers = usize::from(redundancy.recoding().unwrap().helpers);
        let total = usize::from(redundancy.total());
        let chosen: Vec<u8> = (lost + 1..lost + total)
            .take(helpers)
            .map(|at| (at % total) as u8)
            .collect();
        let plan = RepairPlan::draw(redundancy, lost as u8, &self.coefficients(lost), &chosen);
        let plan = plan.expect("a plan is found");
        let mut sent = Vec::new();
        for (at, &helper) in chosen.iter().enumerate() {
            let piece = &self.fragments[usize::from(helper)].piece;
            let packets = piece.chunks(piece.len() / usize::from(redundancy.subpackets()));
            let recoder = Recoder::new(self.kernel, plan.scalars(at).clone());
            let rows = plan.scalars(at).rows();
            sent.extend(recode(&recoder, &packets.collect::<Vec<_>>(), rows));
        }
        let recoder = Recoder::new(self.kernel, plan.combining().clone());
        let rows: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        let made = recode(&recoder, &rows, usize::from(redundancy.subpackets()));
        assert_eq!(
            recoder.coefficients(plan.sent()).cells(),
            plan.coefficients()
        );
        self.fragments[lost] = Held {
            coefficients: Matrix::new(redundancy.packets(), plan.coefficients().to_vec()),
            piece: made.concat(),
        };
        sent.len()
    }

    /// Whether the fragments of these indices rebuild the block.
    fn rebuilds(&self, chosen: &[usize]) -> bool {
        let available: Vec<_> = chosen
            .iter()
            .map(|&at| (at as u8, Some(self.fragments[at].coefficients.cells())))
            .collect();
        let pieces: Vec<&[u8]> = chosen
            .iter()
            .map(|&at| &*self.fragments[at].piece)
            .collect();
        let mut block = vec![0; self.block.len()];
        let Ok(decoder) = Decoder::new(&self.code, &available) else {
            return false;
        };
        decoder.decode(&pieces, &mut block);
        block == self.block
    }
}

/// So many of `total`, in every way.
fn choices(total: usize, count: usize) -> Vec<Vec<usize>> {
    let all = 0..1_u32 << total;
    let chosen = all.filter(|set| set.count_ones() as usize == count);
    let members = |set| (0..total).filter(|at| set >> at & 1 == 1).collect();
    chosen.map(members).collect()
}

#[test]
fn after_each_of_a_thousand_repairs_in_a_row_every_choice_rebuilds() {
    for dense in [false, true] {
        let redundancy = Redundancy::rlnc(4, 6, 2, dense).unwrap();
        let mut dice = Dice(7 + u64::from(dense));
        let mut storage = Storage::new(redundancy, (0..=100).collect());
        let all = choices(6, 4);
        assert_eq!(all.len(), 15);

        for repair in 0..1000 {
            let lost = usize::from(dice.byte()) % 6;

            assert_eq!(storage.repair(lost), 5);

            assert!(all.iter().all(|it| storage.rebuilds(it)), "repair {repair}");
        }
    }
}

#[test]
fn after_each_of_a_thousand_repairs_in_a_row_of_10_of_14_choices_rebuild() {
    let redundancy = Redundancy::rlnc(10, 14, 4, false).unwrap();
    let mut dice = Dice(9);
    let mut storage = Storage::new(redundancy, (0..=200).collect());
    let all = choices(14, 10);

    for repair in 0..1000 {
        let lost = usize::from(dice.byte()) % 14;

        assert_eq!(storage.repair(lost), 13);

        for _ in 0..3 {
            let at = usize::from(dice.byte()) << 8 | usize::from(dice.byte());
            let chosen = &all[at % all.len()];
            assert!(storage.rebuilds(chosen), "repair {repair}: {chosen:?}");
        }
        // All of them, by what a repair of whole fragments asks.
        if repair % 100 == 99 {
            let others: Vec<&[u8]> = storage.coefficients(lost).iter().map(|it| it.1).collect();
            let new = storage.fragments[lost].coefficients.cells();
            assert!(
                decodes_with_any(redundancy, new, &others),
                "repair {repair}"
            );
        }
    }
}

#[test]
fn fewer_helpers_than_there_are_others_or_several_packets_of_each_do_as_well() {
    for (data, total, subpackets) in [(4, 6, 3), (3, 7, 2), (2, 6, 3), (5, 8, 2)] {
        let redundancy = Redundancy::rlnc(data, total, subpackets, false).unwrap();
        let recoding = redundancy.recoding().unwrap();
        let mut dice = Dice(u64::from(subpackets));
        let mut storage = Storage::new(redundancy, (0..=250).collect());
        let all = choices(total.into(), data.into());

        for repair in 0..50 {
            let lost = usize::from(dice.byte()) % usize::from(total);

            assert_eq!(storage.repair(lost), recoding.sent());

            assert!(all.iter().all(|it| storage.rebuilds(it)), "repair {repair}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_repaired_is_the_block_whatever_it_is(
        dense in any::<bool>(),
        losses in prop::collection::vec(0..6_usize, 1..8),
        block in block().prop_filter("nothing is repaired of nothing", |block| !block.is_empty()),
    ) {
        let mut storage = Storage::new(Redundancy::rlnc(4, 6, 2, dense).unwrap(), block);

        for lost in losses {
            storage.repair(lost);

            prop_assert!(choices(6, 4).iter().all(|it| storage.rebuilds(it)));
        }
    }
}

#[test]
fn a_plan_follows_from_what_it_is_made_of() {
    let redundancy = Redundancy::rlnc(4, 6, 2, false).unwrap();
    let storage = Storage::new(redundancy, vec![1; 100]);
    let others = storage.coefficients(2);
    let draw = |helpers: &[u8]| RepairPlan::draw(redundancy, 2, &others, helpers);

    assert_eq!(draw(&[0, 1, 3, 4, 5]), draw(&[0, 1, 3, 4, 5]));
    assert_ne!(draw(&[0, 1, 3, 4, 5]), draw(&[1, 0, 3, 4, 5]));
}

#[test]
fn no_plan_is_made_of_what_is_none_of_its_fragments() {
    let redundancy = Redundancy::rlnc(4, 6, 2, false).unwrap();
    let storage = Storage::new(redundancy, vec![1; 100]);
    let others = storage.coefficients(2);
    let helpers = [0, 1, 3, 4, 5];
    let none = |redundancy, lost, others: &[(u8, &[u8])], helpers: &[u8]| {
        RepairPlan::draw(redundancy, lost, others, helpers).is_none()
    };
    assert!(!none(redundancy, 2, &others, &helpers));

    let solomon = Redundancy::reed_solomon(4, 2).unwrap();
    assert!(none(solomon, 2, &others, &helpers), "not recoded");
    assert!(none(redundancy, 1, &others, &helpers), "the lost one helps");
    assert!(none(redundancy, 6, &others, &helpers), "no such fragment");
    assert!(none(redundancy, 2, &others, &helpers[..4]), "one too few");
    assert!(none(redundancy, 2, &others, &[0, 1, 3, 4, 4]), "one twice");
    assert!(
        none(redundancy, 2, &others[..4], &helpers),
        "one is not there"
    );
    let mut changed = others.clone();
    changed[1].0 = 0;
    assert!(none(redundancy, 2, &changed, &helpers), "an index twice");
    let mut changed = others.clone();
    changed[1].1 = &[1; 15];
    assert!(none(redundancy, 2, &changed, &helpers), "too short");
    let mut changed = others.clone();
    changed[1].1 = others[0].1;
    assert!(none(redundancy, 2, &changed, &helpers), "dependent");
}

#[test]
fn a_piece_by_other_coefficients_is_made_as_they_say() {
    let redundancy = Redundancy::rlnc(4, 6, 2, false).unwrap();
    for block in [vec![], vec![1; 5], (0..=100).collect()] {
        let mut storage = Storage::new(redundancy, block.clone());
        if !block.is_empty() {
            storage.repair(3);
        }
        for held in &storage.fragments {
            let mut piece = vec![0xa5; redundancy.piece_bytes(block.len())];

            let coefficients = held.coefficients.cells();
            storage.code.encode_by(coefficients, &block, &mut piece);

            assert_eq!(piece, held.piece);
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
