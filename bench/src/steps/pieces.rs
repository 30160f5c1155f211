//! Pieces that are measured alone: parsing, and what the engine does with a batch once it is open.
//!
//! Invariant: a piece walks the same batches as the whole way does.

use std::hint::black_box;
use std::time::Instant;

use anyhow::ensure;
use sc_matching::ascii::Lines;
use sc_matching::{
    Header, HeaderBlock, HeaderBlockWriter, Index, Matches, Publication, SubscriptionId,
};

use crate::workload::Workload;

use super::Values;

/// Reading the file, in nanoseconds per publication, one value for each pass.
pub(super) fn parse(text: &str, passes: u32) -> anyhow::Result<Values> {
    let publications = Lines::new(text).count();
    let mut values = Values::new();
    for _ in 0..passes {
        let begin = Instant::now();
        for line in Lines::new(text) {
            black_box(line?);
        }
        values.push(begin.elapsed().as_nanos() as f64 / publications as f64);
    }
    Ok(values)
}

/// Batches of encoded headers, and the index that they are matched against.
pub(super) struct Opened {
    blocks: Vec<Vec<u8>>,
    index: Index,
    deliveries: u64,
}

impl Opened {
    /// `deliveries` is what matching has to find in one pass.
    pub(super) fn new(workload: &Workload, batch: usize, deliveries: u64) -> anyhow::Result<Self> {
        let publications = workload.publications()?;
        let blocks = publications.chunks(batch).map(encode);
        let mut index = Index::new(0);
        for (place, (_, subscription)) in workload.subscriptions()?.iter().enumerate() {
            index.insert(SubscriptionId(u32::try_from(place)?), subscription);
        }
        Ok(Self {
            blocks: blocks.collect::<anyhow::Result<_>>()?,
            index,
            deliveries,
        })
    }

    /// Decoding headers, in nanoseconds per publication, one value for each batch.
    pub(super) fn decode(&self, passes: u32) -> anyhow::Result<Values> {
        self.each_batch(passes, |block| {
            let mut headers = block.headers();
            let mut header = Header::new();
            while headers.next_header(&mut header)? {
                black_box(&header);
            }
            Ok(())
        })
    }

    /// The same, and matching each header.
    pub(super) fn decode_and_match(&self, passes: u32) -> anyhow::Result<Values> {
        let mut matched = Matches::new();
        let mut deliveries = 0;
        let values = self.each_batch(passes, |block| {
            let names = self.index.names(block);
            let mut headers = block.headers();
            let mut header = Header::new();
            while headers.next_header(&mut header)? {
                self.index.matches(&names, &header, &mut matched);
                deliveries += matched.count() as u64;
            }
            Ok(())
        })?;
        ensure!(
            deliveries == self.deliveries * u64::from(passes),
            "the index found {deliveries} matches"
        );
        Ok(values)
    }

    fn each_batch(
        &self,
        passes: u32,
        mut act: impl FnMut(&HeaderBlock<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Values> {
        let mut values = Values::new();
        for bytes in (0..passes).flat_map(|_| &self.blocks) {
            let begin = Instant::now();
            let block = HeaderBlock::decode(bytes)?;
            act(&block)?;
            values.push(begin.elapsed().as_nanos() as f64 / block.count() as f64);
        }
        Ok(values)
    }
}

fn encode(batch: &[Publication]) -> anyhow::Result<Vec<u8>> {
    let mut writer = HeaderBlockWriter::new();
    for publication in batch {
        writer.push(publication)?;
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Data;

    /// Four batches of a small workload, and its deliveries with `surplus` more.
    fn opened(surplus: u64) -> Opened {
        let workload = Data::Bundled.workload(50).unwrap();
        let expected: u64 = workload.expected().unwrap().values().sum();
        Opened::new(&workload, 3000, expected + surplus).unwrap()
    }

    #[test]
    fn every_batch_of_every_pass_is_measured() {
        let opened = opened(0);

        let decoded = opened.decode(2).unwrap();
        let matched = opened.decode_and_match(2).unwrap();

        assert_eq!((decoded.len(), matched.len()), (8, 8));
        assert!(decoded.iter().chain(&matched).all(|value| *value > 0.0));
    }

    #[test]
    fn a_count_that_the_plain_scan_does_not_confirm_is_an_error() {
        assert!(opened(1).decode_and_match(1).is_err());
    }

    #[test]
    fn a_line_that_does_not_parse_is_an_error() {
        assert!(parse("0 0 P i symbol\n", 1).is_err());
    }
}
