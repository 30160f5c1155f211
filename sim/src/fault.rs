//! Faults: what a run injects, how likely, and how often it did.
//!
//! Invariant: a fault is counted where and when it takes effect, never when it is only planned.

use std::fmt;
use std::time::Duration;

use crate::party::Party;
use crate::random::Random;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A datagram, and what was sent after it, is held up.
    Delay,
    /// A datagram arrives after one that was sent later.
    Reorder,
    /// A datagram never arrives.
    Loss,
    /// A datagram arrives twice.
    Duplication,
    /// The trusted program takes long to answer.
    DoorDelay,
    /// A link is silent in both directions for less than the idle timeout.
    Cut,
    /// A link is silent in both directions for longer, so that both ends give it up.
    Outage,
    /// After a silence the carrier has a new connection.
    Reconnection,
    /// A publisher's process dies.
    PublisherCrash,
    /// A further publisher's process dies.
    GranteeCrash,
    /// A consumer's process dies.
    ConsumerCrash,
    /// The router's process dies, and the trusted program with it.
    RouterCrash,
    /// The trusted program dies alone.
    ProgramCrash,
    /// A process dies between two of its outputs.
    CrashBetween,
    /// A machine loses its power.
    PowerLoss,
    /// With the power went records that were not synced.
    RecordsLost,
    /// A record does not fit on the disk.
    DiskFull,
    /// A notice does not fit on the router's disk.
    SpillFull,
    /// A process is stopped for a while.
    Pause,
    /// A clock stands still for a while.
    ClockFrozen,
    /// A clock is an hour ahead for a while.
    ClockAhead,
    /// A clock is a day behind for a while.
    ClockBack,
    /// A consumer is revoked.
    Revocation,
    /// A consumer is away for longer than its notices are kept.
    LongAbsence,
    /// A consumer whose lease has run out is started again.
    Return,
    /// The host keeps a notice.
    WithholdNotice,
    /// The host keeps a receipt.
    WithholdReceipt,
    /// The host does not say that something is settled.
    WithholdSettled,
    /// The host keeps an answer.
    WithholdAnswer,
    /// The host keeps a control message; most of them are ticks.
    WithholdControl,
    /// The host keeps a batch.
    WithholdBatch,
    /// The host sends an old frame again, to a peer.
    ReplayToPeer,
    /// The host hands an old frame to the router again.
    ReplayToRouter,
    /// The host makes an old call again.
    ReplayCall,
    /// Two consumers get each other's notice.
    SwapNotices,
    /// A notice gets the payloads of another.
    SwapPayloads,
    /// Batches change places.
    SwapBatches,
    /// Calls change places.
    ReorderCalls,
    /// A second enclave is shown everything that the first is.
    TwoEnclaves,
    /// A bit of what comes from a peer is flipped.
    FlipInbound,
    /// A bit of what goes to a peer is flipped.
    FlipOutbound,
    /// Random bytes go out in place of a seal.
    ForgeRandom,
    /// The plain form goes out in place of a seal.
    ForgePlain,
    /// Something sealed under the host's own keys goes out.
    ForgeForeign,
    /// A call is made with a seal under the host's own keys.
    ForgeCall,
    /// Something is called settled that is not.
    FalseSettled,
    /// The router is told that a consumer has taken what it has not.
    FalseAck,
    /// A domain is said to be closed, or open in another session.
    FalseState,
    /// Something is said to be refused that is not.
    FalseRefused,
    /// The program is told to suspend a consumer without need.
    NeedlessSuspension,
    /// Records are taken from the router's disk.
    DropSpill,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 51] = [
        Self::Delay,
        Self::Reorder,
        Self::Loss,
        Self::Duplication,
        Self::DoorDelay,
        Self::Cut,
        Self::Outage,
        Self::Reconnection,
        Self::PublisherCrash,
        Self::GranteeCrash,
        Self::ConsumerCrash,
        Self::RouterCrash,
        Self::ProgramCrash,
        Self::CrashBetween,
        Self::PowerLoss,
        Self::RecordsLost,
        Self::DiskFull,
        Self::SpillFull,
        Self::Pause,
        Self::ClockFrozen,
        Self::ClockAhead,
        Self::ClockBack,
        Self::Revocation,
        Self::LongAbsence,
        Self::Return,
        Self::WithholdNotice,
        Self::WithholdReceipt,
        Self::WithholdSettled,
        Self::WithholdAnswer,
        Self::WithholdControl,
        Self::WithholdBatch,
        Self::ReplayToPeer,
        Self::ReplayToRouter,
        Self::ReplayCall,
        Self::SwapNotices,
        Self::SwapPayloads,
        Self::SwapBatches,
        Self::ReorderCalls,
        Self::TwoEnclaves,
        Self::FlipInbound,
        Self::FlipOutbound,
        Self::ForgeRandom,
        Self::ForgePlain,
        Self::ForgeForeign,
        Self::ForgeCall,
        Self::FalseSettled,
        Self::FalseAck,
        Self::FalseState,
        Self::FalseRefused,
        Self::NeedlessSuspension,
        Self::DropSpill,
    ];

    /// What a hostile host may do: the last kinds of all.
    pub const DEEDS: &[Self] = Self::ALL.split_at(Self::ALL.len() - 26).1;
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Delay => "delay",
            Self::Reorder => "reorder",
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::DoorDelay => "door delay",
            Self::Cut => "cut",
            Self::Outage => "outage",
            Self::Reconnection => "reconnection",
            Self::PublisherCrash => "publisher crash",
            Self::GranteeCrash => "grantee crash",
            Self::ConsumerCrash => "consumer crash",
            Self::RouterCrash => "router crash",
            Self::ProgramCrash => "program crash",
            Self::CrashBetween => "crash between",
            Self::PowerLoss => "power loss",
            Self::RecordsLost => "records lost",
            Self::DiskFull => "disk full",
            Self::SpillFull => "spill full",
            Self::Pause => "pause",
            Self::ClockFrozen => "clock frozen",
            Self::ClockAhead => "clock ahead",
            Self::ClockBack => "clock back",
            Self::Revocation => "revocation",
            Self::LongAbsence => "long absence",
            Self::Return => "return",
            Self::WithholdNotice => "withhold notice",
            Self::WithholdReceipt => "withhold receipt",
            Self::WithholdSettled => "withhold settled",
            Self::WithholdAnswer => "withhold answer",
            Self::WithholdControl => "withhold control",
            Self::WithholdBatch => "withhold batch",
            Self::ReplayToPeer => "replay to peer",
            Self::ReplayToRouter => "replay to router",
            Self::ReplayCall => "replay call",
            Self::SwapNotices => "swap notices",
            Self::SwapPayloads => "swap payloads",
            Self::SwapBatches => "swap batches",
            Self::ReorderCalls => "reorder calls",
            Self::TwoEnclaves => "two enclaves",
            Self::FlipInbound => "flip inbound",
            Self::FlipOutbound => "flip outbound",
            Self::ForgeRandom => "forge random",
            Self::ForgePlain => "forge plain",
            Self::ForgeForeign => "forge foreign",
            Self::ForgeCall => "forge call",
            Self::FalseSettled => "false settled",
            Self::FalseAck => "false ack",
            Self::FalseState => "false state",
            Self::FalseRefused => "false refused",
            Self::NeedlessSuspension => "needless suspension",
            Self::DropSpill => "drop spill",
        })
    }
}

/// How many faults of each kind were injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    counts: [u64; Fault::ALL.len()],
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            counts: [0; Fault::ALL.len()],
        }
    }
}

impl Faults {
    pub(crate) fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// How many of this kind.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// One line for each kind.
    #[must_use]
    pub fn table(&self) -> String {
        let lines =
            Fault::ALL.map(|fault| format!("{:<22}{:>9}\n", fault.to_string(), self.of(fault)));
        lines.concat()
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(out, "{comma}{fault} {}", self.of(fault))?;
        }
        Ok(())
    }
}

/// How likely each fault is while the storm lasts, in parts of a thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// A datagram is held up.
    pub delay: u32,
    /// For so long at most.
    pub delay_max: Duration,
    /// A datagram falls behind those sent after it.
    pub reorder: u32,
    /// By so much at most.
    pub reorder_max: Duration,
    /// A datagram is lost.
    pub loss: u32,
    /// A datagram comes twice.
    pub duplication: u32,
    /// A call takes long.
    pub door_delay: u32,
    /// So long at most.
    pub door_delay_max: Duration,
}

impl Weather {
    /// Weather of its own for each seed: every fault is absent in some runs, frequent in a few, so that none hides another.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let mut permille = |most: usize| match random.below(4) {
            0 => 0,
            1 => random.within(1..most) as u32,
            _ => random.within(1..most / 4) as u32,
        };
        Self {
            delay: permille(100),
            reorder: permille(200),
            loss: permille(200),
            duplication: permille(200),
            door_delay: permille(400),
            delay_max: *random.pick(&[
                Duration::from_millis(20),
                Duration::from_millis(400),
                Duration::from_secs(3),
            ]),
            reorder_max: *random.pick(&[Duration::from_millis(2), Duration::from_millis(300)]),
            door_delay_max: *random.pick(&[Duration::from_millis(5), Duration::from_secs(1)]),
        }
    }
}

/// A silence of the link of one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Whose link.
    pub party: Party,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// Whether it is long enough for both ends to give the link up.
    pub outage: bool,
    /// Whether the carrier has a new connection afterwards.
    pub reconnects: bool,
}

impl Silence {
    pub(crate) fn covers(&self, party: Party, time: Duration) -> bool {
        self.party == party && self.from <= time && time < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_count_of_its_own() {
        let mut faults = Faults::default();
        for (times, fault) in Fault::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| faults.count(fault));
        }

        let counts = Fault::ALL.map(|fault| faults.of(fault));

        assert_eq!(counts, std::array::from_fn(|place| place as u64));
    }

    #[test]
    fn every_fault_is_absent_from_the_weather_of_some_seeds_and_present_in_others() {
        let drawn: Vec<_> = (0..64)
            .map(|seed| Weather::draw(&mut Random::new(seed, "weather", 0)))
            .collect();

        let chances: [fn(&Weather) -> u32; 5] = [
            |weather| weather.delay,
            |weather| weather.reorder,
            |weather| weather.loss,
            |weather| weather.duplication,
            |weather| weather.door_delay,
        ];
        for chance in chances {
            assert!(drawn.iter().any(|weather| chance(weather) == 0));
            assert!(drawn.iter().any(|weather| chance(weather) > 0));
        }
    }
}
