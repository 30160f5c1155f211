//! Pages at their edges, every answer held against a plain scan, on each form of the vector
//! operations that the processor has: many pages of one group, wide rows, and whole blocks. Where rows
//! share the value of an attribute they lie on planes, else on sieves, as long as their pages are few.

use std::collections::BTreeMap;

use sc_matching::{Index, Kernel, Name, Publication, Subscription, SubscriptionId};

use crate::churn::{Random, answer, kernels, scan};
use crate::{publication, subscription};

/// How an index works, and where its rows lie.
#[derive(Clone, Copy, Debug)]
struct Setting {
    kernel: Kernel,
    /// Whether all rows share a value.
    share_a_value: bool,
}

/// Does `what` in every setting.
fn everywhere(what: impl Fn(Setting)) {
    for kernel in kernels() {
        for share_a_value in [false, true] {
            what(Setting {
                kernel,
                share_a_value,
            });
        }
    }
}

/// An index, and what it holds.
struct Held {
    setting: Setting,
    index: Index,
    model: BTreeMap<u32, Subscription>,
}

impl Held {
    fn new(setting: Setting) -> Self {
        Self {
            setting,
            index: Index::with_kernel(1, setting.kernel),
            model: BTreeMap::new(),
        }
    }

    fn insert(&mut self, id: u32, constraints: &str) {
        let subscription = match self.setting.share_a_value {
            true => subscription(&format!("i shared = 1 {constraints}")),
            false => subscription(constraints),
        };
        self.index.insert(SubscriptionId(id), &subscription);
        self.model.insert(id, subscription);
    }

    fn remove(&mut self, id: u32) {
        let was_there = self.model.remove(&id).is_some();
        assert_eq!(self.index.remove(SubscriptionId(id)), was_there, "{id}");
    }

    /// Asks both; returns how many matched.
    fn ask(&self, publication: &Publication) -> usize {
        let mut publication = publication.clone();
        if self.setting.share_a_value {
            let shared = Name::new("shared").expect("a short name");
            let taken = publication.push(shared, 1.into());
            taken.expect("no other attribute has this name");
        }
        let expected = scan(&self.model, &publication);
        let answer = answer(&self.index.snapshot(), self.setting.kernel, &publication);
        assert_eq!(answer, expected, "{:?} {publication:?}", self.setting);
        expected.len()
    }
}

/// A range on `a` and one on `b`, somewhere below `end`; on some a value that is left out.
fn ranges(random: &mut Random, end: u64) -> String {
    let [a, b] = [0, 1].map(|_| random.below(end));
    let hole = match random.below(8) {
        0 => format!(" i a != {}", a + 1),
        _ => String::new(),
    };
    let (widths, shape) = (random.below(30), random.below(6));
    match shape {
        // One side only, which a header beyond it reaches on all rows of a page.
        0..3 => format!("i a >= {a} i b >= {b}{hole}"),
        3 => format!("i a <= {a} i b >= {b}{hole}"),
        _ => format!("i a >= {a} i a <= {} i b >= {b}{hole}", a + widths),
    }
}

fn many_pages(setting: Setting) {
    let mut random = Random(11);
    let mut held = Held::new(setting);
    let mut matched = 0;
    for id in 0..4000 {
        // The zones of pages have to grow, since values do.
        let end = 100 + u64::from(id);
        held.insert(id, &ranges(&mut random, end));
        if id % 29 == 0 {
            let [a, b] = [0, 1].map(|_| random.below(end + end / 4));
            matched += held.ask(&publication(&format!("i a {a} i b {b}")));
        }
    }
    assert!(matched > 10_000, "{matched} matches say little");
    // From the least on, so that whole pages go, and in the end all.
    for step in 0..4000 {
        held.remove(step * 7 % 4000);
        if step % 53 == 0 {
            let [a, b] = [0, 1].map(|_| random.below(5000));
            held.ask(&publication(&format!("i a {a} i b {b}")));
        }
    }
    assert!(held.index.is_empty());
}

#[test]
fn many_pages_of_one_group_agree_with_a_scan_on_every_kernel() {
    everywhere(many_pages);
}

/// A range on each of so many attributes, of numbers that take one byte or more.
fn wide_row(random: &mut Random, attributes: u64) -> String {
    let mut constraints = String::new();
    for attribute in 0..attributes {
        let range = match attribute % 3 {
            0 => {
                let low = random.below(20);
                format!("i w{attribute} >= {low} i w{attribute} <= {}", low + 9)
            }
            1 => format!("i w{attribute} >= {}", random.below(70_000)),
            _ => format!("i w{attribute} < {}.5", random.below(3000)),
        };
        // Now and then a row has no bound on a column that others have one on.
        if random.below(6) > 0 {
            constraints += &format!("{range} ");
        }
    }
    constraints + "i w0 exists"
}

fn wide_rows(setting: Setting) {
    for attributes in [5, 9, 30] {
        let mut random = Random(attributes);
        let mut held = Held::new(setting);
        let mut matched = 0;
        for id in 0..900 {
            held.insert(id, &wide_row(&mut random, attributes));
            if id % 11 == 0 {
                let value = |attribute: u64, random: &mut Random| match attribute % 3 {
                    0 => 8 + random.below(12),
                    1 => 60_000 + random.below(12_000),
                    _ => random.below(400),
                };
                let fields =
                    (0..attributes).map(|at| format!("i w{at} {} ", value(at, &mut random)));
                matched += held.ask(&publication(fields.collect::<String>().trim_end()));
            }
            if id % 5 == 4 {
                held.remove(random.below(id.into()) as u32);
            }
        }
        assert!(matched > 0, "{attributes}");
    }
}

#[test]
fn wide_rows_agree_with_a_scan_on_every_kernel() {
    everywhere(wide_rows);
}

fn whole_blocks(setting: Setting) {
    for rows in [63, 64, 65, 128, 1024] {
        let mut held = Held::new(setting);
        for id in 0..rows {
            held.insert(id, &format!("i a >= {} i b != {}", id % 50, id % 3));
        }

        // Every bound is reached, so that nothing but what `b` must not be decides.
        for b in 0..4 {
            let matched = held.ask(&publication(&format!("i a 100 i b {b}")));
            assert!(matched > rows as usize / 2);
        }
    }
}

#[test]
fn whole_blocks_are_tested_on_what_bounds_cannot_say_on_every_kernel() {
    everywhere(whole_blocks);
}

fn subscriptions_of_several_rows(setting: Setting) {
    let mut random = Random(3);
    let mut held = Held::new(setting);
    for id in 0..3000 {
        // Rows in five partitions; pages of each are split and dissolved on their own.
        let symbols = [0, 1, 2, 3, 4].map(|n| (random.below(5) + n) % 5);
        let high = random.below(1000);
        held.insert(
            id,
            &format!(
                "i s in {{{}, {}, {}}} i a >= {high}",
                symbols[0], symbols[1], symbols[2]
            ),
        );
    }
    for step in 0..3000 {
        held.remove(step * 11 % 3000);
        if step % 60 == 0 {
            let fields = format!("i s {} i a {}", random.below(5), random.below(1000));
            held.ask(&publication(&fields));
        }
    }
    assert!(held.index.is_empty());
}

#[test]
fn subscriptions_of_several_rows_agree_with_a_scan_on_every_kernel() {
    everywhere(subscriptions_of_several_rows);
}

/// Rows of several pages, of which `a` and `b` have to reach bounds below 1000.
fn steps(setting: Setting, random: &mut Random) -> Held {
    let mut held = Held::new(setting);
    for id in 0..2500 {
        let [a, b] = [0, 1].map(|_| random.below(1000));
        held.insert(id, &format!("i a >= {a} i b >= {b}"));
    }
    held
}

fn beyond_the_zone(setting: Setting) {
    let mut random = Random(5);
    let mut held = steps(setting, &mut random);
    for id in 3000..3060 {
        // Near enough for the scale of a page, so that the page is not built again.
        let (a, b) = (1000 + random.below(200), random.below(1000));
        held.insert(id, &format!("i a >= {a} i b >= {b}"));

        for a in [random.below(1000), 999, a - 1, a, 1200] {
            held.ask(&publication(&format!("i a {a} i b 5000")));
        }
    }
}

#[test]
fn rows_beyond_the_zone_of_their_page_are_not_accepted_unseen_on_every_kernel() {
    everywhere(beyond_the_zone);
}

fn later_columns(setting: Setting) {
    let mut random = Random(6);
    let mut held = steps(setting, &mut random);
    // A partition of its own, so that the attributes to come are not so rare that rows lie under them.
    for id in 4000..4010 {
        held.insert(id, "i s = 1 i c exists i d exists i e exists");
    }

    for (id, later) in (3000..).zip(["c", "d", "e"]) {
        held.insert(id, &format!("i a >= 10 i b >= 10 i {later} >= 10"));

        let without = held.ask(&publication("i a 5000 i b 5000"));
        let with = held.ask(&publication(&format!("i a 5000 i b 5000 i {later} 10")));
        assert_eq!((without, with), (2500, 2501));
    }
}

#[test]
fn pages_from_before_a_column_are_met_without_it_on_every_kernel() {
    everywhere(later_columns);
}

fn every_magnitude(setting: Setting) {
    let mut random = Random(8);
    let mut number = || {
        let sign = ["", "-"][random.below(2) as usize];
        let magnitude = [308, 307, 305, 300, 200, 3][random.below(6) as usize];
        format!("{sign}1.{}e{magnitude}", random.below(79))
    };
    for rows in [3, 20, 300] {
        let mut held = Held::new(setting);
        for id in 0..rows {
            held.insert(id, &format!("i a > {}", number()));
        }
        for _ in 0..60 {
            held.ask(&publication(&format!("i a {}", number())));
        }
    }
}

#[test]
fn bounds_of_every_magnitude_agree_with_a_scan_on_every_kernel() {
    everywhere(every_magnitude);
}

/// Two ranges on days, prices and volumes: few values that many have, decimals, and numbers of which most
/// are small.
fn trade(random: &mut Random, prices_below: u64) -> String {
    let mut ranges = Vec::new();
    let day = 86_400 * random.below(40);
    let last = day + 86_400 * random.below(9);
    ranges.push(format!("i day >= {day} i day <= {last} "));
    let price = random.below(prices_below);
    ranges.push(format!(
        "i price >= {price}.25 i price < {}.5 ",
        price + random.below(300)
    ));
    let volume = random.below(200).pow(3);
    ranges.push(match random.below(3) {
        0 => format!("i volume >= {volume} "),
        1 => format!("i volume <= {volume} "),
        _ => format!("i volume > {volume} i volume < {} ", volume * 2 + 9),
    });
    // A text where others have a number.
    if random.below(50) == 0 {
        ranges[1] = format!("i price >= \"p{}\" ", random.below(9));
    }
    ranges.swap_remove(random.below(3) as usize);
    ranges.concat() + "i day exists"
}

fn ask_about_a_trade(held: &Held, random: &mut Random) -> usize {
    let price = match random.below(9) {
        0 => format!("\"p{}\"", random.below(9)),
        _ => format!("{}.{}", random.below(1300), random.below(4) * 25),
    };
    let volume = match random.below(4) {
        // A bound itself, or a number that is wide.
        0 => random.below(200).pow(3),
        1 => (1 << 60) + random.below(9),
        _ => random.below(8_000_000),
    };
    let day = 86_400 * random.below(45) + random.below(2);
    let mut fields = format!("i day {day} i price {price} i volume {volume}");
    if random.below(7) == 0 {
        fields = format!("i day {day} i volume {volume}");
    }
    held.ask(&publication(&fields))
}

fn crowds(kernel: Kernel) {
    let mut random = Random(12);
    let mut held = Held::new(Setting {
        kernel,
        share_a_value: false,
    });
    let mut matched = 0;
    for id in 0..16_000 {
        // Some prices are beyond all that the codes of the first pages were made for.
        let prices_below = if id < 12_000 { 900 } else { 1200 };
        held.insert(id, &trade(&mut random, prices_below));
        if id > 10_000 && id % 100 == 0 {
            matched += ask_about_a_trade(&held, &mut random);
        }
    }
    assert!(matched > 2_000, "{matched} matches say little");
    for step in 0..16_000 {
        held.remove(step * 7 % 16_000);
        if step % 500 == 0 {
            ask_about_a_trade(&held, &mut random);
        }
    }
    assert!(held.index.is_empty());
}

#[test]
fn crowds_that_every_header_meets_agree_with_a_scan_on_every_kernel() {
    kernels().for_each(crowds);
}

/// Intervals on a few attributes, whose values are whole, decimal, of any magnitude, or texts.
fn mixed_row(random: &mut Random) -> String {
    let mut constraints = String::new();
    for attribute in ["m", "n", "o", "p", "q"] {
        let low = random.below(40);
        let high = low + random.below(12);
        constraints += &match random.below(13) {
            0..5 => continue,
            5 => format!("i {attribute} >= {low} i {attribute} <= {high} "),
            6 => format!("i {attribute} > {low} i {attribute} < {high}.25 "),
            7 => format!("i {attribute} >= -{high}.0625 i {attribute} <= {low}.125 "),
            8 => format!("i {attribute} > {low}.1e{} ", random.below(300)),
            9 => format!("i {attribute} >= \"t{low}\" i {attribute} < \"t{high}\" "),
            10 => format!("i {attribute} exists "),
            // Its grid has lower bounds, too, which a text stands to otherwise than to upper ones.
            11 => format!("i {attribute} <= {low}.1e{} ", random.below(300)),
            _ => format!("i {attribute} != {low} "),
        };
    }
    constraints + "i m exists"
}

fn mixed_intervals(setting: Setting) {
    for rows in [70, 700, 4500] {
        let mut random = Random(rows);
        let mut held = Held::new(setting);
        let mut matched = 0;
        for id in 0..rows as u32 {
            held.insert(id, &mixed_row(&mut random));
            if random.below(6) == 0 {
                held.remove(random.below(id.into()) as u32);
            }
            if !u64::from(id).is_multiple_of(rows / 60) {
                continue;
            }
            let mut fields = format!("i m {}", random.below(45));
            for attribute in ["n", "o", "p", "q"] {
                let value = random.below(45);
                fields += &match random.below(6) {
                    0 => String::new(),
                    1 => format!(" i {attribute} \"t{value}\""),
                    2 => format!(" i {attribute} {value}.5"),
                    3 => format!(" i {attribute} -{value}"),
                    _ => format!(" i {attribute} {value}"),
                };
            }
            matched += held.ask(&publication(&fields));
        }
        assert!(matched > rows as usize / 10, "{matched}");
    }
}

#[test]
fn intervals_of_numbers_and_texts_agree_with_a_scan_on_every_kernel() {
    everywhere(mixed_intervals);
}

fn as_many_bounds_as_fit(setting: Setting) {
    let mut held = Held::new(setting);
    let wide: String = (0..63).map(|at| format!("i a{at} > 1 ")).collect();
    let wide = wide.trim_end();
    for id in 0..513 {
        held.insert(id, wide);
    }
    // Each time the page of the others has room for more rows when it is built again.
    held.remove(512);
    for id in 512..1025 {
        held.insert(id, wide);
    }
    held.remove(1024);
    // Told apart from the others, it leaves one page more bounds than it had before.
    held.insert(2000, "i a0 > 1");
    for id in 3000..3040 {
        held.insert(id, wide);
    }

    let fields = |first: &str, others: &str| {
        let others: String = (1..63).map(|at| format!(" i a{at} {others}")).collect();
        publication(&format!("i a0 {first}{others}"))
    };
    assert_eq!(held.ask(&fields("1.5", "2")), 1065);
    assert_eq!(held.ask(&fields("1", "2")), 0);
    assert_eq!(held.ask(&fields("2", "0")), 1);
    held.insert(5000, "i a62 > 5");
    assert_eq!(held.ask(&fields("1", "0")), 0);
    for id in (0..1024).chain(3000..3040) {
        held.remove(id);
    }
    assert_eq!(held.index.len(), 2);
}

#[test]
fn pages_of_as_many_bounds_as_fit_lose_none_on_every_kernel() {
    everywhere(as_many_bounds_as_fit);
}
