//! One that publishes in the owner's domain, its queue and its journal.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use sc_client::{
    BatchBounds, Clock, Credit, Grantee, GranteeEvent, GranteeMemory, GranteeSettings, Output,
};
use sc_proto::Message;
use sc_proto::routing::{Batch, FromPublisher, Settled, from_publisher};
use sc_transport::Frame;

use crate::world::{OWNER, entropy, identity, publication};

/// One further publisher and its queue.
pub(crate) struct Guest {
    pub(crate) grantee: Grantee,
    pub(crate) identity: u8,
    pub(crate) inbox: VecDeque<Frame>,
    pub(crate) events: Vec<GranteeEvent>,
    pub(crate) journal: Vec<Vec<u8>>,
    pub(crate) closed: Vec<String>,
    /// What the router would say is settled.
    pub(crate) settled: Option<Settled>,
    /// After so many more outputs its process is gone.
    pub(crate) fuse: Option<usize>,
    /// Every batch that it sent, with its attachments.
    pub(crate) batches: Vec<(Batch, Vec<Bytes>)>,
    plain: bool,
}

impl Guest {
    pub(crate) fn new(identity_number: u8, plain: bool) -> Self {
        Self {
            grantee: grantee(identity_number, plain, GranteeMemory::default(), 0),
            identity: identity_number,
            inbox: VecDeque::new(),
            events: Vec::new(),
            journal: Vec::new(),
            closed: Vec::new(),
            settled: None,
            fuse: None,
            batches: Vec::new(),
            plain,
        }
    }

    /// Started again from its journal, without a link.
    pub(crate) fn restart(&mut self) {
        let memory = GranteeMemory::replay(&self.journal).unwrap();
        let seed = self.journal.len() as u64;
        self.grantee = grantee(self.identity, self.plain, memory, seed);
        self.inbox.clear();
        self.settled = None;
    }

    /// Started again from its journal, with an input that can be read again.
    pub(crate) fn restart_stream(&mut self, digest: &[u8; 32]) {
        self.restart();
        let memory = GranteeMemory::replay(&self.journal).unwrap();
        let seed = self.journal.len() as u64;
        self.grantee = grantee(self.identity, self.plain, memory, seed).of_stream(digest);
    }

    pub(crate) fn key(&self) -> Bytes {
        let secret = identity(self.identity);
        Bytes::copy_from_slice(secret.signing_key().verifying_key().as_bytes())
    }

    pub(crate) fn publish(&mut self, clock: Clock, attributes: &str, payload: &str) {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        self.grantee
            .publish(clock, &publication(attributes), payload)
            .unwrap();
    }

    pub(crate) fn take(&mut self, clock: Clock, frame: Frame) {
        self.grantee.on_frame(clock, frame);
    }

    /// Does what is due; returns the frames that it sends.
    pub(crate) fn work(&mut self, clock: Clock, credit: Credit) -> Vec<Frame> {
        self.grantee.pump(clock, credit);
        let mut frames = Vec::new();
        for output in self.grantee.take_outputs() {
            match &mut self.fuse {
                Some(0) => break,
                Some(left) => *left -= 1,
                None => {}
            }
            match output {
                Output::Record(record) => self.journal.push(record),
                Output::Send { frame, .. } => {
                    self.note_batch(&frame);
                    frames.push(frame);
                }
                Output::Close(reason) => self.closed.push(reason),
                _ => unreachable!("there are three kinds of outputs"),
            }
        }
        while let Some(event) = self.grantee.poll_event() {
            self.events.push(event);
        }
        frames
    }

    fn note_batch(&mut self, frame: &Frame) {
        let head = FromPublisher::decode(frame.head.clone()).unwrap();
        if let Some(from_publisher::Frame::Batch(head)) = head.frame {
            self.batches.push((head, frame.attachments.clone()));
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<GranteeEvent> {
        std::mem::take(&mut self.events)
    }
}

fn grantee(identity_number: u8, plain: bool, memory: GranteeMemory, seed: u64) -> Grantee {
    let settings = GranteeSettings {
        batch: BatchBounds {
            publications: 1,
            ..BatchBounds::default()
        },
        plain,
        ..GranteeSettings::default()
    };
    Grantee::new(
        identity(OWNER).public().clone(),
        Arc::new(identity(identity_number)),
        settings,
        memory,
        Box::new(entropy(50_000 + u64::from(identity_number) * 1000 + seed)),
    )
}
