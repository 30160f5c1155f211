//! A million random inserts, removals and questions, every answer held against a plain scan, shared
//! among the forms of the vector operations that the processor has.

use std::collections::BTreeMap;

use sc_matching::{
    Constraint, Index, Kernel, Matches, Name, Number, Predicate, Publication, Snapshot,
    Subscription, SubscriptionId, Text, Value,
};

/// Operations of all runs together.
const OPERATIONS: u32 = 1_000_000;

/// Operations from one question to the next.
const ASK_EVERY: u32 = 250;

/// Ids are below this, so that many inserts replace.
const IDS: u64 = 6_000;

/// Operations of a short run, for tools under which each takes long; they fill the index, and the end
/// of the run empties it.
const OPERATIONS_FEW: u32 = 12_000;

/// A generator for tests, SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }
}

fn name(n: u64) -> Name {
    Name::new(&format!("a{n}")).expect("a short name")
}

fn text(random: &mut Random) -> Text {
    let texts = [
        "",
        "a",
        "ab",
        "abcdefg",
        "abcdefg\0",
        "abcdefgh",
        "abcdefghi",
        "abcdefgi",
        "b\0",
        "b",
        "meters/north/7",
        "meters/north/8",
        "meters/south",
        "ß",
        "\u{10ffff}",
    ];
    Text::new(random.pick(&texts)).expect("a short text")
}

fn number(random: &mut Random) -> Number {
    let edges = [
        f64::MIN,
        f64::MAX,
        -5e-324,
        5e-324,
        0.0,
        9_007_199_254_740_992.0,
    ];
    let wide = [
        i64::MAX,
        i64::MIN,
        i64::MIN + 1,
        (1 << 53) + 1,
        (1 << 53) + 2,
        -(1 << 53) - 1,
        (1 << 62) + 1,
    ];
    match random.below(20) {
        0 => Number::new(random.pick(&edges)).expect("finite"),
        1 => Number::from(random.pick(&wide)),
        2..7 => Number::new(random.below(1000) as f64 / 100.0 - 5.0).expect("finite"),
        _ => Number::from(random.below(500) as i32),
    }
}

fn value(random: &mut Random) -> Value {
    match random.below(8) {
        0 => text(random).into(),
        _ => number(random).into(),
    }
}

fn predicate(random: &mut Random) -> Predicate {
    let value = value(random);
    match random.below(16) {
        0 => Predicate::NotEqual(value),
        1 => Predicate::Exists,
        2 => Predicate::Prefix(text(random)),
        3 => {
            let count = 1 + random.below(5);
            Predicate::In((0..count).map(|_| self::value(random)).collect())
        }
        4 => Predicate::Equal(value),
        5 => Predicate::Less(value),
        6 => Predicate::Greater(value),
        7..12 => Predicate::LessOrEqual(value),
        _ => Predicate::GreaterOrEqual(value),
    }
}

/// Mostly an equality of few values and a range or two; now and then anything, or very much.
fn subscription(random: &mut Random) -> Subscription {
    let mut constraints = Vec::new();
    let mut demand = |attribute, predicate| {
        constraints.push(Constraint::new(name(attribute), predicate).expect("sets are small"));
    };
    if random.below(3) > 0 {
        let symbol = Value::from(random.below(3) as i32);
        demand(0, Predicate::Equal(symbol));
    }
    let many = match random.below(200) {
        0 => 60,
        1..150 => 2,
        _ => 4,
    };
    for _ in 0..random.below(many + 1) {
        let attribute = 1 + random.below(if many > 4 { 40 } else { 6 });
        demand(attribute, predicate(random));
    }
    Subscription::new(constraints).expect("constraints are few")
}

fn publication(random: &mut Random) -> Publication {
    let mut publication = Publication::new();
    for attribute in 0..40 {
        let value = match attribute {
            0 => Value::from(random.below(4) as i32),
            1..7 if random.below(8) > 0 => value(random),
            7.. if random.below(2) > 0 => value(random),
            _ => continue,
        };
        publication
            .push(name(attribute), value)
            .expect("each attribute comes once");
    }
    publication
}

pub(crate) fn answer(index: &Snapshot, kernel: Kernel, publication: &Publication) -> Vec<u32> {
    let (mut matched, mut ids) = (Matches::new(), Vec::new());
    index.matches_publication(publication, &mut matched);
    matched.copy_ids(kernel, &mut ids);
    assert_eq!(ids.len(), matched.count());
    assert!(matched.ids().map(|id| id.0).eq(ids.iter().copied()));
    ids.sort_unstable();
    ids
}

pub(crate) fn scan(model: &BTreeMap<u32, Subscription>, publication: &Publication) -> Vec<u32> {
    let matching = model.iter().filter(|(_, s)| s.matches(publication));
    matching.map(|(id, _)| *id).collect()
}

/// What a snapshot answered when it was taken, to be asked again later.
struct Remembered {
    snapshot: Snapshot,
    publication: Publication,
    expected: Vec<u32>,
}

/// Every form of the vector operations that this processor has.
pub(crate) fn kernels() -> impl Iterator<Item = Kernel> {
    let names = ["portable", "avx2", "avx512"];
    names.into_iter().filter_map(Kernel::named)
}

fn survives(kernel: Kernel, operations: u32) {
    let mut random = Random(7);
    let mut index = Index::with_kernel(random.below(u64::MAX), kernel);
    let mut model = BTreeMap::new();
    let mut remembered: Option<Remembered> = None;
    let mut answered = 0;
    for operation in 0..operations {
        // Tides, so that pages and groups are both filled and emptied.
        let inserts = if operation / 30_000 % 2 == 0 { 8 } else { 2 };
        let id = random.below(IDS) as u32;
        if random.below(10) < inserts {
            let subscription = subscription(&mut random);
            index.insert(SubscriptionId(id), &subscription);
            model.insert(id, subscription);
        } else {
            let was_there = model.remove(&id).is_some();
            assert_eq!(index.remove(SubscriptionId(id)), was_there, "{operation}");
        }
        if operation % ASK_EVERY == 0 {
            assert_eq!(index.len(), model.len());
            let publication = publication(&mut random);
            let expected = scan(&model, &publication);
            let snapshot = index.snapshot();
            assert_eq!(
                answer(&snapshot, kernel, &publication),
                expected,
                "{operation}"
            );
            answered += expected.len();
            if operation % (40 * ASK_EVERY) == 0 {
                let new = Remembered {
                    snapshot,
                    publication,
                    expected,
                };
                if let Some(old) = remembered.replace(new) {
                    let again = answer(&old.snapshot, kernel, &old.publication);
                    assert_eq!(again, old.expected, "a snapshot changed");
                }
            }
        }
    }
    assert!(
        answered > operations as usize / 100,
        "{answered} matches say little"
    );
    for id in model.keys() {
        assert!(index.remove(SubscriptionId(*id)));
    }
    let left = answer(&index.snapshot(), kernel, &publication(&mut random));
    assert!(index.is_empty() && left.is_empty());
}

/// What falls to each kernel: a million in all, also where there are fewer kernels.
fn share() -> u32 {
    OPERATIONS.div_ceil(kernels().count() as u32)
}

#[test]
fn operations_agree_with_a_scan_portable() {
    survives(Kernel::PORTABLE, share());
}

#[test]
fn operations_agree_with_a_scan_where_there_is_avx2() {
    let kernel = Kernel::named("avx2");
    kernel.into_iter().for_each(|own| survives(own, share()));
}

#[test]
fn operations_agree_with_a_scan_where_there_is_avx512() {
    let kernel = Kernel::named("avx512");
    kernel.into_iter().for_each(|own| survives(own, share()));
}

#[test]
fn thousands_of_operations_agree_with_a_scan_on_every_kernel() {
    kernels().for_each(|kernel| survives(kernel, OPERATIONS_FEW));
}
