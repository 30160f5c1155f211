//! One code with one length of block: every engine checked and measured.
//!
//! Invariant: engines are measured in turn, round by round, each round beginning with another, so that whatever else the machine does
//! meets all alike, and in processor time of the thread, so that waiting for a processor is in no figure.

use std::hint::black_box;

use anyhow::ensure;
use rustix::time::{ClockId, clock_gettime};
use sc_erasure::Kernel;

use super::engine::{Block, CodeName, Engine};
use super::isal::Isal;
use super::ours::Ours;
use super::peers::{ReedSolomonSimd, Rlnc, RustyErasure};
use super::table::Row;
use crate::median::Sorted;
use crate::random::Random;

/// A measurement repeats its work until it has gone over so many bytes.
const TURN_BYTES: usize = 32 << 20;

/// What to measure.
pub(super) struct Case<'a> {
    pub(super) code: CodeName,
    pub(super) bytes: usize,
    pub(super) kernels: &'a [Kernel],
    pub(super) isal: Option<&'a Isal>,
    pub(super) rounds: u32,
}

type Named<'a> = (String, Box<dyn Engine + 'a>);

/// Gigabytes of block per second, one value for each round.
#[derive(Default)]
struct Speeds {
    encode: Vec<f64>,
    decode: Vec<f64>,
    recode: Vec<f64>,
}

impl Case<'_> {
    /// A row for each engine.
    ///
    /// # Errors
    /// An engine refuses the code, or makes something else than the others.
    pub(super) fn measure(&self) -> anyhow::Result<Vec<Row>> {
        let mut random = Random::new(1);
        let block = (0..self.bytes).map(|_| random.next() as u8).collect();
        let block = Block::new(self.code, block);
        let mut engines = self.engines(&block)?;
        check(&mut engines, &block)?;
        let mut speeds: Vec<Speeds> = engines.iter().map(|_| Speeds::default()).collect();
        for round in 0..self.rounds as usize {
            for turn in 0..engines.len() {
                let at = (round + turn) % engines.len();
                self.turn(&mut *engines[at].1, &block, &mut speeds[at])?;
            }
        }
        check(&mut engines, &block)?;
        let rows = engines.into_iter().zip(speeds);
        Ok(rows
            .map(|((name, _), speeds)| self.row(name, speeds))
            .collect())
    }

    fn engines(&self, block: &Block) -> anyhow::Result<Vec<Named<'_>>> {
        let mut engines: Vec<Named<'_>> = Vec::new();
        for kernel in self.kernels {
            let name = format!("ours, {}", kernel.name());
            engines.push((name, Box::new(Ours::new(*kernel, block)?)));
        }
        let Some(parity) = self.code.parity() else {
            engines.push(("rlnc".to_owned(), Box::new(Rlnc::new(block)?)));
            return Ok(engines);
        };
        engines.push((
            "rusty_erasure".to_owned(),
            Box::new(RustyErasure::new(block, parity)?),
        ));
        if let Some(isal) = self.isal {
            engines.push(("isa-l".to_owned(), Box::new(isal.code(block, parity)?)));
        }
        let simd = ReedSolomonSimd::new(block, parity)?;
        engines.push(("reed-solomon-simd".to_owned(), Box::new(simd)));
        Ok(engines)
    }

    fn turn(
        &self,
        engine: &mut dyn Engine,
        block: &Block,
        speeds: &mut Speeds,
    ) -> anyhow::Result<()> {
        speeds
            .encode
            .push(self.gb_s(|| engine.encode(black_box(block)))?);
        speeds
            .decode
            .push(self.gb_s(|| engine.decode(black_box(block)))?);
        if engine.recode()? {
            let speed = self.gb_s(|| engine.recode().map(drop));
            speeds.recode.push(speed?);
        }
        Ok(())
    }

    /// How fast `work` goes over the block.
    fn gb_s(&self, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
        // Not counted: what the engine before left in the caches.
        work()?;
        let times = TURN_BYTES.div_ceil(self.bytes);
        let start = thread_ns();
        for _ in 0..times {
            work()?;
        }
        Ok((times * self.bytes) as f64 / (thread_ns() - start).max(1) as f64)
    }

    fn row(&self, engine: String, speeds: Speeds) -> Row {
        let recode = (!speeds.recode.is_empty()).then(|| Sorted::new(speeds.recode).median());
        Row {
            code: self.code,
            bytes: self.bytes,
            engine,
            encode_gb_s: Sorted::new(speeds.encode).median(),
            decode_gb_s: Sorted::new(speeds.decode).median(),
            recode_gb_s: recode,
        }
    }
}

/// Processor time of this thread, in nanoseconds.
pub(super) fn thread_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Compares parity with the first engine's, and what is rebuilt with the block.
fn check(engines: &mut [Named<'_>], block: &Block) -> anyhow::Result<()> {
    let mut expected: Option<Vec<Vec<u8>>> = None;
    for (name, engine) in engines {
        engine.encode(block)?;
        if let Some(parity) = engine.parity() {
            let expected = expected.get_or_insert_with(|| parity.to_vec());
            ensure!(*expected == parity, "{name} makes another parity");
        }
        engine.decode(block)?;
        let rebuilt = engine.rebuilt();
        let lost = block.lost();
        let compared = lost.len().min(block.bytes);
        ensure!(
            rebuilt.get(..compared) == Some(&lost[..compared]),
            "{name} does not rebuild the block"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use sc_erasure::Features;

    #[test]
    fn every_engine_makes_the_same_parity_and_rebuilds_the_block() {
        for code in CodeName::value_variants() {
            let case = Case {
                code: *code,
                bytes: 50_001,
                kernels: &[Kernel::fastest(Features::ALL)],
                isal: None,
                rounds: 1,
            };

            let rows = case.measure().unwrap();

            let engines: Vec<&str> = rows.iter().map(|row| &*row.engine).collect();
            assert!(engines[0].starts_with("ours"));
            assert_eq!(engines.len(), if code.parity().is_some() { 3 } else { 2 });
        }
    }
}
