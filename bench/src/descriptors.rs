//! How many files and sockets this process and its children may have open.
//!
//! Invariant: a campaign that needs more than the system allows says so before anything is measured.

use anyhow::{Context, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beyond one for each consumer: what a process has open anyway.
const MARGIN: u64 = 256;

/// Raises the limit to what the system allows at most, for this process and the children that it starts from now on.
///
/// # Errors
/// Fewer than `needed` and a margin are allowed: the error names the command that changes it.
pub(crate) fn raise(needed: u64) -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of open files cannot be raised")?;
    let needed = needed + MARGIN;
    ensure!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "this campaign needs {needed} open files in one process: raise the limit with `ulimit -Hn {needed}`, as root"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_allows_is_allowed_afterwards() {
        raise(1).unwrap();

        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn more_than_the_system_allows_is_an_error_that_names_the_command() {
        if getrlimit(Resource::Nofile).maximum.is_none() {
            return;
        }

        let error = raise(u64::MAX - MARGIN).unwrap_err().to_string();

        assert!(error.contains("ulimit -Hn"), "{error}");
    }
}
