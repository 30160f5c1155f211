//! The results, for people and for programs.

use std::io::{self, Write};

use super::client::Load;
use super::target::Target;
use crate::report::{line, table};

const COLUMNS: [&str; 10] = [
    "target",
    "policy",
    "op",
    "bytes",
    "clients",
    "ops_s",
    "mb_s",
    "p50_ms",
    "p99_ms",
    "cpu_s_per_gib",
];

/// One cell.
pub(super) struct Row(Vec<String>);

impl Row {
    pub(super) fn of(
        target: &dyn Target,
        op: &str,
        bytes: u64,
        clients: usize,
        load: Load,
    ) -> Self {
        let moved = (load.done * bytes) as f64;
        let gib = moved / f64::from(1 << 30);
        Self(vec![
            target.name().to_owned(),
            target.policy().to_owned(),
            op.to_owned(),
            bytes.to_string(),
            clients.to_string(),
            format!("{:.1}", load.done as f64 / load.seconds),
            format!("{:.1}", moved / 1e6 / load.seconds),
            format!("{:.3}", load.p50_ms),
            format!("{:.3}", load.p99_ms),
            format!("{:.2}", load.processor_s / gib),
        ])
    }
}

/// Prints a table in Markdown.
pub(super) fn print(rows: &[Row]) {
    line("one run; file and backend share the processor time of this program itself");
    line("");
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| row.0.clone()));
    table(&lines);
}

/// Writes comma-separated values.
///
/// # Errors
/// `out` cannot be written.
pub(super) fn write_csv(rows: &[Row], mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))?;
    for row in rows {
        writeln!(out, "{}", row.0.join(","))?;
    }
    Ok(())
}
