//! What an oblivious match costs: one equality and one to two bounds, headers of eight attributes.
//!
//! `cargo run --release -p sc-matching --example oblivious -- [ROWS] [SEED] [PASSES] [KERNEL]`
//!
//! Other seeds give other data of the same sizes; a tool that counts instructions must count as many
//! for each.

use std::time::Instant;

use sc_matching::ascii::{Line, parse};
use sc_matching::{
    Features, Header, HeaderBlock, HeaderBlockWriter, Kernel, Oblivious, ObliviousMatches, Shape,
    Subscription, SubscriptionId,
};

const SYMBOLS: u64 = 200;
const PRICES: u64 = 1_000;
const HEADERS: usize = 64;
const SLOTS: usize = 64;
const REPLACED: u32 = 100;

/// Numbers that look random; a linear congruence with the constants of Knuth's MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// All numbers have four digits, and operators alternate, so that the sizes do not depend on the
/// seed.
fn subscription(id: u32, random: &mut Random) -> String {
    let symbol = 1_000 + random.below(SYMBOLS);
    let (a, b) = (1_000 + random.below(PRICES), random.below(PRICES));
    match id % 4 {
        0 => format!("0 0 S i symbol = {symbol} i high >= {a}"),
        1 => format!("0 0 S i symbol = {symbol} i low <= {a}"),
        2 => format!(
            "0 0 S i symbol = {symbol} i open >= {a} i open <= {}",
            a + b
        ),
        _ => format!("0 0 S i symbol = {symbol} i volume >= {a}"),
    }
}

fn publication(random: &mut Random) -> String {
    let price = 1_000 + random.below(PRICES);
    format!(
        "0 0 P i symbol {} i date {} i open {price} i high {} i low {} i close {price} i volume {} i market 1",
        1_000 + random.below(SYMBOLS),
        1_000 + random.below(PRICES),
        price + 5,
        price.saturating_sub(5).max(1_000),
        1_000 + random.below(PRICES),
    )
}

/// Has others take the place of the first subscriptions. A function of its own, so that a tool can count its instructions.
#[inline(never)]
fn replace(matcher: &mut Oblivious, others: &[Subscription]) {
    for (id, subscription) in (0..).zip(others) {
        let replaced = matcher.insert(SubscriptionId(id), subscription);
        replaced.expect("the shape admits it");
    }
}

fn parsed(id: u32, random: &mut Random) -> Subscription {
    match parse(&subscription(id, random)) {
        Ok(Line::Subscription { subscription, .. }) => subscription,
        _ => unreachable!("it is written as one"),
    }
}

#[expect(clippy::print_stdout, reason = "it is what it is for")]
fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse::<u64>().ok());
    let rows = arguments.next().unwrap_or(10_000);
    let mut random = Random(arguments.next().unwrap_or(1));
    let passes = arguments.next().unwrap_or(5);

    let named = std::env::args().nth(4);
    let named = named.and_then(|name| Kernel::named(&name));
    let kernel = named.unwrap_or_else(|| Kernel::fastest(Features::ALL));
    let mut matcher = Oblivious::with_kernel(Shape::default(), 1, kernel);
    let start = Instant::now();
    for id in (0..).take(usize::try_from(rows).expect("64 bits")) {
        let inserted = matcher.insert(SubscriptionId(id), &parsed(id, &mut random));
        inserted.expect("the shape admits it");
    }
    println!("{}, {:?}", kernel.name(), matcher.sizes());
    println!(
        "insert: {:?} each",
        start.elapsed() / u32::try_from(rows.max(1)).expect("few")
    );
    let others: Vec<_> = (0..REPLACED).map(|id| parsed(id, &mut random)).collect();
    let start = Instant::now();
    replace(&mut matcher, &others);
    println!("replace: {:?} each", start.elapsed() / REPLACED);

    let mut writer = HeaderBlockWriter::new();
    for _ in 0..HEADERS {
        if let Ok(Line::Publication(publication)) = parse(&publication(&mut random)) {
            writer.push(&publication).expect("they fit a block");
        }
    }
    let bytes = writer.finish();
    let block = HeaderBlock::decode(&bytes).expect("own blocks decode");
    let (mut reader, mut header, mut headers) = (block.headers(), Header::new(), Vec::new());
    while reader.next_header(&mut header).expect("own headers decode") {
        headers.push(header.clone());
    }
    let (names, mut matched) = (matcher.names(&block), ObliviousMatches::new());
    for _ in 0..passes {
        let start = Instant::now();
        matcher.matches(&names, &headers, SLOTS, &mut matched);
        let each = start.elapsed() / u32::try_from(HEADERS).expect("few");
        let found: usize = matched.answers().map(|padded| padded.count).sum();
        println!("match: {each:?} each, {} found on average", found / HEADERS);
    }
}
