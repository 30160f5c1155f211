//! What a confined program is kept from, one layer and one attempt at a time; and what it can still do.
//!
//! Each probe is this very binary, started again: it confines itself by some layers, tries one thing, and ends as that went. A test that finds
//! the same thing possible without the layer shows that it is the layer that keeps it away.

#![allow(
    unsafe_code,
    reason = "the probes make system calls that the standard library does not have"
)]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(
    clippy::explicit_write,
    reason = "the macros that print are for the programs that talk to people"
)]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _, stderr, stdout};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sc_program::{Layer, confine, entropy};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was possible.
    Done,
    /// It was refused with this error.
    Refused(i32),
    /// It ended the program.
    Killed,
}

const LAYERS: [(&str, Layer); 7] = [
    ("descriptors", Layer::Descriptors),
    ("core-dumps", Layer::CoreDumps),
    ("locked-memory", Layer::LockedMemory),
    ("namespaces", Layer::Namespaces),
    ("landlock", Layer::Landlock),
    ("not-dumpable", Layer::NotDumpable),
    ("system-calls", Layer::SystemCalls),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("probe") => probe(&arguments[2], &arguments[3]),
        _ => run_all(),
    }
}

/// Takes up layers, tries something, and tells by the status how that ended: 0, or the number of the error.
fn probe(layers: &str, attempt: &str) -> ExitCode {
    let layers: Vec<Layer> = LAYERS
        .iter()
        .filter(|(name, _)| layers == "all" || layers.split(',').any(|it| it == *name))
        .map(|(_, layer)| *layer)
        .collect();
    // What is needed of files and addresses is prepared before.
    let opened = File::open("/etc/passwd").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let missing = match confine(&layers) {
        Ok(missing) => missing,
        Err(error) => {
            writeln!(stderr(), "{error}").unwrap();
            return ExitCode::from(200);
        }
    };
    for it in missing {
        writeln!(stderr(), "{it}").unwrap();
    }
    let tried = try_it(attempt, &opened, address);
    // What was closed under them is not closed again.
    std::mem::forget((opened, listener));
    match tried {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error.raw_os_error().map_or(201, |it| it as u8)),
    }
}

fn try_it(attempt: &str, opened: &File, address: std::net::SocketAddr) -> io::Result<()> {
    match attempt {
        "open" => File::open("/etc/passwd").map(drop),
        "create" => fs::write("/tmp/securecloud-sandbox-probe", "x"),
        "read what was open" => (&*opened).read(&mut [0; 1]).map(drop),
        "connect" => TcpStream::connect(address).map(drop),
        "socket" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "fork" => Command::new("/bin/true").status().map(drop),
        "exec" => Err(Command::new("/bin/true").exec()),
        "ptrace" => system_call(libc::SYS_ptrace, [0, 0, 0, 0, 0, 0]),
        "read another process" => read_parent(),
        "signal" => system_call(libc::SYS_kill, [i64::from(parent()), 0, 0, 0, 0, 0]),
        "execute memory" => map_executable(),
        "mount" => system_call(libc::SYS_umount2, [c"/proc".as_ptr() as i64, 2, 0, 0, 0, 0]),
        "core" => core_limit(),
        "dumpable" => dumpable(),
        "locked" => locked(),
        "work" => work(),
        "wait" => io::stdin().read(&mut [0; 1]).map(drop),
        other => panic!("no attempt is called {other}"),
    }
}

fn system_call(number: i64, arguments: [i64; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the callers give numbers, and addresses of what lives until the call has returned.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// Reads a byte of whoever started this process.
fn read_parent() -> io::Result<()> {
    let byte = [0_u8; 1];
    let local = libc::iovec {
        iov_base: byte.as_ptr() as *mut libc::c_void,
        iov_len: 1,
    };
    // The program is the same, so this address holds something there, too, or nothing: that is another error than to be refused.
    let remote = local;
    let (local, remote) = (&raw const local as i64, &raw const remote as i64);
    match system_call(
        libc::SYS_process_vm_readv,
        [i64::from(parent()), local, 1, remote, 1, 0],
    ) {
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        other => other,
    }
}

fn map_executable() -> io::Result<()> {
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, of which nobody holds a pointer.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, kind, -1, 0) };
    match mapped {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Fails with EPERM where no core may be dumped.
fn core_limit() -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 1,
        rlim_max: 1,
    };
    // SAFETY: the pointer is to a structure that lives until the call has returned.
    unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    match limit.rlim_max {
        0 => Err(io::Error::from_raw_os_error(libc::EPERM)),
        _ => Ok(()),
    }
}

/// Fails with EPERM where the memory is not readable by others.
fn dumpable() -> io::Result<()> {
    // SAFETY: prctl takes numbers alone for this.
    match unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Err(io::Error::from_raw_os_error(libc::EPERM)),
        _ => Ok(()),
    }
}

/// Fails with EPERM where no memory is locked.
fn locked() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|it| it.starts_with("VmLck:"));
    let locked = line.and_then(|it| it.split_whitespace().nth(1)?.parse::<u64>().ok());
    match locked {
        None | Some(0) => Err(io::Error::from_raw_os_error(libc::EPERM)),
        Some(_) => Ok(()),
    }
}

/// What a trusted program does: takes memory and gives it back, starts threads, draws random bytes, waits, survives a panic, says something.
fn work() -> io::Result<()> {
    let mut all = Vec::new();
    for round in 0..8_usize {
        all.push(vec![round as u8; (round + 1) << 20]);
    }
    all.iter_mut().for_each(|it| it.reserve(9 << 20));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    vec![number; 3 << 20].len()
                })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread?.join().unwrap(), 3 << 20);
    }
    let mut bytes = [0; 32];
    entropy(&mut bytes);
    assert_ne!(bytes, [0; 32]);
    let caught = std::panic::catch_unwind(|| panic!("as this test wants it"));
    assert!(caught.is_err());
    drop(all);
    stdout().write_all(b"done\n")
}

/// Starts a probe and tells how its attempt ended, and what it said.
fn ended(layers: &str, attempt: &str) -> (End, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // To tell where a panic was, files are read.
    let command = command.env_clear().args(["probe", layers, attempt]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let end = match (output.status.code(), output.status.signal()) {
        (Some(0), _) => End::Done,
        (Some(error @ 1..=199), _) => End::Refused(error),
        (_, Some(libc::SIGSYS)) => End::Killed,
        _ => panic!("{layers}, {attempt}: {:?} {said}", output.status),
    };
    (end, said)
}

/// Whether a test could not be done, since this system lacks a layer.
static LACKS_A_LAYER: AtomicBool = AtomicBool::new(false);

/// Something is possible, and with the layers no more.
#[track_caller]
fn is_kept_away(layers: &str, attempt: &str, expected: End) {
    assert_eq!(ended("", attempt).0, End::Done, "{attempt} alone");
    let (end, said) = ended(layers, attempt);
    if said.contains("without a part of the sandbox") {
        note(&said);
        LACKS_A_LAYER.store(true, Relaxed);
        return;
    }
    assert_eq!(end, expected, "{attempt} with {layers}: {said}");
}

fn system_calls_that_are_not_needed_end_the_program() {
    for attempt in [
        "connect",
        "socket",
        "fork",
        "read another process",
        "signal",
        "execute memory",
    ] {
        is_kept_away("system-calls", attempt, End::Killed);
    }
    for attempt in ["exec", "ptrace", "mount"] {
        assert_eq!(ended("system-calls", attempt).0, End::Killed, "{attempt}");
    }
}

fn what_libraries_ask_for_of_themselves_is_refused_and_ends_nothing() {
    for attempt in ["open", "create"] {
        is_kept_away("system-calls", attempt, End::Refused(libc::ENOSYS));
    }
}

fn landlock_keeps_files_and_addresses_away() {
    for attempt in ["open", "create", "connect"] {
        is_kept_away("landlock", attempt, End::Refused(libc::EACCES));
    }
}

fn landlock_keeps_signals_to_others_away() {
    is_kept_away("landlock", "signal", End::Refused(libc::EPERM));
}

fn namespaces_leave_no_network_and_no_other_process() {
    is_kept_away("namespaces", "connect", End::Refused(libc::ENETUNREACH));
    is_kept_away(
        "namespaces",
        "read another process",
        End::Refused(libc::EPERM),
    );
}

fn descriptors_of_whoever_started_it_are_closed() {
    is_kept_away(
        "descriptors",
        "read what was open",
        End::Refused(libc::EBADF),
    );
}

fn no_core_is_dumped_and_nobody_reads_its_memory() {
    match ended("", "core").0 {
        End::Done => is_kept_away("core-dumps", "core", End::Refused(libc::EPERM)),
        _ => LACKS_A_LAYER.store(true, Relaxed),
    }
    is_kept_away("not-dumpable", "dumpable", End::Refused(libc::EPERM));
}

/// As another user, who is no administrator: both programs are this user's, and one tries to read the other.
fn a_process_of_the_same_user_reads_nothing_of_it() {
    if !is_root() {
        note("only an administrator starts programs as another user");
        LACKS_A_LAYER.store(true, Relaxed);
        return;
    }
    let folder = Path::new("/tmp").join(format!("securecloud-sandbox-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.join("probe");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let reads = |layers: &str| {
        let mut waits = Command::new(&program);
        waits
            .args(["probe", layers, "wait"])
            .uid(NOBODY)
            .gid(NOBODY);
        waits.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = waits.spawn().unwrap();
        // It has confined itself when it is waiting.
        let stat = format!("/proc/{}/syscall", child.id());
        while !fs::read_to_string(&stat).is_ok_and(|it| it.starts_with("0 ")) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut reader = Command::new("/bin/cat");
        reader.arg(format!("/proc/{}/environ", child.id()));
        reader.uid(NOBODY).gid(NOBODY);
        let read = reader.output().unwrap().status.success();
        drop(child.stdin.take());
        child.wait().unwrap();
        read
    };

    let (open, confined) = (reads(""), reads("not-dumpable"));

    fs::remove_dir_all(&folder).unwrap();
    assert!(open, "without the layer it can be read");
    assert!(!confined);
}

const NOBODY: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

fn memory_is_locked_or_that_it_is_not_is_said_with_the_fix() {
    let (end, said) = ended("locked-memory", "locked");
    let is_missing = said.contains("may be swapped");

    assert_eq!(ended("", "locked").0, End::Refused(libc::EPERM));
    match is_missing {
        true => assert!(said.contains("ulimit -l"), "{said}"),
        false => assert_eq!(end, End::Done, "{said}"),
    }
}

fn with_all_layers_a_program_works() {
    let (end, said) = ended("all", "work");

    assert_eq!(end, End::Done, "{said}");
}

fn with_all_layers_nothing_of_the_host_is_within_reach() {
    for attempt in ["open", "create", "read what was open"] {
        let (end, said) = ended("all", attempt);
        assert!(matches!(end, End::Refused(_)), "{attempt}: {end:?} {said}");
    }
    for attempt in [
        "connect", "socket", "fork", "exec", "ptrace", "signal", "mount",
    ] {
        assert_eq!(ended("all", attempt).0, End::Killed, "{attempt}");
    }
}

fn note(text: &str) {
    writeln!(stdout(), "  ({text})").unwrap();
}

type Test = (&'static str, fn());

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        const TESTS: &[Test] = &[$((stringify!($name), $name as fn())),*];
    };
}

tests!(
    system_calls_that_are_not_needed_end_the_program,
    what_libraries_ask_for_of_themselves_is_refused_and_ends_nothing,
    landlock_keeps_files_and_addresses_away,
    landlock_keeps_signals_to_others_away,
    namespaces_leave_no_network_and_no_other_process,
    descriptors_of_whoever_started_it_are_closed,
    no_core_is_dumped_and_nobody_reads_its_memory,
    a_process_of_the_same_user_reads_nothing_of_it,
    memory_is_locked_or_that_it_is_not_is_said_with_the_fix,
    with_all_layers_a_program_works,
    with_all_layers_nothing_of_the_host_is_within_reach,
);

/// Runs the tests whose names hold the word that was given, and tells of each.
fn run_all() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let word = arguments
        .find(|it| !it.starts_with('-'))
        .unwrap_or_default();
    if std::env::args().any(|it| it == "--list") {
        TESTS.iter().for_each(|(name, _)| note(name));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&word)) {
        let is_ok = std::panic::catch_unwind(test).is_ok();
        let lacks_a_layer = LACKS_A_LAYER.swap(false, Relaxed);
        let (count, end) = match (is_ok, lacks_a_layer) {
            (false, _) => (&mut failed, "FAILED"),
            (true, true) => (&mut ignored, "ignored, it cannot be tried here"),
            (true, false) => (&mut passed, "ok"),
        };
        *count += 1;
        writeln!(stdout(), "test {name} ... {end}").unwrap();
    }
    let end = if failed == 0 { "ok" } else { "FAILED" };
    writeln!(stdout(), "test result: {end}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out").unwrap();
    ExitCode::from(u8::from(failed > 0))
}
