//! What an operator or the layer above may tune of a link, and the terms that a hello announces.
//!
//! Invariant: each window has room for one largest frame, so that a frame which may be sent can be sent.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::frame::{ATTACHMENT_OVERHEAD, ATTACHMENTS_MAX, FRAME_OVERHEAD, FrameClass};
use crate::identity::PeerKey;

/// What one side accepts; each hello carries its sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Cost of class control that may be on its way or unread, in bytes.
    pub control_window: u64,
    /// Cost of class data that may be on its way or unread, in bytes.
    pub data_window: u64,
    /// Largest frame accepted (sum of its parts), in bytes.
    pub max_frame: u64,
}

impl Terms {
    /// Whether any frame but an empty one could be sent to whoever announces these terms.
    pub(crate) fn are_usable(&self) -> bool {
        self.max_frame > 0 && self.control_window.min(self.data_window) > FRAME_OVERHEAD
    }

    pub(crate) fn window(&self, class: FrameClass) -> u64 {
        match class {
            FrameClass::Control => self.control_window,
            FrameClass::Data => self.data_window,
        }
    }
}

/// Which proved keys are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Admission {
    /// Any key: who may do what is decided above this layer.
    #[default]
    Any,
    /// These keys alone.
    Only(BTreeSet<PeerKey>),
}

impl Admission {
    pub(crate) fn admits(&self, key: &PeerKey) -> bool {
        match self {
            Self::Any => true,
            Self::Only(keys) => keys.contains(key),
        }
    }
}

/// Numbers and rules of one side of a socket.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// What this side accepts. Raise the data window for fast links with a long round trip.
    pub terms: Terms,
    /// Cost of frames of class control kept per link, unsent or unacknowledged, in bytes; beyond it `send` says `Full`.
    pub control_queue: u64,
    /// The same for class data, in bytes.
    pub data_queue: u64,
    /// Most established links of one acceptor.
    pub links_max: usize,
    /// A link from which nothing is heard for this long is closed.
    pub idle_timeout: Duration,
    /// Which peers are taken.
    pub admission: Admission,
    /// This side's CURVE public key, if the socket uses CURVE.
    pub curve_key: Option<[u8; 32]>,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            terms: Terms {
                control_window: 1 << 20,
                data_window: 8 << 20,
                max_frame: 4 << 20,
            },
            control_queue: 4 << 20,
            data_queue: 16 << 20,
            links_max: 65_536,
            idle_timeout: Duration::from_secs(30),
            admission: Admission::Any,
            curve_key: None,
        }
    }
}

impl LinkSettings {
    /// The cost of the largest frame that `max_frame` allows: what a window should be at least.
    #[must_use]
    pub fn largest_cost(max_frame: u64) -> u64 {
        max_frame + FRAME_OVERHEAD + ATTACHMENT_OVERHEAD * ATTACHMENTS_MAX as u64
    }

    pub(crate) fn queue(&self, class: FrameClass) -> u64 {
        match class {
            FrameClass::Control => self.control_queue,
            FrameClass::Data => self.data_queue,
        }
    }
}
