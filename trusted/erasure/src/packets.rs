//! A block, cut into packets of equal length without being copied.
//!
//! Invariant: packets that the block does not fill are padded with zeros. Fewer bytes are padded than
//! there are packets, so all packets are whole but for some of their last columns, the *narrow* ones;
//! the others, the *wide* ones, lie in the block itself.

use alloc::vec;
use alloc::vec::Vec;

use crate::kernel::Coefficients;

/// How a block of some length is cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    packets: usize,
    packet_bytes: usize,
    /// Columns in which every packet has a byte of the block.
    wide: usize,
}

impl Cut {
    /// Packets of `packet_bytes`, which hold the block and fewer bytes more than they are.
    pub(crate) fn new(block_bytes: usize, packets: usize, packet_bytes: usize) -> Self {
        let before_last = packet_bytes * (packets - 1);
        Self {
            packets,
            packet_bytes,
            wide: block_bytes.saturating_sub(before_last),
        }
    }

    fn narrow(self) -> usize {
        self.packet_bytes - self.wide
    }

    /// Makes `outputs`, rows of packets, of the packets of `block`.
    pub(crate) fn combine(
        self,
        coefficients: &Coefficients,
        block: &[u8],
        outputs: &mut [&mut [u8]],
    ) {
        let packets = (0..self.packets).map(|packet| {
            let start = (packet * self.packet_bytes).min(block.len());
            &block[start..block.len().min(start + self.packet_bytes)]
        });
        let packets: Vec<&[u8]> = packets.collect();
        if self.wide > 0 {
            let inputs: Vec<&[u8]> = packets.iter().map(|packet| &packet[..self.wide]).collect();
            let mut outputs: Vec<&mut [u8]> = outputs
                .iter_mut()
                .map(|output| &mut output[..self.wide])
                .collect();
            coefficients.multiply(&inputs, &mut outputs);
        }
        if self.narrow() == 0 {
            return;
        }
        let mut ends = vec![0; self.packets * self.narrow()];
        for (end, packet) in ends.chunks_mut(self.narrow()).zip(&packets) {
            let rest = packet.get(self.wide..).unwrap_or_default();
            end[..rest.len()].copy_from_slice(rest);
        }
        let inputs: Vec<&[u8]> = ends.chunks(self.narrow()).collect();
        let mut outputs: Vec<&mut [u8]> = outputs
            .iter_mut()
            .map(|output| &mut output[self.wide..])
            .collect();
        coefficients.multiply(&inputs, &mut outputs);
    }

    /// Makes those packets of `block` that `made` names, in ascending order, of the rows `inputs`.
    pub(crate) fn fill(
        self,
        coefficients: &Coefficients,
        made: &[usize],
        inputs: &[&[u8]],
        block: &mut [u8],
    ) {
        let mut numbers = made.iter().peekable();
        let packets = block.chunks_mut(self.packet_bytes).enumerate();
        let mut packets: Vec<&mut [u8]> = packets
            .filter_map(|(number, packet)| numbers.next_if_eq(&&number).map(|_| packet))
            .collect();
        if self.wide > 0 {
            let inputs: Vec<&[u8]> = inputs.iter().map(|input| &input[..self.wide]).collect();
            let mut outputs: Vec<&mut [u8]> = packets
                .iter_mut()
                .map(|packet| &mut packet[..self.wide])
                .collect();
            coefficients.multiply(&inputs, &mut outputs);
        }
        if self.narrow() == 0 {
            return;
        }
        let inputs: Vec<&[u8]> = inputs.iter().map(|input| &input[self.wide..]).collect();
        let mut ends = vec![0; made.len() * self.narrow()];
        let mut outputs: Vec<&mut [u8]> = ends.chunks_mut(self.narrow()).collect();
        coefficients.multiply(&inputs, &mut outputs);
        for (end, packet) in ends.chunks(self.narrow()).zip(packets) {
            if let Some(rest) = packet.get_mut(self.wide..) {
                rest.copy_from_slice(&end[..rest.len()]);
            }
        }
    }
}
