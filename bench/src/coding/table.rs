//! The results, for people and for programs.

use std::io::{self, Write};

use super::engine::CodeName;
use crate::report::{line, table};

const COLUMNS: &str = "code,bytes,engine,encode_gb_s,decode_gb_s,recode_gb_s";

/// One engine in one cell.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) code: CodeName,
    pub(super) bytes: usize,
    pub(super) engine: String,
    pub(super) encode_gb_s: f64,
    pub(super) decode_gb_s: f64,
    /// With network coding.
    pub(super) recode_gb_s: Option<f64>,
}

impl Row {
    fn values(&self, absent: &str) -> Vec<String> {
        let figure = |value: f64| format!("{value:.1}");
        vec![
            self.code.to_string(),
            self.bytes.to_string(),
            self.engine.clone(),
            figure(self.encode_gb_s),
            figure(self.decode_gb_s),
            self.recode_gb_s.map_or(absent.to_owned(), figure),
        ]
    }
}

/// Prints a table in Markdown.
pub(super) fn print(rows: &[Row], rounds: u32) {
    line(&format!(
        "gigabytes of block per second, medians of {rounds} rounds, processor time of one thread"
    ));
    line("");
    let heads = ["code", "bytes", "engine", "encode", "decode", "recode"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| row.values("-")));
    table(&lines);
}

/// Writes comma-separated values; an engine's name has no comma there.
///
/// # Errors
/// `out` cannot be written.
pub(super) fn write_csv(rows: &[Row], mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{COLUMNS}")?;
    for row in rows {
        let values = row.values("").into_iter();
        let values = values.map(|value| value.replace(", ", " "));
        writeln!(out, "{}", values.collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}
