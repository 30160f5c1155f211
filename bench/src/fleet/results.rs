//! The results of a campaign, for people and for programs.
//!
//! Invariant: every figure of the table is a median over the runs of its row; the file has every run.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::machine;
use crate::median::Sorted;
use crate::report::table;

/// A configuration, and the figures of its runs.
pub(crate) struct Row {
    /// What was asked for: names and values.
    pub(crate) case: Vec<(&'static str, String)>,
    /// For each run its figures, under the same names in the same order.
    pub(crate) runs: Vec<Vec<(&'static str, f64)>>,
}

impl Row {
    /// Each figure, with the values of all runs.
    fn figures(&self) -> Vec<(&'static str, Sorted)> {
        let names = self.runs.first().into_iter().flatten();
        let of = |place: usize| Sorted::new(self.runs.iter().map(|run| run[place].1));
        names
            .enumerate()
            .map(|(place, (name, _))| (*name, of(place)))
            .collect()
    }

    fn json(&self) -> Value {
        let case: Map<_, _> = self
            .case
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let object = |figures: &[(&str, f64)]| {
            let entries = figures.iter();
            Value::Object(
                entries
                    .map(|(name, value)| ((*name).to_owned(), json!(value)))
                    .collect(),
            )
        };
        let medians: Vec<_> = self
            .figures()
            .into_iter()
            .map(|(name, values)| (name, values.median()))
            .collect();
        let runs: Vec<_> = self.runs.iter().map(|run| object(run)).collect();
        json!({ "case": case, "medians": object(&medians), "runs": runs })
    }
}

/// Where results go.
pub(crate) struct Results {
    file: Option<(File, PathBuf)>,
}

impl Results {
    /// The file is made before anything is measured: hours are not lost to a mistyped path.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let create = |path: &Path| {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            Ok::<_, anyhow::Error>((file, path.to_owned()))
        };
        let file = path.map(create).transpose()?;
        Ok(Self { file })
    }

    /// Prints the table, one line for each figure and one column for each row, and writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn tell(self, campaign: &str, rows: &[Row]) -> anyhow::Result<()> {
        table(&lines(rows));
        let Some((mut file, path)) = self.file else {
            return Ok(());
        };
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        let all = json!({ "campaign": campaign, "taken": machine::describe(), "rows": rows });
        writeln!(file, "{all:#}")
            .and_then(|()| file.flush())
            .with_context(|| path.display().to_string())
    }
}

fn lines(rows: &[Row]) -> Vec<Vec<String>> {
    let Some(first) = rows.first() else {
        return Vec::new();
    };
    let mut lines: Vec<Vec<String>> = first
        .case
        .iter()
        .map(|(name, _)| vec![(*name).to_owned()])
        .chain(
            first
                .figures()
                .iter()
                .map(|(name, _)| vec![(*name).to_owned()]),
        )
        .collect();
    for row in rows {
        let values = row.case.iter().map(|(_, value)| value.clone());
        let figures = row.figures();
        let figures = figures.iter().map(|(_, values)| spread(values));
        for (line, cell) in lines.iter_mut().zip(values.chain(figures)) {
            line.push(cell);
        }
    }
    lines
}

/// The median, with the least and the greatest where they differ.
fn spread(values: &Sorted) -> String {
    let (median, min, max) = (values.median(), values.min(), values.max());
    if min == max {
        figure(median)
    } else {
        format!("{} ({}-{})", figure(median), figure(min), figure(max))
    }
}

/// Three digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            case: vec![("consumers", "10".into())],
            runs: vec![
                vec![("linked s", 3.0), ("router MiB", 40.0)],
                vec![("linked s", 1.0), ("router MiB", 40.0)],
                vec![("linked s", 2.0), ("router MiB", 40.0)],
            ],
        }
    }

    #[test]
    fn the_table_has_the_median_and_the_spread_of_each_figure() {
        let expected = [
            ["consumers", "10"],
            ["linked s", "2.00 (1.00-3.00)"],
            ["router MiB", "40.0"],
        ];

        assert_eq!(lines(&[row()]), expected);
    }

    #[test]
    fn the_file_has_the_medians_and_every_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures.json");

        let results = Results::open(Some(&path)).unwrap();
        results.tell("crowd", &[row()]).unwrap();

        let text = std::fs::read_to_string(path).unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        let row = &all["rows"][0];
        assert_eq!(row["medians"]["linked s"], 2.0);
        assert_eq!(row["runs"].as_array().unwrap().len(), 3);
        assert_eq!(row["case"]["consumers"], "10");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error_before_anything_is_measured() {
        assert!(Results::open(Some(Path::new("/nowhere/figures.json"))).is_err());
    }
}
