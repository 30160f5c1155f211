//! Bugs planted on purpose: whether the checks of a run find what they are there for.
//!
//! Invariant: a run without a plant passes through here unchanged; with one, exactly one thing goes wrong (credit: from then on).

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
}

impl Plant {
    /// Every bug.
    pub const ALL: [Self; 12] = [
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
        let is_notice = || matches!(party, Party::Consumer(_)) && is_notice(&frame);
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
            Some(Plant::DropReceipt) if is_receipt(&frame) => self.done = true,
            _ => frames.push(frame),
        }
        frames
    }

    /// What a party carries out instead of `outputs`.
    pub(crate) fn outputs(&mut self, _party: Party, outputs: Vec<Output>) -> Vec<Output> {
        outputs
    }

    /// With what a party starts instead of `disk`.
    pub(crate) fn disk(&mut self, _party: Party, disk: Disk) -> Disk {
        disk
    }

    /// What the program answers instead of `reply`.
    pub(crate) fn reply(&mut self, _oracle: &Oracle, _request: &Bytes, reply: Bytes) -> Bytes {
        reply
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
                Some(kept) if kept.consumer == consumer => {
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
