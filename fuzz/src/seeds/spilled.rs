//! Seeds of what a router keeps on its disk.

use sc_router::{MailboxId, Record};
use sc_transport::Frame;

use super::Seed;
use crate::pieces;
use crate::spill::{MAGIC, body, entry};

pub(super) fn seeds(seeds: &mut Vec<Seed>) {
    let mailbox = MailboxId {
        domain: [1; 32],
        consumer: [2; 32],
    };
    let record = |counter: u64| Record {
        session: 3,
        counter,
        frame: Frame::new("head").with("notice").with("payloads"),
    };
    let mut mark = vec![2];
    mark.extend_from_slice(&[1; 32]);
    mark.extend_from_slice(&[2; 32]);
    mark.extend_from_slice(&4_u64.to_le_bytes());
    let bodies = [
        body(&mailbox, 4, &record(5)),
        body(&mailbox, 5, &record(6)),
        mark,
    ];
    let mut file = [&[0], MAGIC].concat();
    bodies.iter().for_each(|body| file.extend(entry(body)));
    seeds.push(("spill_segment", "file", file));
    let mut parts = vec![1];
    bodies
        .iter()
        .for_each(|body| pieces::push(&mut parts, body));
    seeds.push(("spill_segment", "bodies", parts));
}
