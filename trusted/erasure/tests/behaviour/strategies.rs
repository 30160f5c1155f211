//! What properties are tried on.

use proptest::prelude::*;
use sc_erasure::{Features, Kernel, Redundancy};

/// A kernel that this processor has.
pub(crate) fn kernel() -> impl Strategy<Value = Kernel> {
    let kernels: Vec<Kernel> = Kernel::supported(Features::ALL).collect();
    prop::sample::select(kernels)
}

/// Any redundancy, mostly small.
pub(crate) fn redundancy() -> impl Strategy<Value = Redundancy> {
    prop_oneof![
        (1..=5_u8).prop_map(|copies| Redundancy::replication(copies).unwrap()),
        (1..=18_u8, 0..=6_u8)
            .prop_map(|(data, parity)| Redundancy::reed_solomon(data, parity).unwrap()),
        rlnc(),
    ]
}

/// Any network-coded redundancy, mostly small.
pub(crate) fn rlnc() -> impl Strategy<Value = Redundancy> {
    (1..=10_u8, 0..=4_u8, 1..=5_u8, any::<bool>()).prop_map(|(data, losses, subpackets, dense)| {
        Redundancy::rlnc(data, data + losses, subpackets, dense).unwrap()
    })
}

/// A block, mostly small.
pub(crate) fn block() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..300),
        1 => prop::collection::vec(any::<u8>(), 0..20_000),
    ]
}
