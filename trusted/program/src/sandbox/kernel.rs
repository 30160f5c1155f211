//! What the kernel is asked for, one call each.
//!
//! Invariant: nothing here reads or writes memory of the program but plain structures on the stack.

#![allow(
    unsafe_code,
    reason = "system calls that the standard library does not have; each block says why it is sound"
)]

use std::io;

use super::Why;

/// The first descriptor behind the standard streams.
const FIRST_OTHER: libc::c_uint = 3;

/// `struct landlock_ruleset_attr` of Linux 6.12, landlock(7).
#[repr(C)]
#[derive(Default)]
struct Ruleset {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// How many bits of each field a version of Landlock has: the rights over files, those over ports, and the scopes. By version, from 1.
const LANDLOCK_BITS: [(u32, u32, u32); 6] = [
    (13, 0, 0),
    (14, 0, 0),
    (15, 0, 0),
    (15, 2, 0),
    (16, 2, 0),
    (16, 2, 2),
];

impl Ruleset {
    /// Everything that a version of Landlock can keep away.
    fn of_version(version: usize) -> Self {
        let known = version.clamp(1, LANDLOCK_BITS.len());
        let (files, ports, scopes) = LANDLOCK_BITS[known - 1];
        let all = |bits: u32| (1 << bits) - 1;
        Self {
            handled_access_fs: all(files),
            handled_access_net: all(ports),
            scoped: all(scopes),
        }
    }
}

pub(super) fn close_descriptors() -> Result<(), Why> {
    // SAFETY: close_range takes numbers alone. Nothing of this program owns a descriptor above the standard streams yet: it is called first.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST_OTHER, libc::c_uint::MAX, 0) };
    done("close_range", closed)
}

pub(super) fn dump_no_core() -> Result<(), Why> {
    set_limit(libc::RLIMIT_CORE, 0, 0)
}

pub(super) fn lock_memory() -> Result<(), Why> {
    // Behind the limit every later wish for memory would be refused, so without it nothing is locked.
    set_limit(
        libc::RLIMIT_MEMLOCK,
        libc::RLIM_INFINITY,
        libc::RLIM_INFINITY,
    )
    .map_err(|Why(why)| {
        Why(format!(
            "{why}; start it with `ulimit -l unlimited`, or LimitMEMLOCK=infinity"
        ))
    })?;
    let how = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: mlockall changes no content of memory, only where its pages may be.
    done("mlockall", i64::from(unsafe { libc::mlockall(how) }))
}

pub(super) fn leave_namespaces() -> Result<(), Why> {
    let all = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    // SAFETY: unshare takes a number alone; no thread is there yet whose view of the system would differ.
    done("unshare", i64::from(unsafe { libc::unshare(all) }))
}

pub(super) fn restrict_by_landlock() -> Result<(), Why> {
    let nothing: *const Ruleset = std::ptr::null();
    // SAFETY: with this flag (1, LANDLOCK_CREATE_RULESET_VERSION) the call reads no memory and returns a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, 1) };
    done("landlock_create_ruleset", version)?;
    let ruleset = Ruleset::of_version(usize::try_from(version).unwrap_or(1));
    let (pointer, bytes) = (&raw const ruleset, size_of::<Ruleset>());
    // SAFETY: the pointer is to a structure of that many bytes, which lives until the call has returned; a kernel that knows fewer fields takes
    // those that are zero.
    let ruleset = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, pointer, bytes, 0) };
    done("landlock_create_ruleset", ruleset)?;
    give_up_new_rights()?;
    // SAFETY: both take numbers alone, and the descriptor is this function's own.
    let (restricted, _) = unsafe {
        (
            libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0),
            libc::syscall(libc::SYS_close, ruleset),
        )
    };
    done("landlock_restrict_self", restricted)
}

/// No program that is started from this one may have more rights than it; Landlock and seccomp ask for that.
fn give_up_new_rights() -> Result<(), Why> {
    // SAFETY: prctl takes numbers alone for this.
    let done_so = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    done("prctl", i64::from(done_so))
}

pub(super) fn be_not_dumpable() -> Result<(), Why> {
    // SAFETY: prctl takes numbers alone for this.
    let done_so = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    done("prctl", i64::from(done_so))
}

fn set_limit(what: libc::__rlimit_resource_t, soft: u64, hard: u64) -> Result<(), Why> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the pointer is to a structure that lives until the call has returned.
    done(
        "setrlimit",
        i64::from(unsafe { libc::setrlimit(what, &raw const limit) }),
    )
}

fn done(call: &str, returned: i64) -> Result<(), Why> {
    match returned {
        0.. => Ok(()),
        _ => Err(Why(format!("{call}: {}", io::Error::last_os_error()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_landlock_is_asked_for_what_it_has() {
        let bits = |version| {
            let it = Ruleset::of_version(version);
            [it.handled_access_fs, it.handled_access_net, it.scoped].map(u64::count_ones)
        };

        assert_eq!(bits(1), [13, 0, 0]);
        assert_eq!(bits(4), [15, 2, 0]);
        assert_eq!(bits(6), [16, 2, 2]);
        assert_eq!(bits(99), [16, 2, 2], "a later one has these, too");
    }
}
