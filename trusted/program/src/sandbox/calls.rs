//! The system calls that a trusted program needs, and no others.
//!
//! Invariant: none of them names a file, an address or another process. What is not here ends the program; but what libraries ask for of
//! themselves, and can do without, is refused with an error.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// The list cannot be had: it is needed, so there is no program without it.
#[derive(Debug, thiserror::Error)]
#[error("the list of system calls: {0}")]
pub(super) struct SystemCallsError(String);

/// Calls that are allowed whatever they are given: on what is open and held already.
const FREE: &[i64] = &[
    // The two streams, and standard error.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    // Memory; that none of it is both written and executed is seen to below.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads: how they wait, begin and end.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals to itself: how a thread that overflows its stack, or a broken invariant, ends the program.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Chance and time.
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
];

/// Calls that are answered as by a kernel that does not have them: whoever makes them has another way.
const ABSENT: &[i64] = &[
    // Its flags are in memory, where they cannot be looked at; `clone` is made instead.
    libc::SYS_clone3,
    // Libraries look for files that say how the machine is, and for devices of chance.
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// The same where a processor has them: older calls of one architecture.
#[cfg(target_arch = "x86_64")]
const ABSENT_HERE: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_access,
    libc::SYS_readlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ABSENT_HERE: &[i64] = &[];

/// Keeps this thread, and those that it starts, from all other system calls.
///
/// # Errors
/// The kernel has no filters, or not for this processor.
pub(super) fn restrict() -> Result<(), SystemCallsError> {
    let failed = |error: &dyn std::fmt::Display| SystemCallsError(error.to_string());
    // Of two filters the stricter answer counts: an error, and not what would end the program.
    for filter in [absent(), allowed()] {
        let filter = filter.map_err(|error| failed(&error))?;
        seccompiler::apply_filter(&filter).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Answers the calls that are absent, and leaves the others to the other filter.
fn absent() -> Result<BpfProgram, seccompiler::BackendError> {
    let calls = ABSENT.iter().chain(ABSENT_HERE);
    let rules = calls.map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    compile(rules, SeccompAction::Allow, refused)
}

/// Ends the program at every call that is neither allowed nor absent.
fn allowed() -> Result<BpfProgram, seccompiler::BackendError> {
    let calls = FREE.iter().chain(ABSENT).chain(ABSENT_HERE);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.map(|call| (*call, Vec::new())).collect();
    let without = |argument, bits| has_bits(argument, bits, 0);
    let executable = libc::PROT_EXEC.unsigned_abs().into();
    rules.insert(libc::SYS_mmap, vec![without(2, executable)?]);
    rules.insert(libc::SYS_mprotect, vec![without(2, executable)?]);
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM).unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![has_bits(0, thread, thread)?]);
    // Descriptors are copied and looked at; none is made of a name.
    let descriptors = [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_GETFL];
    rules.insert(libc::SYS_fcntl, one_of(1, &descriptors)?);
    // Names of threads and of stretches of memory.
    let names = [libc::PR_SET_NAME, libc::PR_SET_VMA];
    rules.insert(libc::SYS_prctl, one_of(0, &names)?);
    // To itself: the kernel lets no other process be named from a user namespace without one, and Landlock none at all.
    rules.insert(libc::SYS_tgkill, one_of(2, &[libc::SIGABRT])?);
    compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(ARCH)?;
    SeccompFilter::new(rules, others, these, arch)?.try_into()
}

/// A call of which these bits of an argument are as said.
fn has_bits(argument: u8, bits: u64, are: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(bits);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, are)?;
    SeccompRule::new(vec![condition])
}

/// A call of which an argument is one of these.
fn one_of(
    argument: u8,
    values: &[libc::c_int],
) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let each = values.iter().map(|value| {
        let value = value.unsigned_abs().into();
        let equal = SeccompCmpOp::Eq;
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, equal, value)?;
        SeccompRule::new(vec![condition])
    });
    each.collect()
}
