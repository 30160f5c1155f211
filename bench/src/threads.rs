//! `threads`: what a second processor is worth to the matcher and to the engine around it.
//!
//! Invariant: every number of threads has the same work, and finds the same matches, else the campaign ends with an error.

mod owner;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use anyhow::ensure;
use sc_cbr::Workers;
use sc_matching::{
    Header, HeaderBlock, HeaderBlockWriter, Index, Kernel, Matches, Publication, Snapshot,
    Subscription, SubscriptionId,
};
use sc_program::{Choice, Pool};

use crate::cli::ThreadsArgs;
use crate::machine;
use crate::median::Sorted;
use crate::random::Random;
use crate::report::{line, table};
use crate::workload::{Data, parse_publications, parse_subscriptions};
use owner::Session;

/// Headers that a thread takes at once where nothing but matching is measured.
const TAKEN_AT_ONCE: usize = 64;

pub(crate) fn run(arguments: &ThreadsArgs) -> anyhow::Result<()> {
    let (publications, subscriptions) = workload(arguments.subscriptions)?;
    line(&machine::describe());
    line(&format!(
        "{} subscriptions, 80 % with a symbol, and {} publications, {} times in batches of {}",
        subscriptions.len(),
        publications.len(),
        arguments.passes,
        arguments.batch
    ));
    let mut rows = vec![
        ["step", "threads", "median ns/pub", "fastest", "times one"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let alone = Alone::new(&publications, &subscriptions)?;
    row_of_each(&mut rows, arguments, "match, and copy ids", |threads| {
        alone.measure(threads, arguments.passes)
    })?;
    let ways = if arguments.oblivious {
        &[false, true][..]
    } else {
        &[false]
    };
    for consumers in &arguments.consumers {
        for oblivious in ways {
            let way = if *oblivious { ", oblivious" } else { "" };
            let step = format!("engine, {consumers} consumers{way}");
            row_of_each(&mut rows, arguments, &step, |threads| {
                let choice = Choice {
                    threads: Some(threads),
                    oblivious: *oblivious,
                    ..Choice::default()
                };
                engine(
                    arguments,
                    &choice,
                    *consumers,
                    &publications,
                    &subscriptions,
                )
            })?;
        }
    }
    line("");
    table(&rows);
    Ok(())
}

/// Nanoseconds per publication, and the matches that were found.
type Measured = (Vec<f64>, u64);

fn row_of_each(
    rows: &mut Vec<Vec<String>>,
    arguments: &ThreadsArgs,
    step: &str,
    measure: impl Fn(usize) -> anyhow::Result<Measured>,
) -> anyhow::Result<()> {
    let mut first = None;
    for threads in &arguments.threads {
        let (values, found) = measure(*threads)?;
        let sorted = Sorted::new(values);
        let (one, expected) = *first.get_or_insert((sorted.median(), found));
        ensure!(
            found == expected,
            "{threads} threads found {found} matches and not {expected}"
        );
        rows.push(vec![
            step.to_owned(),
            threads.to_string(),
            format!("{:.0}", sorted.median()),
            format!("{:.0}", sorted.min()),
            format!("{:.2}", one / sorted.median()),
        ]);
    }
    Ok(())
}

/// What is matched against what; subscriptions with their ids.
type Matched = (Vec<Publication>, Vec<(u64, Subscription)>);

/// Quotes, and subscriptions of the sample's shape; each fifth asks for a narrow range of one attribute instead.
fn workload(subscriptions: u64) -> anyhow::Result<Matched> {
    let files = Data::Bundled.workload(subscriptions)?;
    let mut text = String::new();
    let mut random = Random::new(5);
    for (place, subscription) in files.subscriptions_text.lines().enumerate() {
        match place % 5 {
            0 => {
                let (attribute, from) = (["open", "high", "low"][place / 5 % 3], random.below(500));
                let to = from + 5;
                text += &format!("0 {place} S i {attribute} >= {from} i {attribute} <= {to}");
            }
            _ => text += subscription,
        }
        text.push('\n');
    }
    let publications = parse_publications(&files.publications_text)?;
    Ok((publications, parse_subscriptions(&text)?))
}

/// Nothing but matching: many threads on one snapshot.
struct Alone {
    kernel: Kernel,
    snapshot: Snapshot,
    blocks: Arc<Vec<Vec<u8>>>,
    publications: usize,
}

impl Alone {
    fn new(
        publications: &[Publication],
        subscriptions: &[(u64, Subscription)],
    ) -> anyhow::Result<Self> {
        let kernel = Choice::default().kernel()?;
        let mut index = Index::with_kernel(0, kernel);
        for (number, (_, subscription)) in (0..).zip(subscriptions) {
            index.insert(SubscriptionId(number), subscription);
        }
        let blocks = publications.chunks(TAKEN_AT_ONCE).map(|some| {
            let mut writer = HeaderBlockWriter::new();
            some.iter().try_for_each(|it| writer.push(it))?;
            anyhow::Ok(writer.finish())
        });
        Ok(Self {
            kernel,
            snapshot: index.snapshot(),
            blocks: Arc::new(blocks.collect::<anyhow::Result<_>>()?),
            publications: publications.len(),
        })
    }

    fn measure(&self, threads: usize, passes: u32) -> anyhow::Result<Measured> {
        let pool = Pool::start(threads)?;
        let found = Arc::new(AtomicU64::new(0));
        let mut values = Vec::new();
        for _ in 0..passes {
            let (next, blocks) = (AtomicUsize::new(0), Arc::clone(&self.blocks));
            let (snapshot, kernel) = (self.snapshot.clone(), self.kernel);
            let found = Arc::clone(&found);
            let work: sc_cbr::Work = Arc::new(move || {
                while let Some(bytes) = blocks.get(next.fetch_add(1, Relaxed)) {
                    found.fetch_add(matches(&snapshot, kernel, bytes), Relaxed);
                }
            });
            let begin = Instant::now();
            pool.beside(Arc::clone(&work), &mut || work());
            values.push(begin.elapsed().as_nanos() as f64 / self.publications as f64);
        }
        Ok((values, found.load(Relaxed)))
    }
}

/// Matches each header of a block and copies the ids; returns how many they were.
fn matches(snapshot: &Snapshot, kernel: Kernel, bytes: &[u8]) -> u64 {
    let block = HeaderBlock::decode(bytes).expect("it was just encoded");
    let names = snapshot.names(&block);
    let (mut headers, mut header) = (block.headers(), Header::new());
    let (mut matched, mut ids, mut found) = (Matches::new(), Vec::new(), 0);
    while headers.next_header(&mut header) == Ok(true) {
        snapshot.matches(&names, &header, &mut matched);
        matched.copy_ids(kernel, &mut ids);
        found += std::hint::black_box(&ids).len() as u64;
    }
    found
}

/// The whole call: open, match, write and seal notices and the receipt.
fn engine(
    arguments: &ThreadsArgs,
    choice: &Choice,
    consumers: u32,
    publications: &[Publication],
    subscriptions: &[(u64, Subscription)],
) -> anyhow::Result<Measured> {
    let mut session = Session::open(choice.start()?)?;
    for number in 0..consumers {
        let own = subscriptions.iter().skip(number as usize);
        session.admit(number, own.step_by(consumers as usize).cloned())?;
    }
    let (mut values, mut found) = (Vec::new(), 0);
    for _ in 0..arguments.passes {
        for batch in publications.chunks(arguments.batch as usize) {
            let (counter, call) = session.batch(batch)?;
            let begin = Instant::now();
            let reply = session.handle(call);
            values.push(begin.elapsed().as_nanos() as f64 / batch.len() as f64);
            found += session.deliveries(counter, &reply)?;
        }
    }
    Ok((values, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_finds_what_the_index_alone_finds_with_any_number_of_threads_and_obliviously() {
        let (publications, subscriptions) = workload(300).unwrap();
        let arguments = ThreadsArgs {
            subscriptions: 300,
            consumers: vec![7],
            threads: vec![1, 2],
            passes: 1,
            batch: 512,
            oblivious: true,
        };
        let alone = Alone::new(&publications, &subscriptions).unwrap();

        for threads in [1, 3] {
            let (values, found) = alone.measure(threads, 1).unwrap();
            assert!(found > 1000, "{found}");
            for oblivious in [false, true] {
                let choice = Choice {
                    threads: Some(threads),
                    oblivious,
                    ..Choice::default()
                };
                let engine = engine(&arguments, &choice, 7, &publications, &subscriptions).unwrap();

                assert_eq!((values.len(), engine.0.len()), (1, 20));
                assert_eq!(engine.1, found);
            }
        }
    }
}
