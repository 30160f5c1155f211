//! How much of a block may be lost, and by which code.
//!
//! Invariant: a [`Redundancy`] satisfies the bounds that its constructors name, because only they make
//! one.

use core::ops::Range;

use thiserror::Error;

use crate::linear_hash::TAG_BYTES;

/// Sub-packets of a piece, at most.
pub const SUBPACKETS_MAX: u8 = 16;

/// Sets of k fragments that network-coded redundancy may have: each is checked at every repair.
pub const SUBSETS_MAX: u64 = 10_000;

/// Source packets of a block, at most: the elements of the field other than 0.
const PACKETS_MAX: usize = 255;

/// Sets of k - 1 fragments beside a lost one, at most, where it is made of recoded packets: each set is
/// a condition on what is drawn, and some way beyond this many no draw meets all.
const CONDITIONS_MAX: u64 = 2500;

/// Which code, of how many fragments, of which any k are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Redundancy {
    /// Every fragment holds the whole block.
    #[non_exhaustive]
    Replication {
        /// How many there are.
        copies: u8,
    },
    /// The first fragments hold the block in parts, the others Reed-Solomon parity.
    #[non_exhaustive]
    ReedSolomon {
        /// How many hold a part of the block.
        data: u8,
        /// How many hold parity.
        parity: u8,
    },
    /// Linear combinations that can be combined again without being decoded.
    #[non_exhaustive]
    Rlnc {
        /// How many fragments rebuild a block.
        data: u8,
        /// How many there are.
        total: u8,
        /// Packets of each piece: the more, the less a repair has to read.
        subpackets: u8,
        /// Whether every fragment is coded; otherwise the first hold the block in parts.
        dense: bool,
    },
}

/// What is asked of others to make a lost fragment anew of recoded packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recoding {
    /// How many other fragments help: d, more than k.
    pub helpers: u8,
    /// How many packets of each block each of them sends.
    pub packets: u8,
}

impl Recoding {
    /// Packets of a block that are sent in all.
    #[must_use]
    pub fn sent(&self) -> usize {
        usize::from(self.helpers) * usize::from(self.packets)
    }
}

/// Why there is no such redundancy. A mistake of whoever wrote the policy or the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedundancyError {
    /// A count that must be at least 1 is 0.
    #[error("a count of fragments or sub-packets is 0")]
    Zero,
    /// There are fewer fragments than are needed to rebuild.
    #[error("{total} fragments cannot hold what {data} are needed for")]
    TooFew {
        /// How many are needed.
        data: u8,
        /// How many there are.
        total: u8,
    },
    /// There are more fragments than the field can tell apart.
    #[error("{0} fragments are more than 255")]
    TooMany(u16),
    /// There are too many source packets.
    #[error(
        "{packets} source packets, {subpackets} for each fragment, are more than 255, or than 16 for each"
    )]
    TooManyPackets {
        /// In all.
        packets: u16,
        /// For each fragment.
        subpackets: u8,
    },
    /// There are too many sets of fragments that have to rebuild.
    #[error("{data} of {total} fragments can be chosen in more than 10000 ways")]
    TooManySubsets {
        /// How many are chosen.
        data: u8,
        /// Among how many.
        total: u8,
    },
    /// No code has this number, or not with these sizes.
    #[error(
        "there is no code {code} with {subpackets} sub-packets and {data} of {total} fragments"
    )]
    Unknown {
        /// The code's number.
        code: u8,
        /// Fragments needed.
        data: u8,
        /// Fragments in all.
        total: u8,
        /// Sub-packets.
        subpackets: u8,
    },
}

impl Redundancy {
    /// Every fragment holds the whole block.
    ///
    /// # Errors
    /// Without copies.
    pub fn replication(copies: u8) -> Result<Self, RedundancyError> {
        if copies == 0 {
            return Err(RedundancyError::Zero);
        }
        Ok(Self::Replication { copies })
    }

    /// Reed-Solomon: `data` fragments of the block, and `parity` more.
    ///
    /// # Errors
    /// Without data, or if both together are more than 255.
    pub fn reed_solomon(data: u8, parity: u8) -> Result<Self, RedundancyError> {
        if data == 0 {
            return Err(RedundancyError::Zero);
        }
        if data.checked_add(parity).is_none() {
            return Err(RedundancyError::TooMany(
                u16::from(data) + u16::from(parity),
            ));
        }
        Ok(Self::ReedSolomon { data, parity })
    }

    /// Network coding: `total` fragments, of which any `data` rebuild, each of `subpackets` packets.
    ///
    /// # Errors
    /// Without data or sub-packets; with fewer fragments in all than data; with more than
    /// [`SUBPACKETS_MAX`] sub-packets or 255 source packets; with more than [`SUBSETS_MAX`] choices of
    /// `data` fragments.
    pub fn rlnc(data: u8, total: u8, subpackets: u8, dense: bool) -> Result<Self, RedundancyError> {
        if data == 0 || subpackets == 0 {
            return Err(RedundancyError::Zero);
        }
        if total < data {
            return Err(RedundancyError::TooFew { data, total });
        }
        let packets = u16::from(data) * u16::from(subpackets);
        if subpackets > SUBPACKETS_MAX || usize::from(packets) > PACKETS_MAX {
            return Err(RedundancyError::TooManyPackets {
                packets,
                subpackets,
            });
        }
        if subsets(total, data) > SUBSETS_MAX {
            return Err(RedundancyError::TooManySubsets { data, total });
        }
        Ok(Self::Rlnc {
            data,
            total,
            subpackets,
            dense,
        })
    }

    /// The redundancy whose [`Self::code_id`], [`Self::data`], [`Self::total`] and
    /// [`Self::subpackets`] these are.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_parts(
        code: u8,
        data: u8,
        total: u8,
        subpackets: u8,
    ) -> Result<Self, RedundancyError> {
        let unknown = RedundancyError::Unknown {
            code,
            data,
            total,
            subpackets,
        };
        match (code, data, subpackets) {
            (1, 1, 1) => Self::replication(total),
            (2, _, 1) => {
                let parity = total.checked_sub(data);
                let parity = parity.ok_or(RedundancyError::TooFew { data, total })?;
                Self::reed_solomon(data, parity)
            }
            (3 | 4, ..) => Self::rlnc(data, total, subpackets, code == 4),
            _ => Err(unknown),
        }
    }

    /// The number of its code: 1 replication, 2 Reed-Solomon, 3 network coding whose first fragments
    /// hold the block in parts, 4 network coding in which every fragment is coded.
    #[must_use]
    pub fn code_id(self) -> u8 {
        match self {
            Self::Replication { .. } => 1,
            Self::ReedSolomon { .. } => 2,
            Self::Rlnc { dense: false, .. } => 3,
            Self::Rlnc { dense: true, .. } => 4,
        }
    }

    /// How many fragments rebuild a block, whichever they are: k.
    #[must_use]
    pub fn data(self) -> u8 {
        match self {
            Self::Replication { .. } => 1,
            Self::ReedSolomon { data, .. } | Self::Rlnc { data, .. } => data,
        }
    }

    /// How many fragments there are: n.
    #[must_use]
    pub fn total(self) -> u8 {
        match self {
            Self::Replication { copies } => copies,
            Self::ReedSolomon { data, parity } => data + parity,
            Self::Rlnc { total, .. } => total,
        }
    }

    /// How many fragments may be lost: n - k.
    #[must_use]
    pub fn losses(self) -> u8 {
        self.total() - self.data()
    }

    /// Packets of each piece; 1 without network coding.
    #[must_use]
    pub fn subpackets(self) -> u8 {
        match self {
            Self::Rlnc { subpackets, .. } => subpackets,
            _ => 1,
        }
    }

    /// Source packets of a block: k times the packets of a piece.
    #[must_use]
    pub fn packets(self) -> usize {
        usize::from(self.data()) * usize::from(self.subpackets())
    }

    /// Bytes of one packet of a block of `block_bytes`: the last source packets are padded with zeros.
    #[must_use]
    pub fn packet_bytes(self, block_bytes: usize) -> usize {
        block_bytes.div_ceil(self.packets())
    }

    /// Bytes that one fragment holds of a block of `block_bytes`.
    #[must_use]
    pub fn piece_bytes(self, block_bytes: usize) -> usize {
        self.packet_bytes(block_bytes) * usize::from(self.subpackets())
    }

    /// Which bytes of a block of `block_bytes` the fragment `index` holds, if it holds them as they are.
    pub(crate) fn part(self, index: u8, block_bytes: usize) -> Range<usize> {
        let piece_bytes = self.piece_bytes(block_bytes);
        let part = usize::from(index % self.data());
        let start = (part * piece_bytes).min(block_bytes);
        start..block_bytes.min(start + piece_bytes)
    }

    /// How a lost fragment is made of less than k whole ones, with the least that helpers have to send;
    /// `None` where nothing is saved so.
    ///
    /// Each helper sends as many packets as make up the new fragment with those of the other helpers
    /// that are not among any k - 1 fragments: the cut-set bound of Dimakis et al.
    #[must_use]
    pub fn recoding(self) -> Option<Recoding> {
        let Self::Rlnc {
            data,
            total,
            subpackets,
            ..
        } = self
        else {
            return None;
        };
        if subsets(total - 1, data - 1) > CONDITIONS_MAX {
            return None;
        }
        let ways = (data + 1..total).map(|helpers| Recoding {
            helpers,
            packets: subpackets.div_ceil(helpers - data + 1),
        });
        let least = ways.min_by_key(Recoding::sent)?;
        // All of them and the rows of the new fragment have distinct bytes.
        let fits = least.sent() + usize::from(subpackets) <= 256;
        (least.sent() < self.packets() && fits).then_some(least)
    }

    /// Bytes of the tags that a fragment of so many blocks carries: one for each of its packets where
    /// they can be recoded, otherwise none.
    #[must_use]
    pub fn tag_bytes(self, blocks: u16) -> usize {
        let packets = usize::from(self.subpackets()) * usize::from(blocks);
        self.recoding().map_or(0, |_| packets * TAG_BYTES)
    }

    /// Bytes of the coefficients that a fragment carries: for each of its packets one for each source
    /// packet with network coding, otherwise none.
    #[must_use]
    pub fn coefficient_bytes(self) -> usize {
        match self {
            Self::Rlnc { subpackets, .. } => usize::from(subpackets) * self.packets(),
            _ => 0,
        }
    }
}

/// In how many ways `chosen` of `total` can be chosen; some number above [`SUBSETS_MAX`] where there are
/// more ways than that.
fn subsets(total: u8, chosen: u8) -> u64 {
    let (total, chosen) = (u64::from(total), u64::from(chosen));
    let mut ways = 1;
    for taken in 1..=chosen.min(total - chosen) {
        ways = ways * (total - taken + 1) / taken;
        if ways > SUBSETS_MAX {
            break;
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_reached_and_not_passed() {
        assert!(Redundancy::replication(255).is_ok());
        assert!(Redundancy::reed_solomon(1, 0).is_ok());
        assert!(Redundancy::reed_solomon(200, 55).is_ok());
        assert!(Redundancy::rlnc(15, 16, 16, false).is_ok());
        assert!(Redundancy::rlnc(10, 14, 4, true).is_ok());
        assert!(Redundancy::rlnc(2, 141, 1, true).is_ok());

        assert_eq!(Redundancy::replication(0), Err(RedundancyError::Zero));
        assert_eq!(Redundancy::reed_solomon(0, 3), Err(RedundancyError::Zero));
        assert_eq!(
            Redundancy::reed_solomon(200, 56),
            Err(RedundancyError::TooMany(256))
        );
        assert_eq!(Redundancy::rlnc(2, 4, 0, false), Err(RedundancyError::Zero));
        assert_eq!(
            Redundancy::rlnc(5, 4, 1, false),
            Err(RedundancyError::TooFew { data: 5, total: 4 })
        );
        assert!(matches!(
            Redundancy::rlnc(2, 4, 17, false),
            Err(RedundancyError::TooManyPackets { .. })
        ));
        assert!(matches!(
            Redundancy::rlnc(16, 17, 16, false),
            Err(RedundancyError::TooManyPackets { packets: 256, .. })
        ));
        assert_eq!(
            Redundancy::rlnc(2, 142, 1, true),
            Err(RedundancyError::TooManySubsets {
                data: 2,
                total: 142
            })
        );
    }

    #[test]
    fn a_redundancy_is_known_by_its_numbers() {
        for redundancy in [
            Redundancy::replication(3),
            Redundancy::reed_solomon(10, 4),
            Redundancy::rlnc(10, 14, 4, false),
            Redundancy::rlnc(4, 6, 1, true),
        ] {
            let redundancy = redundancy.unwrap();
            let parts = Redundancy::from_parts(
                redundancy.code_id(),
                redundancy.data(),
                redundancy.total(),
                redundancy.subpackets(),
            );

            assert_eq!(parts, Ok(redundancy));
        }
    }

    #[test]
    fn numbers_that_no_redundancy_has_are_refused() {
        for (code, data, total, subpackets) in [
            (0, 1, 1, 1),
            (1, 2, 3, 1),
            (1, 1, 3, 2),
            (2, 4, 6, 2),
            (2, 6, 4, 1),
            (3, 6, 4, 1),
            (5, 1, 1, 1),
        ] {
            assert!(Redundancy::from_parts(code, data, total, subpackets).is_err());
        }
    }

    #[test]
    fn helpers_send_as_little_as_the_bound_allows_or_none_are_asked() {
        let sent = |data, total, subpackets| {
            let redundancy = Redundancy::rlnc(data, total, subpackets, false).unwrap();
            let recoding = redundancy.recoding();
            recoding.map(|it| (it.helpers, it.packets, it.sent(), redundancy.packets()))
        };

        assert_eq!(sent(4, 6, 2), Some((5, 1, 5, 8)));
        assert_eq!(sent(4, 6, 3), Some((5, 2, 10, 12)));
        assert_eq!(sent(10, 14, 4), Some((13, 1, 13, 40)));
        assert_eq!(sent(1, 3, 2), None, "a copy has it all");
        assert_eq!(sent(4, 6, 1), None);
        assert_eq!(sent(4, 5, 4), None);
        assert_eq!(sent(4, 4, 2), None);
        assert_eq!(sent(10, 16, 6), None, "5005 conditions");
        for redundancy in [Redundancy::replication(3), Redundancy::reed_solomon(4, 2)] {
            assert_eq!(redundancy.unwrap().recoding(), None);
            assert_eq!(redundancy.unwrap().tag_bytes(8), 0);
        }
        assert_eq!(Redundancy::rlnc(4, 6, 2, true).unwrap().tag_bytes(8), 256);
    }

    #[test]
    fn pieces_have_whole_packets() {
        let redundancy = Redundancy::rlnc(10, 14, 4, false).unwrap();

        assert_eq!(redundancy.packet_bytes(1_048_576), 26_215);
        assert_eq!(redundancy.piece_bytes(1_048_576), 4 * 26_215);
        assert_eq!(redundancy.piece_bytes(1), 4);
        assert_eq!(redundancy.piece_bytes(0), 0);
    }
}
