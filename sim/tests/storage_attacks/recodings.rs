//! Repairs of recoded packets at the coder's door: who lies is named, and nothing is made of a lie.

use bytes::Bytes;
use sc_backend::{Backend as _, FragmentName, LocationId, Memory};
use sc_erasure::{FragmentHeader, decodes_with_any};
use sc_proto::coder::{self, call::Call, reply::Reply};
use sc_sim::storage::World;

use crate::repairs::{Stored, repair};
use crate::{content, world};

/// A code's number, k, n and sub-packets.
type Code = (u32, u32, u32, u32);
const SMALL: Code = (3, 4, 6, 2);
const CODES: [Code; 5] = [
    SMALL,
    (4, 4, 6, 2),
    (3, 4, 6, 3),
    (3, 2, 7, 2),
    (3, 10, 14, 4),
];

impl Stored {
    fn header(&self, index: usize) -> coder::HeldHeader {
        coder::HeldHeader {
            index: u32::try_from(index).unwrap(),
            header: self.fragments[index].slice(..self.header_bytes),
        }
    }

    fn parsed(&self, index: usize) -> FragmentHeader {
        FragmentHeader::parse(&self.fragments[index]).unwrap().0
    }

    /// The call that asks for a plan: the first of the others help.
    fn plan(&self, world: &World, lost: usize) -> coder::PlanRepair {
        let others: Vec<usize> = (0..self.fragments.len()).filter(|it| *it != lost).collect();
        let recoding = self.parsed(0).redundancy.recoding().unwrap();
        let helpers = others.iter().take(recoding.helpers.into());
        coder::PlanRepair {
            tenant: Bytes::copy_from_slice(&world.client.tenant()),
            datastore: Some(self.datastore.clone()),
            version: Bytes::from_static(&crate::door::VERSION),
            record: self.record.clone(),
            lost: u32::try_from(lost).unwrap(),
            helpers: helpers.map(|&it| u32::try_from(it).unwrap()).collect(),
            others: others.iter().map(|&it| self.header(it)).collect(),
        }
    }

    /// What the location of a fragment makes of it.
    async fn recode(&self, index: usize, scalars: &Bytes) -> Bytes {
        let location = Memory::new(LocationId([1; 16]));
        let name = FragmentName::new("f").unwrap();
        location
            .put(&name, self.fragments[index].clone())
            .await
            .unwrap();
        location.recode(&name, scalars.clone()).await.unwrap()
    }

    /// What all helpers of a call send, each as it should.
    async fn sent(&self, world: &World, call: &coder::PlanRepair) -> Vec<Bytes> {
        let scalars = planned(world, call).unwrap();
        let mut sent = Vec::new();
        for (&helper, scalars) in call.helpers.iter().zip(&scalars) {
            sent.push(self.recode(helper as usize, scalars).await);
        }
        sent
    }

    /// Loses a fragment, and has it made of what others send.
    async fn remake(&mut self, world: &World, lost: usize) {
        let call = self.plan(world, lost);
        let sent = self.sent(world, &call).await;
        self.fragments[lost] = combined(world, call, &sent).unwrap();
    }

    /// Whether the fragment `lost` and any k - 1 others rebuild.
    fn rebuilds_with_any(&self, lost: usize) -> bool {
        let headers: Vec<FragmentHeader> = (0..self.fragments.len())
            .map(|it| self.parsed(it))
            .collect();
        let others: Vec<&[u8]> = headers
            .iter()
            .filter(|it| usize::from(it.index) != lost)
            .map(|it| &*it.coefficients)
            .collect();
        decodes_with_any(headers[0].redundancy, &headers[lost].coefficients, &others)
    }
}

/// The scalars of a plan, or the indexes that are bad.
fn planned(world: &World, call: &coder::PlanRepair) -> Result<Vec<Bytes>, Vec<u32>> {
    match world.door(Call::PlanRepair(call.clone()), &[]).0 {
        Reply::RepairPlanned(planned) if planned.bad.is_empty() => Ok(planned.scalars),
        Reply::RepairPlanned(planned) => {
            assert!(planned.scalars.is_empty());
            Err(planned.bad)
        }
        other => panic!("{other:?}"),
    }
}

/// What is made of packets, or the indexes that are bad.
fn combined(world: &World, call: coder::PlanRepair, sent: &[Bytes]) -> Result<Bytes, Vec<u32>> {
    let call = coder::CombinePackets { plan: Some(call) };
    match world.door(Call::CombinePackets(call), &sent.concat()) {
        (Reply::PacketsCombined(combined), made) if combined.bad.is_empty() => Ok(made),
        (Reply::PacketsCombined(combined), made) => {
            assert!(made.is_empty());
            Err(combined.bad)
        }
        (other, _) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_lost_is_made_of_recoded_packets_and_rebuilds_with_any_others() {
    let world = world().await;
    for code in CODES {
        for bytes in [1, 100, (1 << 20) + 1] {
            let stored = content(1, bytes);
            let mut segment = Stored::new(&world, &stored, code).await;
            let (before, total) = (segment.fragments.clone(), code.2 as usize);
            for lost in [0, total / 2, total - 1] {
                segment.remake(&world, lost).await;

                assert!(segment.rebuilds_with_any(lost), "{code:?}");
                assert_ne!(segment.fragments[lost], before[lost]);
                // The new one and k - 1 others give what any others give: the segment itself.
                let of: Vec<usize> = (lost..lost + code.1 as usize)
                    .map(|it| it % total)
                    .collect();
                let (mut call, bulk) = segment.call(&world, &of, &[(lost + total - 1) % total]);
                call.others = Vec::new();
                let made = repair(&world, call, &bulk).unwrap();
                assert_eq!(made.len(), before[0].len());
            }
        }
    }
}

#[tokio::test]
async fn of_fragments_all_of_which_were_remade_comes_what_was_stored_at_first() {
    let world = world().await;
    for code in [SMALL, (3, 10, 14, 4)] {
        let stored = content(1, (1 << 20) + 5000);
        let mut segment = Stored::new(&world, &stored, code).await;
        let (data, total) = (code.1 as usize, code.2 as usize);
        let original = segment.fragments.clone();

        for lost in 0..total {
            segment.remake(&world, lost).await;
        }

        // Where the code's own coefficients do, what is made of remade ones is what was stored at first, byte for byte.
        let mut same = 0;
        for first in 0..total {
            let of: Vec<usize> = (first..first + data).map(|it| it % total).collect();
            let missing = (first + data) % total;
            let (call, bulk) = segment.call(&world, &of, &[missing]);
            let made = repair(&world, call, &bulk).unwrap();
            let (header, _) = FragmentHeader::parse(&made).unwrap();
            let (before, _) = FragmentHeader::parse(&original[missing]).unwrap();
            if header.coefficients == before.coefficients {
                assert!(made == original[missing], "{code:?}");
                same += 1;
            }
        }
        assert!(same > total / 2, "{same} of {total}");
    }
}

#[tokio::test]
async fn what_is_made_of_whole_fragments_beside_remade_ones_rebuilds_with_these_too() {
    let world = world().await;
    for code in [SMALL, (4, 4, 6, 2), (3, 4, 6, 3)] {
        let mut segment = Stored::new(&world, &content(1, 3000), code).await;
        for round in 0..30 {
            let lost = [round % 6, (round + 2) % 6];
            let left: Vec<usize> = (0..6).filter(|it| !lost.contains(it)).collect();
            segment.remake(&world, (round + 3) % 6).await;

            // Two at once, of the four that are left.
            let (mut call, bulk) = segment.call(&world, &left, &{
                let mut sorted = lost;
                sorted.sort_unstable();
                sorted
            });
            call.others = Vec::new();
            let made = repair(&world, call, &bulk).unwrap();
            let bytes = segment.fragments[0].len();
            for (at, index) in [lost[0].min(lost[1]), lost[0].max(lost[1])]
                .into_iter()
                .enumerate()
            {
                segment.fragments[index] = made.slice(at * bytes..(at + 1) * bytes);
            }
            assert!(
                lost.iter().all(|it| segment.rebuilds_with_any(*it)),
                "{code:?}"
            );

            // One, of four, beside the headers of the fifth.
            let lost = (round + 4) % 6;
            let of: Vec<usize> = (lost + 1..lost + 5).map(|it| it % 6).collect();
            let (mut call, bulk) = segment.call(&world, &of, &[lost]);
            call.others = vec![segment.header((lost + 5) % 6)];
            segment.fragments[lost] = repair(&world, call, &bulk).unwrap();
            assert!(segment.rebuilds_with_any(lost), "{code:?}");
        }
    }
}

#[tokio::test]
async fn a_helper_that_alters_any_bit_of_packets_or_tags_is_named_and_nothing_is_made() {
    let world = world().await;
    let segment = Stored::new(&world, &content(1, 300), SMALL).await;
    let call = segment.plan(&world, 2);
    let sent = segment.sent(&world, &call).await;
    assert!(combined(&world, call.clone(), &sent).is_ok());
    for helper in 0..5 {
        for at in 0..sent[helper].len() {
            let mut changed = sent.clone();
            let mut bytes = changed[helper].to_vec();
            bytes[at] ^= 1 << (at % 8);
            changed[helper] = bytes.into();

            let named = combined(&world, call.clone(), &changed);

            assert_eq!(named, Err(vec![call.helpers[helper]]), "byte {at}");
        }
    }
}

#[tokio::test]
async fn a_helper_that_sends_what_it_was_not_asked_for_is_named() {
    let world = world().await;
    let stored = content(1, 2 << 20);
    let segment = Stored::new(&world, &stored, SMALL).await;
    // The same content, sealed another time.
    let other = Stored::new(&world, &stored, SMALL).await;
    let call = segment.plan(&world, 5);
    let scalars = planned(&world, &call).unwrap();
    let sent = segment.sent(&world, &call).await;
    let (tags, packet) = (2 * 16, (sent[3].len() - 2 * 16) / 2);
    let swapped = [
        &sent[3][16..32],
        &sent[3][..16],
        &sent[3][tags + packet..],
        &sent[3][tags..tags + packet],
    ];
    let blocks = [
        &sent[3][..tags],
        &sent[3][tags + packet..],
        &sent[3][tags..tags + packet],
    ];
    let others_scalars: Bytes = scalars[3]
        .iter()
        .map(|it| it ^ 1)
        .collect::<Vec<_>>()
        .into();
    let lies = [
        ("blocks swapped", blocks.concat().into()),
        ("blocks and their tags swapped", swapped.concat().into()),
        ("another segment's", other.recode(3, &scalars[3]).await),
        ("by other scalars", segment.recode(3, &others_scalars).await),
        ("another helper's", sent[2].clone()),
        ("another fragment's", segment.recode(5, &scalars[3]).await),
        ("zeros", Bytes::from(vec![0; sent[3].len()])),
    ];
    for (what, lie) in lies {
        let mut told = sent.clone();
        told[3] = lie;

        assert_eq!(
            combined(&world, call.clone(), &told),
            Err(vec![3]),
            "{what}"
        );
    }
    // Several are all named, and who is honest is not.
    let told = [
        sent[1].clone(),
        sent[0].clone(),
        sent[2].clone(),
        sent[4].clone(),
        sent[3].clone(),
    ];
    assert_eq!(combined(&world, call, &told), Err(vec![0, 1, 3, 4]));
}

#[tokio::test]
async fn a_header_with_any_bit_changed_is_named_before_a_packet_is_asked_for() {
    let world = world().await;
    let segment = Stored::new(&world, &content(1, 300), SMALL).await;
    let call = segment.plan(&world, 2);
    let sent = segment.sent(&world, &call).await;
    for at in 0..segment.header_bytes {
        let mut changed = call.clone();
        let mut header = changed.others[1].header.to_vec();
        header[at] ^= 1 << (at % 8);
        changed.others[1].header = header.into();

        assert_eq!(planned(&world, &changed), Err(vec![1]), "byte {at}");
        assert_eq!(combined(&world, changed, &sent), Err(vec![1]), "byte {at}");
    }
}

#[tokio::test]
async fn headers_of_other_segments_or_indexes_are_named() {
    let world = world().await;
    let segment = Stored::new(&world, &content(1, 300), SMALL).await;
    let other = Stored::new(&world, &content(2, 300), SMALL).await;
    let mut call = segment.plan(&world, 0);

    call.others[0].header = other.header(1).header;
    assert_eq!(planned(&world, &call), Err(vec![1]));
    call.others[0].header = segment.header(2).header;
    assert_eq!(planned(&world, &call), Err(vec![1]));
}

#[tokio::test]
async fn packets_of_one_plan_make_nothing_under_another() {
    let world = world().await;
    let segment = Stored::new(&world, &content(1, 300), (3, 3, 7, 2)).await;
    let call = segment.plan(&world, 6);
    let sent = segment.sent(&world, &call).await;
    assert!(combined(&world, call.clone(), &sent).is_ok());
    type Change<'c> = &'c dyn Fn(&mut coder::PlanRepair);
    let changes: [(&str, Change<'_>); 3] = [
        ("one header fewer", &|call| drop(call.others.pop())),
        ("helpers in another order", &|call| call.helpers.swap(0, 1)),
        ("another lost", &|call| {
            call.lost = 5;
            call.others.pop();
        }),
    ];
    for (what, change) in changes {
        let mut changed = call.clone();
        change(&mut changed);

        let named = combined(&world, changed, &sent);

        assert!(named.is_err(), "{what}");
    }
}

#[tokio::test]
async fn what_is_planned_or_combined_wrongly_is_refused() {
    let world = world().await;
    let segment = Stored::new(&world, &content(1, 3000), SMALL).await;
    let other = Stored::new(&world, &content(2, 3000), SMALL).await;
    let solomon = Stored::new(&world, &content(1, 3000), (2, 4, 6, 1)).await;
    let call = segment.plan(&world, 4);
    let sent = segment.sent(&world, &call).await.concat();
    type Change<'c> = &'c dyn Fn(&mut coder::PlanRepair);
    let changes: [(&str, Change<'_>); 14] = [
        ("another version", &|call| {
            call.version = Bytes::from_static(&[8; 16])
        }),
        ("no version", &|call| call.version = Bytes::new()),
        ("a record cut short", &|call| {
            call.record = call.record.slice(1..)
        }),
        ("a record of a code without tags", &|call| {
            call.record = solomon.record.clone();
            call.others = Vec::new();
        }),
        ("another tenant", &|call| {
            call.tenant = Bytes::from_static(&[1; 32])
        }),
        ("no datastore", &|call| call.datastore = None),
        ("an index beyond", &|call| call.lost = 6),
        ("an index far beyond", &|call| call.lost = 260),
        ("a helper too few", &|call| call.helpers.truncate(4)),
        ("a helper too many", &|call| call.helpers.push(4)),
        ("a helper twice", &|call| call.helpers[1] = 0),
        ("a helper without a header", &|call| {
            drop(call.others.remove(0))
        }),
        ("a header twice", &|call| {
            call.others[1] = call.others[0].clone()
        }),
        ("the lost one's header", &|call| {
            call.others.insert(4, segment.header(4));
        }),
    ];
    for (what, change) in changes {
        let mut changed = call.clone();
        change(&mut changed);
        let reply = world.door(Call::PlanRepair(changed.clone()), &[]).0;
        assert!(matches!(reply, Reply::Refusal(_)), "{what}: {reply:?}");
        let combine = coder::CombinePackets {
            plan: Some(changed),
        };
        let (reply, made) = world.door(Call::CombinePackets(combine), &sent);
        assert!(matches!(reply, Reply::Refusal(_)), "{what}: {reply:?}");
        assert!(made.is_empty());
    }
    let mut of_another = call.clone();
    of_another.record = other.record.clone();
    assert_eq!(planned(&world, &of_another), Err(vec![0, 1, 2, 3, 5]));
    for bytes in [&sent[..0], &sent[1..], &[&sent[..], &[0]].concat()] {
        let combine = coder::CombinePackets {
            plan: Some(call.clone()),
        };
        let (reply, made) = world.door(Call::CombinePackets(combine), bytes);
        assert!(matches!(reply, Reply::Refusal(_)), "{reply:?}");
        assert!(made.is_empty());
    }
    let combine = coder::CombinePackets { plan: None };
    let reply = world.door(Call::CombinePackets(combine), &sent).0;
    assert!(matches!(reply, Reply::Refusal(_)), "{reply:?}");
}

#[tokio::test]
async fn a_plan_is_the_same_whoever_makes_it() {
    let world = world().await;
    let another = crate::world().await;
    let segment = Stored::new(&world, &content(1, 300), SMALL).await;
    let same = Stored::new(&another, &content(2, 5000), SMALL).await;

    let one = planned(&world, &segment.plan(&world, 3));

    assert_eq!(planned(&world, &segment.plan(&world, 3)), one);
    assert_eq!(planned(&another, &same.plan(&another, 3)), one);
}
