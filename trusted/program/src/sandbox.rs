//! What a trusted program gives up before it reads the first byte of the host's.
//!
//! Invariant: once [`confine`] has returned without an error, the program can work on what it holds and no more: read and write the streams that are
//! open, take memory, wait, start threads and end. Layers lie over each other, so that one which a system does not have leaves others;
//! the list of system calls has to be there, and what else is not is named.
//! Sources: Linux man-pages landlock(7), seccomp(2), user_namespaces(7), mlockall(2), prctl(2).

mod calls;
mod kernel;

/// One way in which a program is kept from the rest of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Layer {
    /// No open files but the three standard streams.
    Descriptors,
    /// No core dumps.
    CoreDumps,
    /// Memory that is locked: it is never written to a disk as swapped.
    LockedMemory,
    /// A user, a network, mounts, host names and queues of its own, with nothing in them.
    Namespaces,
    /// No file and no network address by any name, and no signal to others (Landlock without a rule).
    Landlock,
    /// Memory that no other process of this user reads, by `ptrace` or `/proc`.
    NotDumpable,
    /// Those system calls alone that the program needs.
    SystemCalls,
}

impl Layer {
    /// All of them, in the order in which they can be taken up: locking memory needs a right that a namespace takes, and nothing else can be asked
    /// for behind the last.
    pub const ALL: [Self; 7] = [
        Self::Descriptors,
        Self::CoreDumps,
        Self::LockedMemory,
        Self::Namespaces,
        Self::Landlock,
        Self::NotDumpable,
        Self::SystemCalls,
    ];

    fn take_up(self) -> Result<(), Why> {
        match self {
            Self::Descriptors => kernel::close_descriptors(),
            Self::CoreDumps => kernel::dump_no_core(),
            Self::LockedMemory => kernel::lock_memory(),
            Self::Namespaces => kernel::leave_namespaces(),
            Self::Landlock => kernel::restrict_by_landlock(),
            Self::NotDumpable => kernel::be_not_dumpable(),
            Self::SystemCalls => calls::restrict().map_err(|error| Why(error.to_string())),
        }
    }

    /// What it means to be without it.
    fn without(self) -> &'static str {
        match self {
            Self::Descriptors => "files of whoever started it are open",
            Self::CoreDumps => "its memory is written to a file when it crashes",
            Self::LockedMemory => "its memory may be swapped to a disk",
            Self::Namespaces => "it shares the network, mounts and users of the host",
            Self::Landlock => {
                "only system calls that it cannot make keep files and addresses from it"
            }
            Self::NotDumpable => "other processes of its user may read its memory",
            Self::SystemCalls => "all system calls are open to it",
        }
    }
}

/// What keeps a layer away, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Why(String);

/// A layer that this system does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("without a part of the sandbox: {} ({why})", layer.without())]
pub struct Missing {
    /// Which.
    pub layer: Layer,
    why: String,
}

/// Takes up these layers, in their order; those that this system does not have.
///
/// To be called before the program starts a thread: what it starts later is confined as it is.
///
/// # Errors
/// The list of system calls cannot be had: the program must not go on.
pub fn confine(layers: &[Layer]) -> Result<Vec<Missing>, Missing> {
    let mut missing = Vec::new();
    for &layer in layers {
        if let Err(Why(why)) = layer.take_up() {
            let it = Missing { layer, why };
            if layer == Layer::SystemCalls {
                return Err(it);
            }
            missing.push(it);
        }
    }
    Ok(missing)
}
