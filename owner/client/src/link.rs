//! What the cores of this room hand to whoever owns the link, and what they are told of it.

use std::time::Duration;

use sc_transport::{Frame, FrameClass};

/// The time, as a caller tells it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Since an arbitrary start; never goes back.
    pub now: Duration,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

/// Bytes that the link would carry at once.
#[derive(Debug, Clone, Copy)]
pub struct Credit {
    /// Of class control.
    pub control: u64,
    /// Of class data.
    pub data: u64,
}

/// What one frame costs beyond its bytes, at most: head, overheads of the link layer.
const FRAME_COST: u64 = 1024;

impl Credit {
    /// What is left of it once `outputs` have been sent.
    pub(crate) fn after(mut self, outputs: &[Output]) -> Self {
        for output in outputs {
            if let Output::Send { class, frame } = output {
                let left = match class {
                    FrameClass::Control => &mut self.control,
                    FrameClass::Data => &mut self.data,
                };
                *left = left.saturating_sub(frame.cost());
            }
        }
        self
    }

    /// What a frame of so many bytes costs, at most.
    pub(crate) fn cost(bytes: usize) -> u64 {
        bytes as u64 + FRAME_COST
    }

    pub(crate) fn take_control(&mut self, bytes: usize) -> bool {
        take(&mut self.control, bytes)
    }

    pub(crate) fn take_data(&mut self, bytes: usize) -> bool {
        take(&mut self.data, bytes)
    }
}

fn take(left: &mut u64, bytes: usize) -> bool {
    match left.checked_sub(Credit::cost(bytes)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

/// What a core wants done, in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// To be put on the disk before the next frame is sent.
    Record(Vec<u8>),
    /// To be sent on the link.
    Send {
        /// Charged to this credit.
        class: FrameClass,
        /// The frame.
        frame: Frame,
    },
    /// The link is to be closed, and opened anew.
    Close(String),
}
