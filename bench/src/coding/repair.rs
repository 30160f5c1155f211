//! Repairs of one lost fragment: whole fragments of Reed-Solomon beside recoded packets, of the same k and n.
//!
//! Invariant: no figure without a check. What is made of whole fragments is what was lost, and what is made of packets opens as it should:
//! with k - 1 others it rebuilds another fragment that is known. Both are made by the coder's engine, behind its door, and by what a
//! location runs; in turn, in processor time of one thread.

use std::hint::black_box;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use sc_backend::{Backend, FragmentName, LocationId, Memory};
use sc_erasure::{FragmentHeader, Kernel};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_proto::storage::{self, operation::Operation};
use sc_sim::storage::{World, WorldSettings};
use tokio::runtime::Runtime;

use super::cell::thread_ns;
use crate::median::Sorted;
use crate::random::Random;
use crate::report::{line, table};

/// Plaintext of the segment that is repaired.
const SEGMENT_BYTES: usize = 8 << 20;
/// k and n, and the packets of a piece with which helpers send least.
const CODES: [(u32, u32, u32); 2] = [(4, 6, 2), (10, 14, 4)];
const VERSION: [u8; 16] = [7; 16];

/// A coder with a tenant, and a runtime that its surroundings ask for.
struct Bench {
    runtime: Runtime,
    world: World,
    datastore: coder::Datastore,
    location: Memory,
}

/// A segment's record, and its fragments.
struct Stored {
    record: Bytes,
    header_bytes: usize,
    fragments: Vec<Bytes>,
}

/// What one repair took.
struct Repaired {
    bytes_sent: usize,
    nanoseconds: i64,
    fragment: Bytes,
}

/// Measures both ways for each code, and prints a table.
pub(super) fn run(kernel: Kernel, rounds: u32) -> anyhow::Result<()> {
    let bench = Bench::new(kernel)?;
    let mut rows = vec![
        [
            "k of n",
            "bytes sent, rs",
            "rlnc",
            "part",
            "rs, MB/s",
            "rlnc, MB/s",
            "times",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for (data, total, subpackets) in CODES {
        let solomon = bench.store((2, data, total, 1))?;
        let network = bench.store((3, data, total, subpackets))?;
        let (mut whole, mut recoded) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // The first of each is not counted: it fills caches, and makes the plan that all like it have.
            let lost = round as usize % total as usize;
            bench.of_packets(&network, lost)?;
            for turn in 0..2 {
                match (round + turn) % 2 {
                    0 => whole.push(bench.of_whole(&solomon, data as usize, lost)?),
                    _ => recoded.push(bench.of_packets(&network, lost)?),
                }
            }
        }
        rows.push(row(&format!("{data} of {total}"), &whole, &recoded));
    }
    line(&format!(
        "one fragment of a segment of {SEGMENT_BYTES} bytes made anew; repaired bytes per second of processor time, coder and helpers \
         together; medians of {rounds} rounds; kernel {}",
        kernel.name()
    ));
    line("");
    table(&rows);
    Ok(())
}

fn row(code: &str, whole: &[Repaired], recoded: &[Repaired]) -> Vec<String> {
    let speed = |all: &[Repaired]| {
        let speeds = all.iter().map(|it| {
            let bytes = it.fragment.len() as f64;
            bytes / it.nanoseconds.max(1) as f64 * 1000.0
        });
        Sorted::new(speeds).median()
    };
    let ratios = whole.iter().zip(recoded);
    let ratios =
        ratios.map(|(whole, recoded)| whole.nanoseconds as f64 / recoded.nanoseconds.max(1) as f64);
    let (sent_whole, sent_recoded) = (whole[0].bytes_sent, recoded[0].bytes_sent);
    vec![
        code.to_owned(),
        sent_whole.to_string(),
        sent_recoded.to_string(),
        format!("{:.4}", sent_recoded as f64 / sent_whole as f64),
        format!("{:.0}", speed(whole)),
        format!("{:.0}", speed(recoded)),
        format!("{:.2}", Sorted::new(ratios).median()),
    ]
}

impl Bench {
    fn new(kernel: Kernel) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let (world, datastore) = runtime.block_on(async {
            let world = World::new(WorldSettings {
                kernel,
                ..WorldSettings::default()
            })
            .await;
            let options = sc_client::kv::DatastoreOptions {
                policy: "cold".into(),
                ..Default::default()
            };
            world.client.create_datastore("data", &options).await?;
            let datastore = world.datastore("data").await;
            anyhow::Ok((world, datastore.context("the datastore was made")?))
        })?;
        Ok(Self {
            runtime,
            world,
            datastore,
            location: Memory::new(LocationId([1; 16])),
        })
    }

    /// Seals and codes a segment; its fragments lie at a location.
    fn store(
        &self,
        (code, data, total, subpackets): (u32, u32, u32, u32),
    ) -> anyhow::Result<Stored> {
        let session = self.world.session();
        let mut random = Random::new(1);
        let content: Vec<u8> = (0..SEGMENT_BYTES).map(|_| random.next() as u8).collect();
        let put = Operation::PutObject(storage::PutObject {
            datastore: "data".into(),
            key: Bytes::from_static(b"k"),
            version: Bytes::from_static(&VERSION),
            bytes: number(content.len()),
            ..storage::PutObject::default()
        });
        let (request, at) = session.request(put, &[]);
        let call = coder::SealSegment {
            request: Some(request),
            datastore: Some(self.datastore.clone()),
            redundancy: Some(coder::Redundancy {
                code,
                data,
                total,
                subpackets,
            }),
        };
        let blocks = session.blocks(at, &content);
        let (Reply::SegmentSealed(sealed), bulk) =
            self.world.door(Call::SealSegment(call), &blocks)
        else {
            bail!("the coder seals no segment of {data} of {total}");
        };
        let bytes = sealed.fragment_bytes as usize;
        let fragments = (0..total as usize).map(|at| bulk.slice(at * bytes..(at + 1) * bytes));
        let stored = Stored {
            record: sealed.record,
            header_bytes: sealed.header_bytes as usize,
            fragments: fragments.collect(),
        };
        for (index, fragment) in stored.fragments.iter().enumerate() {
            let name = name(&stored, index)?;
            self.runtime
                .block_on(self.location.put(&name, fragment.clone()))?;
        }
        Ok(stored)
    }

    /// Of k whole fragments, the first that are not lost.
    fn of_whole(&self, stored: &Stored, data: usize, lost: usize) -> anyhow::Result<Repaired> {
        let others = (0..stored.fragments.len()).filter(|index| *index != lost);
        let read: Vec<usize> = others.take(data).collect();
        let made = self.rebuild(stored, &read, lost, &stored.fragments)?;
        ensure!(
            made.fragment == stored.fragments[lost],
            "another fragment was made"
        );
        Ok(made)
    }

    fn rebuild(
        &self,
        stored: &Stored,
        read: &[usize],
        lost: usize,
        fragments: &[Bytes],
    ) -> anyhow::Result<Repaired> {
        let fragment_bytes = stored.fragments[0].len();
        let pieces = read.iter().map(|&index| coder::FragmentPieces {
            index: number(index),
            header_bytes: number(stored.header_bytes),
            piece_bytes: number(fragment_bytes - stored.header_bytes),
        });
        let call = coder::RepairSegment {
            tenant: Bytes::copy_from_slice(&self.world.client.tenant()),
            datastore: Some(self.datastore.clone()),
            version: Bytes::from_static(&VERSION),
            record: stored.record.clone(),
            fragments: pieces.collect(),
            missing: vec![number(lost)],
            others: Vec::new(),
        };
        let bulk: Vec<&[u8]> = read.iter().map(|&index| &fragments[index][..]).collect();
        let message = message(Call::RepairSegment(call), &bulk.concat());
        let start = thread_ns();
        let (reply, fragment) = self.answer(message)?;
        let nanoseconds = thread_ns() - start;
        let Reply::SegmentRepaired(repaired) = reply else {
            bail!("no repair: {reply:?}");
        };
        ensure!(repaired.bad.is_empty(), "what was stored is bad");
        Ok(Repaired {
            bytes_sent: bulk.len() * fragment_bytes,
            nanoseconds,
            fragment,
        })
    }

    /// Of packets that helpers make.
    fn of_packets(&self, stored: &Stored, lost: usize) -> anyhow::Result<Repaired> {
        let (header, _) = FragmentHeader::parse(&stored.fragments[0])?;
        let recoding = header.redundancy.recoding().context("it is not recoded")?;
        let others: Vec<usize> = (0..stored.fragments.len())
            .filter(|it| *it != lost)
            .collect();
        let held = others.iter().map(|&index| coder::HeldHeader {
            index: number(index),
            header: stored.fragments[index].slice(..stored.header_bytes),
        });
        let call = coder::PlanRepair {
            tenant: Bytes::copy_from_slice(&self.world.client.tenant()),
            datastore: Some(self.datastore.clone()),
            version: Bytes::from_static(&VERSION),
            record: stored.record.clone(),
            lost: number(lost),
            others: held.collect(),
            helpers: others
                .iter()
                .take(recoding.helpers.into())
                .map(|&index| number(index))
                .collect(),
        };
        let asked = message(Call::PlanRepair(call.clone()), &[]);
        let names: Result<Vec<FragmentName>, _> = call
            .helpers
            .iter()
            .map(|&index| name(stored, index as usize))
            .collect();
        let names = names?;

        let start = thread_ns();
        let (Reply::RepairPlanned(plan), _) = self.answer(asked)? else {
            bail!("no plan");
        };
        let mut packets = Vec::new();
        for (name, scalars) in names.iter().zip(plan.scalars) {
            packets.push(self.runtime.block_on(self.location.recode(name, scalars))?);
        }
        let mut nanoseconds = thread_ns() - start;

        let bytes_sent =
            others.len() * stored.header_bytes + packets.iter().map(Bytes::len).sum::<usize>();
        let combine = coder::CombinePackets { plan: Some(call) };
        let combine = message(Call::CombinePackets(combine), &packets.concat());
        let start = thread_ns();
        let (reply, fragment) = self.answer(combine)?;
        nanoseconds += thread_ns() - start;
        let Reply::PacketsCombined(combined) = reply else {
            bail!("no combination: {reply:?}");
        };
        ensure!(combined.bad.is_empty(), "what was sent is bad");
        self.check(stored, lost, &fragment)?;
        Ok(Repaired {
            bytes_sent,
            nanoseconds,
            fragment: black_box(fragment),
        })
    }

    /// Whether the new fragment and k - 1 others rebuild the next one.
    fn check(&self, stored: &Stored, lost: usize, fragment: &Bytes) -> anyhow::Result<()> {
        let total = stored.fragments.len();
        let (header, _) = FragmentHeader::parse(fragment)?;
        let mut fragments = stored.fragments.clone();
        fragments[lost] = fragment.clone();
        let next = (lost + 1) % total;
        let data = usize::from(header.redundancy.data());
        let read: Vec<usize> = (0..data).map(|at| (lost + total - at) % total).collect();
        let made = self.rebuild(stored, &read, next, &fragments)?;
        let (header, _) = FragmentHeader::parse(&made.fragment)?;
        let (known, _) = FragmentHeader::parse(&fragments[next])?;
        ensure!(
            header.coefficients != known.coefficients || made.fragment == fragments[next],
            "what was made of packets does not rebuild"
        );
        Ok(())
    }

    fn answer(&self, message: Bytes) -> anyhow::Result<(Reply, Bytes)> {
        let answer = self
            .world
            .program()
            .handle(message, &mut |bytes| bytes.fill(9));
        let (bulk, head) = sc_coder::split(answer).context("a coder answers with messages")?;
        let reply = sc_proto::Message::decode(head);
        let coder::Reply { reply } = reply?;
        Ok((reply.context("a coder answers every call")?, bulk))
    }
}

fn message(call: Call, bulk: &[u8]) -> Bytes {
    let call = coder::Call { call: Some(call) };
    let mut message = bulk.to_vec();
    sc_coder::join(&mut message, &sc_proto::Message::encode_to_vec(&call));
    message.into()
}

fn name(stored: &Stored, index: usize) -> anyhow::Result<FragmentName> {
    let text: String = stored.record[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(FragmentName::new(&format!("{text}.{index}"))?)
}

fn number(it: usize) -> u32 {
    u32::try_from(it).expect("a segment is a few mebibytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_erasure::Features;

    #[test]
    fn helpers_send_as_little_as_was_promised() {
        let bench = Bench::new(Kernel::fastest(Features::ALL)).unwrap();
        for ((data, total, subpackets), part) in CODES.into_iter().zip([0.66, 0.35]) {
            let solomon = bench.store((2, data, total, 1)).unwrap();
            let network = bench.store((3, data, total, subpackets)).unwrap();

            let whole = bench.of_whole(&solomon, data as usize, 0).unwrap();
            let recoded = bench.of_packets(&network, 0).unwrap();

            assert!(recoded.bytes_sent as f64 <= part * whole.bytes_sent as f64);
        }
    }
}
