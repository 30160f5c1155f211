//! The results, for people and for programs.
//!
//! Invariant: a cell that was not measured says why, in words, below the table.

use std::io::{self, Write};

use super::engine::EngineName;
use super::language::Unsupported;
use super::workload::WorkloadName;
use crate::median::Sorted;
use crate::report::{line, table};

const COLUMNS: &str = "workload,subscriptions,engine,ns_per_publication,ns_per_publication_runs,matches_per_publication,\
insert_ns,delete_ns,bytes_per_subscription,build_s,longest_call_us,p999_call_us,ns_min,ns_max,runs";

const HEADS: [&str; 13] = [
    "workload",
    "subscriptions",
    "engine",
    "ns/pub",
    "of all runs",
    "as runs",
    "matches/pub",
    "insert ns",
    "delete ns",
    "B/subscription",
    "build s",
    "longest call us",
    "p99.9 us",
];

/// One engine in one cell.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) workload: WorkloadName,
    pub(super) subscriptions: u32,
    pub(super) engine: EngineName,
    pub(super) figures: Result<Figures, Unsupported>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    /// With the ids written into a list.
    pub(super) ns_per_publication: Sorted,
    /// With the matches counted only, for an engine that keeps them as runs.
    pub(super) ns_of_runs: Option<f64>,
    pub(super) matches_per_publication: f64,
    pub(super) insert_ns: f64,
    pub(super) delete_ns: Option<f64>,
    pub(super) bytes_per_subscription: f64,
    pub(super) build_s: f64,
    /// The longest insertion or removal, in the thread's processor time.
    pub(super) longest_call_us: Option<f64>,
    /// What 99.9 % of insertions and removals do not exceed, on the wall.
    pub(super) p999_call_us: Option<f64>,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.workload.name(),
            self.subscriptions.to_string(),
            self.engine.to_string(),
        ];
        let Ok(figures) = &self.figures else {
            cells.resize(HEADS.len(), "-".to_owned());
            return cells;
        };
        let whole = |value: f64| format!("{value:.0}");
        let or_dash = |value: Option<f64>| value.map_or("-".to_owned(), whole);
        let us = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let times = &figures.ns_per_publication;
        cells.extend([
            whole(times.median()),
            format!("{:.0}-{:.0}", times.min(), times.max()),
            or_dash(figures.ns_of_runs),
            format!("{:.1}", figures.matches_per_publication),
            whole(figures.insert_ns),
            or_dash(figures.delete_ns),
            whole(figures.bytes_per_subscription),
            format!("{:.3}", figures.build_s),
            us(figures.longest_call_us),
            us(figures.p999_call_us),
        ]);
        cells
    }

    fn values(&self, runs: usize) -> Vec<String> {
        let mut values = vec![
            self.workload.name(),
            self.subscriptions.to_string(),
            self.engine.to_string(),
        ];
        let Ok(figures) = &self.figures else {
            values.resize(COLUMNS.split(',').count(), String::new());
            return values;
        };
        let figure = |value: f64| format!("{value:.3}");
        let or_empty = |value: Option<f64>| value.map(figure).unwrap_or_default();
        let times = &figures.ns_per_publication;
        values.extend([
            figure(times.median()),
            or_empty(figures.ns_of_runs),
            figure(figures.matches_per_publication),
            figure(figures.insert_ns),
            or_empty(figures.delete_ns),
            figure(figures.bytes_per_subscription),
            format!("{:.6}", figures.build_s),
            or_empty(figures.longest_call_us),
            or_empty(figures.p999_call_us),
            figure(times.min()),
            figure(times.max()),
            runs.to_string(),
        ]);
        values
    }
}

/// Prints a table in Markdown, and why cells are empty.
pub(super) fn print(rows: &[Row], runs: u32) {
    let heads = HEADS.map(str::to_owned).to_vec();
    let body = rows.iter().map(Row::cells);
    line("");
    table(&std::iter::once(heads).chain(body).collect::<Vec<_>>());
    line("");
    for row in rows {
        if let Err(reason) = &row.figures {
            let (workload, count) = (row.workload.name(), row.subscriptions);
            line(&format!(
                "{} on {workload} with {count}: {reason}.",
                row.engine
            ));
        }
    }
    line(&format!(
        "Medians of {runs} runs of each engine, taken in turn, in one thread; each engine found what a plain scan finds."
    ));
    line(
        "ns/pub: match a header, write the ids into a list; as runs: count them only. docs/BENCHMARKS.md says what this means.",
    );
}

/// Writes the same as comma-separated values; what was not measured stays empty.
pub(super) fn write_csv(rows: &[Row], mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{COLUMNS}")?;
    for row in rows {
        let runs = row.figures.as_ref();
        let runs = runs.map_or(0, |figures| figures.ns_per_publication.len());
        writeln!(out, "{}", row.values(runs).join(","))?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn row(engine: EngineName, subscriptions: u32, ns: f64) -> Row {
        Row {
            workload: WorkloadName::Range0,
            subscriptions,
            engine,
            figures: Ok(Figures {
                ns_per_publication: Sorted::new([ns, ns * 2.0, ns / 2.0]),
                ns_of_runs: None,
                matches_per_publication: 66.0,
                insert_ns: 300.0,
                delete_ns: Some(100.0),
                bytes_per_subscription: 20.0,
                build_s: 0.5,
                longest_call_us: Some(40.0),
                p999_call_us: Some(8.0),
            }),
        }
    }

    #[test]
    fn a_row_has_the_figures_under_the_columns_that_programs_expect() {
        let mut refused = row(EngineName::ATree, 1000, 1.0);
        refused.figures = Err(Unsupported::because("too many"));

        let mut csv = Vec::new();
        write_csv(&[row(EngineName::Index, 1000, 100.0), refused], &mut csv).unwrap();

        let csv = String::from_utf8(csv).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines,
            [
                "workload,subscriptions,engine,ns_per_publication,ns_per_publication_runs,matches_per_publication,\
                 insert_ns,delete_ns,bytes_per_subscription,build_s,longest_call_us,p999_call_us,ns_min,ns_max,runs",
                "range0,1000,index,100.000,,66.000,300.000,100.000,20.000,0.500000,40.000,8.000,50.000,200.000,3",
                "range0,1000,a-tree,,,,,,,,,,,,",
            ]
        );
    }

    #[test]
    fn a_cell_that_was_not_measured_is_dashes() {
        let mut refused = row(EngineName::ATree, 1000, 1.0);
        refused.figures = Err(Unsupported::because("too many"));

        let cells = refused.cells();

        assert_eq!(cells.len(), HEADS.len());
        assert!(cells[3..].iter().all(|cell| cell == "-"));
    }
}
