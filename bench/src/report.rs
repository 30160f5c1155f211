//! What is told: results on standard output, progress and errors on standard error.

use std::io::{Write, stderr, stdout};

/// Prints a line of a result; a reader that has gone away ends the campaign quietly.
pub(crate) fn line(text: &str) {
    let mut out = stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Tells what is going on.
pub(crate) fn note(text: &str) {
    // Nobody listens on a broken standard error; that is no reason to stop.
    let _ = writeln!(stderr(), "securecloud-bench: {text}");
}

/// Prints a table in Markdown, the first row its heads, columns aligned to the right.
pub(crate) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for (place, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths);
        line(&joined(
            cells.map(|(cell, width)| format!(" {cell:>width$} ")),
        ));
        if place == 0 {
            line(&joined(
                widths
                    .iter()
                    .map(|width| format!("{}:", "-".repeat(width + 1))),
            ));
        }
    }
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    format!("|{}|", cells.collect::<Vec<_>>().join("|"))
}
