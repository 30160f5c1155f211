//! What workers change: who matches what, and nothing of what comes of it. Nor does it change what comes of it how they match.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use sc_cbr::{Alone, MessageKind, Processors, Status, Work, Workers};
use sc_matching::{Kernel, Publication};
use sc_proto::cbr::{self, call::Call};

use crate::consumer::Consumer;
use crate::owner::{Enclave, Entropy, Session, identity, publication, subscription};

/// Version, time and origin of a batch: a clock that leaps would end all leases.
const HEAD_BYTES: usize = 25;

/// Workers that are started anew for each work.
struct Threads(usize);

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn beside(&self, work: Work, own: &mut dyn FnMut()) {
        thread::scope(|scope| {
            for _ in 0..self.0 {
                let work = Arc::clone(&work);
                scope.spawn(move || work());
            }
            own();
        });
    }
}

/// Numbers that follow from a seed.
struct Numbers(Entropy);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }
}

fn publications(numbers: &mut Numbers, count: usize) -> Vec<Publication> {
    let one = |_| {
        let [a, b] = [50, 20].map(|end| numbers.below(end));
        publication(&format!("i a {a} i b {b} i text \"{}\"", a % 3))
    };
    (0..count).map(one).collect()
}

fn filters(numbers: &mut Numbers) -> Vec<(u64, String)> {
    let count = 1 + numbers.below(30);
    let one = |id| {
        let [kind, x] = [4, 50].map(|end| numbers.below(end));
        let filter = match kind {
            0 => format!("i a = {x}"),
            1 => format!("i a >= {x} i b < 5"),
            2 => format!("i text = \"{}\" i b >= {}", x % 3, x % 20),
            _ => "i a exists".to_owned(),
        };
        (id * 7 % 31, filter)
    };
    (0..count).map(one).collect()
}

/// All that an engine answers in a session full of batches: whole ones, broken ones, small and large.
fn answers(processors: Processors, seed: u64) -> Vec<cbr::Outcome> {
    let mut numbers = Numbers(Entropy::new(seed));
    let mut enclave = Enclave::with_processors(processors);
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    let consumers: Vec<_> = (1..=9).map(Consumer::new).collect();
    let mut answers = Vec::new();
    for consumer in &consumers {
        let filters = filters(&mut numbers);
        let filters: Vec<_> = filters.iter().map(|(id, it)| (*id, &it[..])).collect();
        session.admit(&mut enclave, consumer, &filters);
    }
    enclave.suspend(&session.scope, &consumers[2]);
    for count in [0, 1, 31, 33, 255, 256, 700, 320] {
        let publications = publications(&mut numbers, count);
        let (call, _) = session.batch(&publications);
        answers.push(enclave.outcome(call));
        let (mut bytes, _) = session.batch_bytes(&publications);
        let at = HEAD_BYTES + numbers.below((bytes.len() - HEAD_BYTES) as u64) as usize;
        bytes[at] ^= 1 << numbers.below(8);
        let broken = session.seal(MessageKind::Batch, &bytes);
        answers.push(enclave.outcome(Call::Batch(broken)));
    }
    answers
}

#[test]
fn workers_kernels_and_oblivious_matching_change_nothing_of_what_an_engine_answers() {
    for seed in 0..4 {
        let expected = answers(Processors::default(), seed);
        let notices = expected.iter().map(|it| it.notices.len());
        assert!(notices.sum::<usize>() > 30);

        for (workers, kernel) in [
            (Arc::new(Threads(1)) as Arc<dyn Workers>, "portable"),
            (Arc::new(Threads(2)), "avx2"),
            (Arc::new(Threads(4)), "avx512"),
            (Arc::new(Alone), "avx512"),
        ] {
            let kernel = Kernel::named(kernel).unwrap_or(Kernel::PORTABLE);
            for slots in [0, 1, 64] {
                let processors = Processors {
                    kernel,
                    workers: Arc::clone(&workers),
                    oblivious: NonZeroUsize::new(slots),
                };
                let found = answers(processors, seed);

                assert!(
                    found == expected,
                    "{} with seed {seed} and {slots} slots",
                    kernel.name()
                );
            }
        }
    }
}

#[test]
fn a_batch_that_breaks_off_is_refused_whoever_finds_it() {
    for workers in [0, 1, 4] {
        let processors = Processors {
            workers: Arc::new(Threads(workers)),
            ..Processors::default()
        };
        let mut enclave = Enclave::with_processors(processors);
        let mut session = Session::open(&mut enclave, &identity(1), 1);
        session.admit(&mut enclave, &Consumer::new(1), &[(1, "i a exists")]);
        let many = publications(&mut Numbers(Entropy::new(1)), 400);
        let (bytes, _) = session.batch_bytes(&many);
        // The last header takes its last hash's place.
        let hashes = bytes.len() - 32 * many.len();
        let mut broken = bytes;
        broken[hashes - 1] = 0xff;
        let broken = session.seal(MessageKind::Batch, &broken);

        let refused = enclave.outcome(Call::Batch(broken));
        let whole = session.batch(&many).0;
        let taken = enclave.outcome(whole);

        let status = session.receipt(session.next_counter - 2, &refused).status;
        assert_eq!((status, refused.notices.len()), (Status::Malformed, 0));
        assert_eq!(taken.notices.len(), 1);
    }
}

/// What an engine answers in a domain of so many subscriptions that workers are asked for help with an index, too.
fn answers_of_many(workers: usize) -> Vec<cbr::Outcome> {
    let processors = Processors {
        workers: Arc::new(Threads(workers)),
        ..Processors::default()
    };
    let mut enclave = Enclave::with_processors(processors);
    let mut session = Session::open(&mut enclave, &identity(1), 1);
    for number in [1, 2] {
        let filters = (0..8192).map(|id| {
            let filter = format!("i a = {id} i b >= {}", id % 3);
            (id, subscription(&filter))
        });
        let admission = Consumer::new(number).admission_of(false, filters.collect());
        session.tell(&mut enclave, admission);
    }
    let mut numbers = Numbers(Entropy::new(1));
    let batches = [33, 400].map(|count| session.batch(&publications(&mut numbers, count)).0);
    batches.map(|batch| enclave.outcome(batch)).into()
}

#[test]
fn workers_change_nothing_of_what_a_domain_of_many_subscriptions_answers() {
    let expected = answers_of_many(0);
    assert_eq!(expected[1].notices.len(), 2);

    for workers in [1, 4] {
        assert!(answers_of_many(workers) == expected, "{workers} workers");
    }
}
