//! Counts tests in what `cargo test` prints while it prints it.
//!
//! Invariant: a total is given only when every test binary that announced its tests also reported on all of them.
//! Source: libtest's lines `running N tests` and `test result: …`.

/// What `cargo test` has reported so far.
#[derive(Debug, Default)]
pub struct Tally {
    announced: Vec<u64>,
    reports: Vec<Report>,
}

#[derive(Debug)]
struct Report {
    line: String,
    passed: u64,
    failed: u64,
    ignored: u64,
    measured: u64,
}

impl Report {
    fn tests(&self) -> u64 {
        self.passed + self.failed + self.ignored + self.measured
    }
}

/// Sums over all test binaries.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Total {
    /// Tests that held.
    pub passed: u64,
    /// Tests that did not.
    pub failed: u64,
    /// Tests that were not run.
    pub ignored: u64,
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(f, ", {} ignored", self.ignored)
        } else {
            Ok(())
        }
    }
}

impl Tally {
    /// Takes one line of output.
    pub fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(count) = line
            .strip_prefix("running ")
            .and_then(|rest| rest.strip_suffix(" tests").or(rest.strip_suffix(" test")))
        {
            self.announced.extend(count.parse::<u64>());
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                counts
                    .split([';', '.'])
                    .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
            };
            if let (Some(passed), Some(failed), Some(ignored)) =
                (count("passed"), count("failed"), count("ignored"))
            {
                let measured = count("measured").unwrap_or(0);
                self.reports.push(Report {
                    line: line.to_owned(),
                    passed,
                    failed,
                    ignored,
                    measured,
                });
            }
        }
    }

    /// Cargo's own summary lines, of the binaries that have tests.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.reports
            .iter()
            .filter(|report| report.tests() > 0)
            .map(|report| report.line.as_str())
    }

    /// The sums; `None` when nothing ran, or when a binary died before it reported.
    pub fn total(&self) -> Option<Total> {
        let reported: Vec<u64> = self.reports.iter().map(Report::tests).collect();
        let sum = |count: fn(&Report) -> u64| self.reports.iter().map(count).sum();
        (reported == self.announced && !reported.is_empty()).then(|| Total {
            passed: sum(|r| r.passed),
            failed: sum(|r| r.failed),
            ignored: sum(|r| r.ignored),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s";
    const BAD: &str = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
    const NONE: &str = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn the_reports_of_all_binaries_are_added_up() {
        let tally = tally(&[
            "running 4 tests",
            "test a ... ok",
            GOOD,
            "",
            "running 3 tests",
            BAD,
            "running 0 tests",
            NONE,
        ]);

        assert_eq!(
            tally.total(),
            Some(Total {
                passed: 4,
                failed: 2,
                ignored: 1
            })
        );
    }

    #[test]
    fn a_binary_without_tests_is_left_out_of_the_lines() {
        let tally = tally(&["running 0 tests", NONE, "running 4 tests", GOOD]);

        assert_eq!(tally.lines().collect::<Vec<_>>(), [GOOD]);
    }

    #[test]
    fn a_binary_that_dies_leaves_no_total() {
        assert_eq!(
            tally(&["running 4 tests", GOOD, "running 7 tests"]).total(),
            None
        );
        assert_eq!(
            tally(&["running 9 tests", "running 4 tests", GOOD]).total(),
            None
        );
    }

    #[test]
    fn a_test_that_prints_a_report_leaves_no_total() {
        assert_eq!(tally(&["running 4 tests", BAD, GOOD]).total(), None);
    }

    #[test]
    fn no_output_is_no_total() {
        assert_eq!(tally(&[]).total(), None);
        assert_eq!(tally(&["test result: what is this"]).total(), None);
    }

    #[test]
    fn a_lone_test_is_announced_in_the_singular() {
        let one = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";

        assert_eq!(
            tally(&["running 1 test", one]).total().unwrap().to_string(),
            "1 passed, 0 failed"
        );
    }

    #[test]
    fn ignored_tests_are_said() {
        assert_eq!(
            tally(&["running 4 tests", GOOD])
                .total()
                .unwrap()
                .to_string(),
            "3 passed, 0 failed, 1 ignored"
        );
    }
}
