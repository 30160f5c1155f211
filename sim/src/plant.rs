//! Bugs planted on purpose: whether the checks of a run find what they are there for.
//!
//! Invariant: a run without a plant passes through here unchanged; with one, exactly one thing goes wrong (credit: from then on).

mod reply;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use sc_client::Output;
use sc_proto::Message as _;
use sc_proto::routing::{ToPublisher, ToSubscriber, to_publisher, to_subscriber};
use sc_transport::Frame;

use crate::disk::Disk;
use crate::ledger::Delivered;
use crate::oracle::Oracle;
use crate::party::Party;

/// The first byte of a consumer's record of what it has taken.
const PROGRESS: u8 = 4;
/// The first byte of an owner's record of a session number.
const SESSION: u8 = 2;

/// A bug to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Plant {
    /// A notice disappears between the link layer and its consumer.
    DropNotice,
    /// A notice comes twice.
    RepeatNotice,
    /// Two consumers get each other's notice.
    SwapNotices,
    /// A receipt disappears between the link layer and its publisher.
    DropReceipt,
    /// A delivery is lost inside its consumer, who notices nothing.
    LoseDelivery,
    /// A delivery is made twice inside its consumer.
    RepeatDelivery,
    /// A delivery goes to another consumer.
    MisdirectDelivery,
    /// A delivery has another payload.
    SpoilPayload,
    /// A delivery names another subscription.
    ChangeSubscription,
    /// Two deliveries change places.
    SwapDeliveries,
    /// The router never gives credit back.
    HostKeepsCredit,
    /// A consumer never gives credit back.
    ConsumerKeepsCredit,
    /// The router's disk says that it has stored what it has not.
    SettleBeforeStored,
    /// A consumer acknowledges notices before it writes down that it has taken them.
    RecordLate,
    /// A publisher is told that messages are settled as soon as they have a receipt.
    SettleEarly,
    /// Heartbeats say that publishers have come further than they have.
    CoverageTooFar,
    /// Heartbeats say nothing of publishers.
    NoCoverage,
    /// The end of a suspension says nothing of what was missed.
    NoMissed,
    /// A further publisher is registered under an older start.
    OldStart,
    /// An owner forgets which session numbers it has used.
    ReuseSession,
    /// Two receipts change places.
    SwapReceipts,
    /// What was stored last is read first.
    SpillBackwards,
}

impl Plant {
    /// Those that show in every run, whatever else happens.
    pub const AT_ONCE: [Self; 12] = [
        Self::DropNotice,
        Self::RepeatNotice,
        Self::SwapNotices,
        Self::DropReceipt,
        Self::LoseDelivery,
        Self::RepeatDelivery,
        Self::MisdirectDelivery,
        Self::SpoilPayload,
        Self::ChangeSubscription,
        Self::SwapDeliveries,
        Self::HostKeepsCredit,
        Self::ConsumerKeepsCredit,
    ];
    /// Every bug.
    pub const ALL: [Self; 22] = [
        Self::DropNotice,
        Self::RepeatNotice,
        Self::SwapNotices,
        Self::DropReceipt,
        Self::LoseDelivery,
        Self::RepeatDelivery,
        Self::MisdirectDelivery,
        Self::SpoilPayload,
        Self::ChangeSubscription,
        Self::SwapDeliveries,
        Self::HostKeepsCredit,
        Self::ConsumerKeepsCredit,
        Self::SettleBeforeStored,
        Self::RecordLate,
        Self::SettleEarly,
        Self::CoverageTooFar,
        Self::NoCoverage,
        Self::NoMissed,
        Self::OldStart,
        Self::ReuseSession,
        Self::SwapReceipts,
        Self::SpillBackwards,
    ];
}

impl fmt::Display for Plant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::DropNotice => "drop-notice",
            Self::RepeatNotice => "repeat-notice",
            Self::SwapNotices => "swap-notices",
            Self::DropReceipt => "drop-receipt",
            Self::LoseDelivery => "lose-delivery",
            Self::RepeatDelivery => "repeat-delivery",
            Self::MisdirectDelivery => "misdirect-delivery",
            Self::SpoilPayload => "spoil-payload",
            Self::ChangeSubscription => "change-subscription",
            Self::SwapDeliveries => "swap-deliveries",
            Self::HostKeepsCredit => "host-keeps-credit",
            Self::ConsumerKeepsCredit => "consumer-keeps-credit",
            Self::SettleBeforeStored => "settle-before-stored",
            Self::RecordLate => "record-late",
            Self::SettleEarly => "settle-early",
            Self::CoverageTooFar => "coverage-too-far",
            Self::NoCoverage => "no-coverage",
            Self::NoMissed => "no-missed",
            Self::OldStart => "old-start",
            Self::ReuseSession => "reuse-session",
            Self::SwapReceipts => "swap-receipts",
            Self::SpillBackwards => "spill-backwards",
        })
    }
}

/// No plant has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no bug of this name can be planted; there are {}", Plant::ALL.map(|plant| plant.to_string()).join(", "))]
pub struct UnknownPlant;

impl FromStr for Plant {
    type Err = UnknownPlant;

    fn from_str(name: &str) -> Result<Self, UnknownPlant> {
        Self::ALL
            .into_iter()
            .find(|plant| plant.to_string() == name)
            .ok_or(UnknownPlant)
    }
}

/// The planted bug at work.
#[derive(Debug, Default)]
pub(crate) struct Plants {
    plant: Option<Plant>,
    /// Whether it has gone off.
    done: bool,
    /// What was taken from one consumer and waits for the other.
    held: Option<(Party, Frame)>,
    /// What each party gets besides its own next frame.
    owed: BTreeMap<Party, Frame>,
    kept: Option<Delivered>,
    /// Records that are written too late.
    late: BTreeMap<Party, Vec<Output>>,
}

impl Plants {
    pub(crate) fn new(plant: Option<Plant>) -> Self {
        Self {
            plant,
            ..Self::default()
        }
    }

    /// What a party's core gets instead of `frame`.
    pub(crate) fn frames(&mut self, party: Party, frame: Frame) -> Vec<Frame> {
        let mut frames: Vec<_> = self.owed.remove(&party).into_iter().collect();
        let is_consumer = matches!(party, Party::Consumer(_));
        let is_notice = || is_consumer && is_notice(&frame);
        let is_receipt = || !is_consumer && is_receipt(&frame);
        match self.plant.filter(|_| !self.done) {
            Some(Plant::DropNotice) if is_notice() => self.done = true,
            Some(Plant::RepeatNotice) if is_notice() => {
                self.done = true;
                frames.extend([frame.clone(), frame]);
            }
            Some(Plant::SwapNotices) if is_notice() => match self.held.take() {
                Some((other, held)) if other != party => {
                    self.done = true;
                    frames.push(held);
                    self.owed.insert(other, frame);
                }
                None => self.held = Some((party, frame)),
                // The first goes on its way after all; the second is held in its place.
                Some((same, held)) => {
                    frames.push(held);
                    self.held = Some((same, frame));
                }
            },
            Some(Plant::DropReceipt) if is_receipt() => self.done = true,
            Some(Plant::SwapReceipts) if is_receipt() => match self.held.take() {
                Some((of, held)) if of == party => {
                    self.done = true;
                    frames.extend([frame, held]);
                }
                Some((of, held)) => {
                    self.owed.insert(of, held);
                    self.held = Some((party, frame));
                }
                None => self.held = Some((party, frame)),
            },
            Some(Plant::SettleEarly) if is_receipt() => {
                let settled = settled_by(&frame);
                frames.push(frame);
                frames.extend(settled);
            }
            _ => frames.push(frame),
        }
        frames
    }

    /// What a party carries out instead of `outputs`.
    pub(crate) fn outputs(&mut self, party: Party, outputs: Vec<Output>) -> Vec<Output> {
        if self.plant != Some(Plant::RecordLate) || !matches!(party, Party::Consumer(_)) {
            return outputs;
        }
        let is_late = |output: &Output| matches!(output, Output::Record(record) if record.first() == Some(&PROGRESS));
        let (late, mut now): (Vec<_>, Vec<_>) = outputs.into_iter().partition(is_late);
        if !now.is_empty() {
            now.append(&mut self.late.remove(&party).unwrap_or_default());
        }
        self.late.entry(party).or_default().extend(late);
        now
    }

    /// With what a party starts instead of `disk`.
    pub(crate) fn disk(&mut self, party: Party, mut disk: Disk) -> Disk {
        if self.forgets_sessions() && matches!(party, Party::Publisher(_)) {
            disk.forget(|record| record.first() == Some(&SESSION));
        }
        self.late.remove(&party);
        disk
    }

    /// Whether owners know neither the time nor the sessions that they have used.
    pub(crate) fn forgets_sessions(&self) -> bool {
        self.plant == Some(Plant::ReuseSession)
    }

    /// Whether the router's disk keeps nothing and says that it does.
    pub(crate) fn stores_nothing(&self) -> bool {
        self.plant == Some(Plant::SettleBeforeStored)
    }

    /// Whether the router's disk is read backwards.
    pub(crate) fn reads_backwards(&self) -> bool {
        self.plant == Some(Plant::SpillBackwards)
    }

    /// What the program answers instead of `reply`.
    pub(crate) fn reply(&mut self, oracle: &Oracle, request: &Bytes, reply: Bytes) -> Bytes {
        match self.plant {
            Some(
                plant @ (Plant::CoverageTooFar
                | Plant::NoCoverage
                | Plant::NoMissed
                | Plant::OldStart),
            ) => reply::spoil(plant, oracle, request, &reply).unwrap_or(reply),
            _ => reply,
        }
    }

    /// What is delivered instead of `delivered`, and to whom, among `consumers`.
    pub(crate) fn deliveries(
        &mut self,
        consumer: usize,
        consumers: usize,
        mut delivered: Delivered,
    ) -> Vec<(usize, Delivered)> {
        let Some(plant) = self.plant.filter(|_| !self.done) else {
            return vec![(consumer, delivered)];
        };
        self.done = true;
        match plant {
            Plant::LoseDelivery => return Vec::new(),
            Plant::RepeatDelivery => {
                return vec![(consumer, delivered.clone()), (consumer, delivered)];
            }
            Plant::MisdirectDelivery => return vec![((consumer + 1) % consumers, delivered)],
            Plant::SpoilPayload => {
                if let Some(byte) = delivered.payload.last_mut() {
                    *byte ^= 1;
                }
            }
            Plant::ChangeSubscription => delivered.subscriptions[0] += 1,
            Plant::SwapDeliveries => match self.kept.take() {
                // Between two publishers there is no order.
                Some(kept)
                    if kept.consumer == consumer && kept.publisher == delivered.publisher =>
                {
                    return vec![(consumer, delivered), (consumer, kept)];
                }
                Some(kept) => {
                    self.done = false;
                    let other = kept.consumer;
                    self.kept = Some(delivered);
                    return vec![(other, kept)];
                }
                None => {
                    self.done = false;
                    self.kept = Some(delivered);
                    return Vec::new();
                }
            },
            _ => self.done = false,
        }
        vec![(consumer, delivered)]
    }

    pub(crate) fn keeps_credit(&self, party: Party) -> bool {
        match self.plant {
            Some(Plant::HostKeepsCredit) => party == Party::Router,
            Some(Plant::ConsumerKeepsCredit) => party == Party::Consumer(0),
            _ => false,
        }
    }
}

fn is_notice(frame: &Frame) -> bool {
    let head = ToSubscriber::decode(frame.head.clone());
    matches!(
        head.ok().and_then(|message| message.frame),
        Some(to_subscriber::Frame::Notice(_))
    )
}

fn is_receipt(frame: &Frame) -> bool {
    let head = ToPublisher::decode(frame.head.clone());
    matches!(
        head.ok().and_then(|message| message.frame),
        Some(to_publisher::Frame::Receipt(_))
    )
}

/// Words that everything up to a receipt's message is settled.
fn settled_by(frame: &Frame) -> Option<Frame> {
    let message = ToPublisher::decode(frame.head.clone()).ok()?.frame?;
    let to_publisher::Frame::Receipt(receipt) = message else {
        return None;
    };
    let settled = sc_proto::routing::Settled {
        domain: receipt.domain,
        session: receipt.session,
        start: receipt.start,
        counter: receipt.counter,
    };
    let frame = Some(to_publisher::Frame::Settled(settled));
    Some(Frame::new(ToPublisher { frame }.encode_to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plant_is_found_by_its_name() {
        for plant in Plant::ALL {
            assert_eq!(plant.to_string().parse(), Ok(plant));
        }
        assert_eq!("dandelion".parse::<Plant>(), Err(UnknownPlant));
    }
}
