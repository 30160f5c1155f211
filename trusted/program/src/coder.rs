//! Which processors the coding program uses.
//!
//! Invariant: what is chosen changes how fast answers come, and nothing in them.

use std::ffi::OsString;

use sc_erasure::{Features, Kernel};

use crate::pool::THREADS_MAX;
use crate::processors::{ProcessorsError, threads_at_once};

/// What a coding program is asked to use; the best there is of what it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoderChoice {
    /// The name of a form of the vector instructions.
    pub kernel: Option<String>,
    /// Threads in all.
    pub threads: Option<usize>,
}

impl CoderChoice {
    /// Reads a program's arguments, without its name.
    ///
    /// # Errors
    /// [`ProcessorsError::Argument`] or [`ProcessorsError::Threads`].
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, ProcessorsError> {
        let mut choice = Self::default();
        let mut arguments = arguments.map(|it| it.to_string_lossy().into_owned());
        while let Some(argument) = arguments.next() {
            match (argument.as_str(), arguments.next()) {
                ("--kernel", Some(name)) => choice.kernel = Some(name),
                ("--threads", Some(count)) => match count.parse() {
                    Ok(count @ 1..=THREADS_MAX) => choice.threads = Some(count),
                    _ => return Err(ProcessorsError::Threads(count)),
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
        kernel.chain(threads).collect()
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
            has: Kernel::supported(features()).map(Kernel::name).collect(),
        })
    }

    /// Threads: as many as were chosen, or as the machine runs at once.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
            .unwrap_or_else(threads_at_once)
            .clamp(1, THREADS_MAX)
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Features {
    Features {
        avx2: is_x86_feature_detected!("avx2"),
        gfni: is_x86_feature_detected!("gfni"),
        avx512: is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Features {
    Features::none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_back_from_its_arguments() {
        for line in ["", "--kernel portable", "--kernel x --threads 7"] {
            let words = line.split_whitespace().map(OsString::from);

            let choice = CoderChoice::parse(words).unwrap();

            assert_eq!(choice.arguments().join(" "), line);
        }
    }

    #[test]
    fn a_kernel_that_is_not_there_is_an_error_that_names_those_that_are() {
        let choice = CoderChoice {
            kernel: Some("sse9".into()),
            threads: None,
        };

        let error = choice.kernel().unwrap_err().to_string();

        assert!(error.contains("sse9") && error.contains("portable"));
    }
}
