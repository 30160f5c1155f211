//! Which processors a trusted program uses, and how.
//!
//! Invariant: what is chosen here changes nothing of a program's answers to what it admits. It changes how fast they come and, with
//! `--oblivious`, what the memory that is touched shows of what matches, and how wide filters may be; nobody but the host can tell which was chosen, for arguments are not measured.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use sc_cbr::Processors;
use sc_matching::{Features, Kernel};

use crate::pool::{Pool, THREADS_MAX};

/// The names of all forms of the vector instructions.
const KERNELS: [&str; 3] = ["portable", "avx2", "avx512"];

/// Slots of an answer of the oblivious matcher, if they are not named.
pub const OBLIVIOUS_MATCHES: usize = 64;
/// Most slots that can be named.
pub const OBLIVIOUS_MATCHES_MAX: usize = 1 << 18;

/// Why a program cannot use its processors as it is asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessorsError {
    /// This processor does not have the form that was named: choose one of those that it has, or name none.
    #[error("kernel {name}: this processor has {}", .has.join(", "))]
    Kernel {
        /// What was asked for.
        name: String,
        /// What there is.
        has: Vec<&'static str>,
    },
    /// No number of threads.
    #[error("threads {0}: expected a number from 1 to {THREADS_MAX}")]
    Threads(String),
    /// No number of slots.
    #[error("oblivious-matches {0}: expected a number from 1 to {OBLIVIOUS_MATCHES_MAX}")]
    ObliviousMatches(String),
    /// No argument of a trusted program, or one without its value.
    #[error(
        "unexpected argument {0}: expected --kernel NAME, --threads N, --oblivious or --oblivious-matches N"
    )]
    Argument(String),
    /// The system starts no more threads: ask for fewer.
    #[error("a thread does not start: {0}")]
    Start(#[source] io::Error),
}

/// What a program is asked to use; the best there is of what it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The name of a form of the vector instructions.
    pub kernel: Option<String>,
    /// Threads in all.
    pub threads: Option<usize>,
    /// Whether matching shows by the memory that it touches what matches, or does not and costs a full pass.
    pub oblivious: bool,
    /// Slots of an answer, if it does not; [`OBLIVIOUS_MATCHES`] if not given.
    pub oblivious_matches: Option<usize>,
}

impl Choice {
    /// Reads a program's arguments, without its name.
    ///
    /// # Errors
    /// [`ProcessorsError::Argument`], [`ProcessorsError::Threads`] or [`ProcessorsError::ObliviousMatches`].
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, ProcessorsError> {
        let mut choice = Self::default();
        let mut arguments = arguments.map(|it| it.to_string_lossy().into_owned());
        while let Some(argument) = arguments.next() {
            if argument == "--oblivious" {
                choice.oblivious = true;
                continue;
            }
            let value = arguments.next();
            match (argument.as_str(), value) {
                ("--kernel", Some(name)) => choice.kernel = Some(name),
                ("--threads", Some(count)) => match count.parse() {
                    Ok(count @ 1..=THREADS_MAX) => choice.threads = Some(count),
                    _ => return Err(ProcessorsError::Threads(count)),
                },
                ("--oblivious-matches", Some(count)) => match count.parse() {
                    Ok(count @ 1..=OBLIVIOUS_MATCHES_MAX) => {
                        choice.oblivious_matches = Some(count);
                    }
                    _ => return Err(ProcessorsError::ObliviousMatches(count)),
                },
                _ => return Err(ProcessorsError::Argument(argument)),
            }
        }
        Ok(choice)
    }

    /// What [`Self::parse`] reads as this choice.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let kernel = self.kernel.iter();
        let kernel = kernel.flat_map(|name| ["--kernel".into(), name.clone()]);
        let threads = self.threads.iter();
        let threads = threads.flat_map(|count| ["--threads".into(), count.to_string()]);
        let oblivious = self.oblivious.then(|| "--oblivious".into());
        let matches = self.oblivious_matches.iter();
        let matches = matches.flat_map(|count| ["--oblivious-matches".into(), count.to_string()]);
        kernel
            .chain(threads)
            .chain(oblivious)
            .chain(matches)
            .collect()
    }

    /// The form of the vector instructions that was chosen.
    ///
    /// # Errors
    /// [`ProcessorsError::Kernel`] when this processor does not have it.
    pub fn kernel(&self) -> Result<Kernel, ProcessorsError> {
        let Some(name) = &self.kernel else {
            return Ok(Kernel::fastest(features()));
        };
        Kernel::named(name).ok_or_else(|| ProcessorsError::Kernel {
            name: name.clone(),
            has: kernels(),
        })
    }

    /// Slots of an answer to a header, if it is matched without showing what matches.
    fn slots(&self) -> Option<NonZeroUsize> {
        let slots = self.oblivious_matches.unwrap_or(OBLIVIOUS_MATCHES);
        NonZeroUsize::new(slots).filter(|_| self.oblivious)
    }

    /// The same with what depends on the system asked for, so that nothing is to be asked any more.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.threads.get_or_insert_with(threads_at_once);
        self
    }

    /// Starts the threads: as many as were chosen, or as the machine runs at once.
    ///
    /// # Errors
    /// [`ProcessorsError::Kernel`] or [`ProcessorsError::Start`].
    pub fn start(&self) -> Result<Processors, ProcessorsError> {
        let kernel = self.kernel()?;
        let pool = Pool::start(self.threads.unwrap_or_else(threads_at_once));
        Ok(Processors {
            kernel,
            workers: Arc::new(pool.map_err(ProcessorsError::Start)?),
            oblivious: self.slots(),
        })
    }
}

/// Threads that the machine runs at once.
pub(crate) fn threads_at_once() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The names of the forms of the vector instructions that this processor has.
fn kernels() -> Vec<&'static str> {
    let has = |name: &&str| Kernel::named(name).is_some();
    KERNELS.into_iter().filter(has).collect()
}

#[cfg(target_arch = "x86_64")]
fn features() -> Features {
    Features {
        avx2: is_x86_feature_detected!("avx2"),
        avx512: is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Features {
    Features::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Choice, String> {
        let words = line.split_whitespace().map(OsString::from);
        Choice::parse(words).map_err(|error| error.to_string())
    }

    #[test]
    fn a_choice_reads_back_from_its_arguments() {
        for line in [
            "",
            "--kernel avx2",
            "--threads 7",
            "--kernel x --threads 1",
            "--oblivious",
            "--kernel x --threads 1 --oblivious --oblivious-matches 7",
        ] {
            let choice = parse(line).unwrap();

            assert_eq!(choice.arguments().join(" "), line);
        }
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for line in [
            "--kernel",
            "--threads",
            "--oblivious-matches",
            "--oblivious yes",
            "kernel avx2",
            "--colour red",
            "x",
        ] {
            assert!(parse(line).unwrap_err().starts_with("unexpected argument"));
        }
        for count in ["0", "257", "-1", "two", "99999999999999999999"] {
            let error = parse(&format!("--threads {count}")).unwrap_err();
            assert_eq!(
                error,
                format!("threads {count}: expected a number from 1 to 256")
            );
        }
        for count in ["0", "262145", "-1", "few"] {
            let error = parse(&format!("--oblivious-matches {count}")).unwrap_err();
            assert_eq!(
                error,
                format!("oblivious-matches {count}: expected a number from 1 to 262144")
            );
        }
    }

    #[test]
    fn a_kernel_that_is_not_there_is_an_error_that_names_those_that_are() {
        let error = parse("--kernel sse9").unwrap().start().err().unwrap();

        let said = error.to_string();
        assert!(said.starts_with("kernel sse9: this processor has portable"));
        for name in kernels() {
            assert!(said.contains(name));
        }
    }

    #[test]
    fn what_is_chosen_is_used_and_the_fastest_otherwise() {
        let portable = parse("--kernel portable --threads 3").unwrap();
        let chosen = portable.start().unwrap();
        let fastest = Choice::default().kernel().unwrap();

        assert_eq!(chosen.kernel, Kernel::PORTABLE);
        assert_eq!(chosen.workers.count(), 2);
        assert_eq!(Some(&fastest.name()), kernels().last());
        assert_eq!(chosen.oblivious, None);
    }

    #[test]
    fn oblivious_matching_has_slots_as_many_as_were_chosen() {
        let slots = |line: &str| parse(line).unwrap().start().unwrap().oblivious;

        assert_eq!(slots("--oblivious").map(usize::from), Some(64));
        assert_eq!(
            slots("--oblivious --oblivious-matches 5").map(usize::from),
            Some(5)
        );
        assert_eq!(slots("--oblivious-matches 5"), None);
    }
}
