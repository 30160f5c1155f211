//! The results, for people and for programs.
//!
//! Invariant: every figure is a median over the runs of its row; what was delivered is the least of them.

use std::io::{self, Write};

use crate::median::Sorted;
use crate::report::{line, table};

use super::case::{Delays, Sample, System};
use super::{Row, STAMPED_BYTES_MIN};

/// For programs.
const COLUMNS: [&str; 15] = [
    "mode",
    "platform",
    "subscriptions",
    "publications",
    "expected",
    "delivered",
    "pubs_per_s",
    "router_cpu_us_per_pub",
    "source_cpu_us_per_pub",
    "consumer_cpu_us_per_pub",
    "parse_s",
    "p50_ms",
    "p99_ms",
    "runs",
    "paced_pubs_per_s",
];

/// For people.
const HEADS: [&str; 14] = [
    "mode",
    "platform",
    "subscriptions",
    "publications",
    "expected",
    "delivered",
    "pubs/s",
    "of all runs",
    "router us/pub",
    "source us/pub",
    "consumer us/pub",
    "parse s",
    "p50 ms",
    "p99 ms",
];

/// In the place of the platform of a peer that is not installed.
const NOT_INSTALLED: &str = "not installed";

impl Row<'_> {
    fn sorted(&self, figure: impl Fn(&Sample) -> f64) -> Sorted {
        Sorted::new(self.samples.iter().map(figure))
    }

    fn per_publication(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        self.sorted(|sample| sample.per_publication(figure(sample)))
            .median()
    }

    /// The median over the runs, in milliseconds; empty if it was not measured.
    fn delay(&self, figure: impl Fn(&Delays) -> f64) -> String {
        if self.delays.is_empty() {
            return String::new();
        }
        let delays = Sorted::new(self.delays.iter().map(figure));
        format!("{:.3}", delays.median())
    }

    /// In the worst of its runs; `None` without runs.
    fn delivered(&self) -> Option<u64> {
        self.samples.iter().map(|sample| sample.delivered).min()
    }

    /// What both tables begin with: who, where, and what was to be delivered.
    fn begin(&self) -> Vec<String> {
        let is_installed = !self.samples.is_empty();
        let platform = self.case.system.platform();
        vec![
            self.case.system.name(),
            if is_installed {
                platform
            } else {
                NOT_INSTALLED.into()
            },
            self.case.subscriptions.to_string(),
            self.samples
                .first()
                .map_or_else(String::new, |sample| sample.publications.to_string()),
            self.case.deliveries().to_string(),
        ]
    }
}

/// Prints a table in Markdown, and what has to be said of it.
pub(super) fn print(rows: &[Row<'_>], rate: Option<u32>) {
    let heads = HEADS.map(str::to_owned).to_vec();
    table(
        &std::iter::once(heads)
            .chain(rows.iter().map(cells))
            .collect::<Vec<_>>(),
    );
    line("");
    notes(rows, rate).iter().for_each(|note| line(note));
}

fn cells(row: &Row<'_>) -> Vec<String> {
    let mut cells = row.begin();
    let Some(delivered) = row.delivered() else {
        return cells;
    };
    let rate = row.sorted(Sample::publications_per_s);
    let us = |figure: fn(&Sample) -> f64| format!("{:.3}", row.per_publication(figure));
    cells.extend([
        delivered.to_string(),
        format!("{:.0}", rate.median()),
        format!("{:.0}-{:.0}", rate.min(), rate.max()),
        us(|sample| sample.router_cpu_us),
        us(|sample| sample.source_cpu_us),
        us(|sample| sample.consumer_cpu_us),
        format!("{:.4}", row.sorted(|sample| sample.parse_s).median()),
        row.delay(|delays| delays.p50_ms),
        row.delay(|delays| delays.p99_ms),
    ]);
    cells
}

/// What stands below the table.
fn notes(rows: &[Row<'_>], rate: Option<u32>) -> Vec<String> {
    let runs = rows.iter().map(|row| row.samples.len()).max().unwrap_or(0);
    let mut notes = vec![
        format!(
            "Medians of {runs} runs of each row, taken in turn; every run of ours delivered exactly what a plain scan expects."
        ),
        "Router: with its trusted program. docs/BENCHMARKS.md says what this means.".into(),
        match rate {
            Some(rate) => format!(
                "p50, p99: from the publisher's batch to the opened payload, in runs of their own at {rate} publications a second."
            ),
            None => format!(
                "Latency is not measured; --rate, and payloads of {STAMPED_BYTES_MIN} bytes or more, measure it."
            ),
        },
    ];
    if rows
        .iter()
        .any(|row| matches!(row.case.system, System::Peer(_)))
    {
        notes.push("Peers: without encryption, a topic for each symbol, the other constraints tested by the consumer; router: the peer's server.".into());
    }
    for row in rows {
        let expected = row.case.deliveries();
        match (row.case.system, row.delivered()) {
            (System::Peer(peer), None) => notes.push(format!("{peer}: {}", peer.how_to_install())),
            (System::Peer(_), Some(delivered)) if delivered < expected => notes.push(format!(
                "{}: {} of {expected} deliveries were lost in the worst run",
                row.case,
                expected - delivered
            )),
            _ => {}
        }
    }
    notes.dedup();
    notes
}

/// Writes the same as comma-separated values; what was not measured is empty.
pub(super) fn write_csv(
    rows: &[Row<'_>],
    rate: Option<u32>,
    mut out: impl Write,
) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))?;
    for row in rows {
        let mut values = row.begin();
        values.extend(figures(row, rate));
        values.resize(COLUMNS.len(), String::new());
        writeln!(out, "{}", values.join(","))?;
    }
    Ok(())
}

/// The figures of a row as programs read them.
fn figures(row: &Row<'_>, rate: Option<u32>) -> Vec<String> {
    let Some(delivered) = row.delivered() else {
        return Vec::new();
    };
    let us = |figure: fn(&Sample) -> f64| format!("{:.4}", row.per_publication(figure));
    vec![
        delivered.to_string(),
        format!("{:.0}", row.sorted(Sample::publications_per_s).median()),
        us(|sample| sample.router_cpu_us),
        us(|sample| sample.source_cpu_us),
        us(|sample| sample.consumer_cpu_us),
        format!("{:.6}", row.sorted(|sample| sample.parse_s).median()),
        row.delay(|delays| delays.p50_ms),
        row.delay(|delays| delays.p99_ms),
        row.samples.len().to_string(),
        rate.map_or_else(String::new, |rate| rate.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::{Mode, Platform};
    use crate::peers::Peer;
    use crate::routing::Case;
    use crate::workload::Workload;

    const OURS: System = System::SecureCloud {
        mode: Mode::Plain,
        platform: Platform::Inline,
    };

    fn sample(seconds: f64, delivered: u64) -> Sample {
        Sample {
            publications: 100,
            delivered,
            seconds,
            router_cpu_us: 100.0 * seconds,
            source_cpu_us: 50.0,
            consumer_cpu_us: 25.0,
            parse_s: 0.5,
        }
    }

    /// A row of which so much was measured.
    fn with_row<T>(
        system: System,
        samples: Vec<Sample>,
        delays: &[(f64, f64)],
        then: impl FnOnce(&[Row<'_>]) -> T,
    ) -> T {
        let workload = Workload {
            publications_text: String::new(),
            subscriptions_text: String::new(),
            description: String::new(),
        };
        let case = Case {
            system,
            subscriptions: 1000,
            workload: &workload,
            expected: &BTreeMap::from([(1, 7)]),
            repeat: 1,
            payload_bytes: 64,
        };
        let delays = delays.iter().map(|(p50_ms, p99_ms)| Delays {
            p50_ms: *p50_ms,
            p99_ms: *p99_ms,
        });
        then(&[Row {
            case,
            samples,
            delays: delays.collect(),
        }])
    }

    fn csv(rows: &[Row<'_>], rate: Option<u32>) -> String {
        let mut csv = Vec::new();
        write_csv(rows, rate, &mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let (heads, values) = csv.trim_end().split_once('\n').unwrap();
        assert_eq!(heads.split(',').count(), values.split(',').count());
        values.to_owned()
    }

    #[test]
    fn a_row_has_the_medians_under_the_columns_that_programs_expect() {
        let samples = vec![sample(4.0, 7), sample(1.0, 7), sample(2.0, 7)];
        let delays = [(3.0, 9.0), (1.0, 8.0), (2.0, 7.0)];

        let values = with_row(OURS, samples, &delays, |rows| csv(rows, Some(10_000)));

        assert_eq!(
            COLUMNS.join(","),
            "mode,platform,subscriptions,publications,expected,delivered,pubs_per_s,router_cpu_us_per_pub,\
             source_cpu_us_per_pub,consumer_cpu_us_per_pub,parse_s,p50_ms,p99_ms,runs,paced_pubs_per_s"
        );
        assert_eq!(
            values,
            "plain,inline,1000,100,7,7,50,2.0000,0.5000,0.2500,0.500000,2.000,8.000,3,10000"
        );
    }

    #[test]
    fn latency_that_was_not_measured_is_empty() {
        let values = with_row(OURS, vec![sample(2.0, 7)], &[], |rows| csv(rows, None));

        assert!(values.ends_with(",0.500000,,,1,"), "{values}");
    }

    #[test]
    fn what_a_peer_lost_in_its_worst_run_is_told() {
        let peer = System::Peer(Peer::Mosquitto);
        let samples = vec![sample(2.0, 7), sample(2.0, 4)];

        with_row(peer, samples, &[], |rows| {
            assert!(csv(rows, None).starts_with("mosquitto,-,1000,100,7,4,"));
            let told = notes(rows, None).join("\n");
            assert!(told.contains("3 of 7 deliveries were lost"), "{told}");
        });
    }

    #[test]
    fn a_peer_that_is_not_installed_has_a_row_that_says_so_and_a_note_with_the_remedy() {
        with_row(System::Peer(Peer::Nats), Vec::new(), &[], |rows| {
            assert_eq!(csv(rows, None), "nats,not installed,1000,,7,,,,,,,,,,");
            assert_eq!(cells(&rows[0])[1], "not installed");
            let told = notes(rows, None).join("\n");
            assert!(told.contains("apt-get install nats-server"), "{told}");
        });
    }
}
