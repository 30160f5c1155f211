//! Columns of text.

use crate::report::line;

/// Rows of cells, printed with each column as wide as its widest cell.
pub(crate) struct Table {
    /// Which columns stand at their right edge: those of numbers.
    is_right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; one that begins with `>` is over a column of numbers.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let plain = headings
            .iter()
            .map(|it| it.trim_start_matches('>').to_owned());
        Self {
            is_right: headings.iter().map(|it| it.starts_with('>')).collect(),
            rows: vec![plain.collect()],
        }
    }

    /// Adds a row of as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints what there is; headings alone are not printed.
    pub(crate) fn print(&self) {
        if self.rows.len() > 1 {
            self.lines().iter().for_each(|text| line(text));
        }
    }

    fn lines(&self) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.is_right.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&self.is_right);
            let cells = cells.map(|((cell, width), is_right)| match is_right {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right_and_words_at_the_left() {
        let mut table = Table::new(&["name", ">bytes"]);
        table.row(["ä".into(), "1".into()]);
        table.row(["longer".into(), "100000".into()]);

        assert_eq!(
            table.lines(),
            ["name     bytes", "ä            1", "longer  100000"]
        );
    }
}
