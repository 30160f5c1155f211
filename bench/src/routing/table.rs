//! The results, for people and for programs.
//!
//! Invariant: every figure is a median over the runs of its row. Latency is not measured by this campaign: a source that
//! publishes as fast as it can measures its own queue.

use std::io::{self, Write};

use crate::median::Sorted;
use crate::report::{line, table};

use super::Row;
use super::run::Sample;

const COLUMNS: &str = "mode,platform,subscriptions,publications,expected,delivered,pubs_per_s,router_cpu_us_per_pub,\
source_cpu_us_per_pub,consumer_cpu_us_per_pub,parse_s,p50_ms,p99_ms,runs";

const HEADS: [&str; 12] = [
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
];

impl Row<'_> {
    fn sorted(&self, figure: impl Fn(&Sample) -> f64) -> Sorted {
        Sorted::new(self.samples.iter().map(figure))
    }

    fn per_publication(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        self.sorted(|sample| sample.per_publication(figure(sample)))
            .median()
    }
}

/// Prints a table in Markdown.
pub(super) fn print(rows: &[Row<'_>]) {
    let heads = HEADS.map(str::to_owned).to_vec();
    let body = rows.iter().map(|row| {
        let rate = row.sorted(Sample::publications_per_s);
        let us = |figure: fn(&Sample) -> f64| format!("{:.3}", row.per_publication(figure));
        vec![
            row.case.mode.to_string(),
            row.case.platform.to_string(),
            row.case.subscriptions.to_string(),
            row.samples[0].publications.to_string(),
            row.case.deliveries().to_string(),
            row.samples[0].delivered.to_string(),
            format!("{:.0}", rate.median()),
            format!("{:.0}-{:.0}", rate.min(), rate.max()),
            us(|sample| sample.router_cpu_us),
            us(|sample| sample.source_cpu_us),
            us(|sample| sample.consumer_cpu_us),
            format!("{:.4}", row.sorted(|sample| sample.parse_s).median()),
        ]
    });
    table(&std::iter::once(heads).chain(body).collect::<Vec<_>>());
    line("");
    line(&format!(
        "Medians of {} runs of each row, taken in turn; every run delivered exactly what a plain scan expects.",
        rows.first().map_or(0, |row| row.samples.len())
    ));
    line(
        "Router: with its trusted program. Latency is not measured. docs/BENCHMARKS.md says what this means.",
    );
}

/// Writes the same as comma-separated values; the columns of latency stay empty.
pub(super) fn write_csv(rows: &[Row<'_>], mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{COLUMNS}")?;
    for row in rows {
        writeln!(
            out,
            "{},{},{},{},{},{},{:.0},{:.4},{:.4},{:.4},{:.6},,,{}",
            row.case.mode,
            row.case.platform,
            row.case.subscriptions,
            row.samples[0].publications,
            row.case.deliveries(),
            row.samples[0].delivered,
            row.sorted(Sample::publications_per_s).median(),
            row.per_publication(|sample| sample.router_cpu_us),
            row.per_publication(|sample| sample.source_cpu_us),
            row.per_publication(|sample| sample.consumer_cpu_us),
            row.sorted(|sample| sample.parse_s).median(),
            row.samples.len(),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::{Mode, Platform};
    use crate::routing::run::Case;
    use crate::workload::Workload;

    fn sample(seconds: f64) -> Sample {
        Sample {
            publications: 100,
            delivered: 7,
            seconds,
            router_cpu_us: 100.0 * seconds,
            source_cpu_us: 50.0,
            consumer_cpu_us: 25.0,
            parse_s: 0.5,
        }
    }

    #[test]
    fn a_row_has_the_medians_under_the_columns_that_programs_expect() {
        let workload = Workload {
            publications_text: String::new(),
            subscriptions_text: String::new(),
            description: String::new(),
        };
        let row = Row {
            case: Case {
                mode: Mode::Plain,
                platform: Platform::Inline,
                subscriptions: 1000,
                workload: &workload,
                expected: &BTreeMap::from([(1, 7)]),
                repeat: 1,
                payload_bytes: 64,
            },
            samples: vec![sample(4.0), sample(1.0), sample(2.0)],
        };

        let mut csv = Vec::new();
        write_csv(&[row], &mut csv).unwrap();

        let csv = String::from_utf8(csv).unwrap();
        let (heads, values) = csv.trim_end().split_once('\n').unwrap();
        assert_eq!(
            heads,
            "mode,platform,subscriptions,publications,expected,delivered,pubs_per_s,router_cpu_us_per_pub,\
             source_cpu_us_per_pub,consumer_cpu_us_per_pub,parse_s,p50_ms,p99_ms,runs"
        );
        assert_eq!(
            values,
            "plain,inline,1000,100,7,7,50,2.0000,0.5000,0.2500,0.500000,,,3"
        );
    }
}
