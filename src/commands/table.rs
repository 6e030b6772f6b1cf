//! Aligned columns for a terminal.

use std::fmt::{self, Display};

/// A column, as wide as its widest cell.
pub struct Column {
    heading: &'static str,
    is_right: bool,
    least: usize,
}

impl Column {
    /// For words.
    pub fn left(heading: &'static str) -> Self {
        Self { heading, is_right: false, least: 0 }
    }

    /// For numbers.
    pub fn right(heading: &'static str) -> Self {
        Self { heading, is_right: true, least: 0 }
    }

    /// The same, never narrower than so many characters.
    pub fn at_least(self, least: usize) -> Self {
        Self { least, ..self }
    }
}

/// Rows under a heading. Displayed, it ends each line.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let columns: Vec<Column> = columns.into_iter().collect();
        let heading = columns.iter().map(|column| column.heading.to_owned()).collect();
        Self { columns, rows: vec![heading] }
    }

    /// A cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |(at, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(column.least)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(width).collect();
        for row in &self.rows {
            let cells =
                row.iter().zip(&self.columns).zip(&widths).map(|((cell, column), &width)| match column.is_right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let mut table = Table::new([Column::left("name"), Column::right("n").at_least(3), Column::left("note")]);
        table.row(["caf\u{e9} noir", "7", ""].map(str::to_owned));
        table.row(["x", "12345", "late"].map(str::to_owned));
        assert_eq!(table.to_string(), "name           n  note\ncaf\u{e9} noir      7\nx          12345  late\n");
    }
}
