//! Tables that fit the terminal. Pure.
//!
//! When the width does not suffice, columns are left out in the order that they allow, then the one
//! column that may be cut is cut. Without a width (a pipe, a file) nothing is left out.

use std::borrow::Cow;

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    pub title: Cow<'static, str>,
    pub align: Align,
    pub narrow: Narrow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// What becomes of a column when there is too little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrow {
    Keep,
    /// Its text may be cut, with `...` at the end.
    Cut,
    /// It may be left out; the highest number goes first.
    Drop(u8),
}

/// Rows under columns. A table without titles has none printed.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// What stands between two columns.
const GAP: &str = "  ";
/// A cut column keeps at least this much.
const CUT_WIDTH_MIN: usize = 8;

impl Column {
    pub fn left(title: impl Into<Cow<'static, str>>) -> Self {
        Self { title: title.into(), align: Align::Left, narrow: Narrow::Keep }
    }

    pub fn right(title: impl Into<Cow<'static, str>>) -> Self {
        Self { title: title.into(), align: Align::Right, narrow: Narrow::Keep }
    }

    /// Says what becomes of it when there is too little room.
    #[must_use]
    pub fn when_narrow(mut self, narrow: Narrow) -> Self {
        self.narrow = narrow;
        self
    }
}

impl Table {
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each column. Cells must be safe to print.
    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "a row has one cell for each column");
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn has_titles(&self) -> bool {
        self.columns.iter().any(|column| !column.title.is_empty())
    }

    /// Lays the table out: one line for the titles, if there are any, and one for each row.
    pub fn lines(&self, width_max: Option<usize>) -> Vec<String> {
        let mut widths = self.natural_widths();
        if let Some(width_max) = width_max {
            self.narrow(&mut widths, width_max);
        }
        let titles: Vec<String> =
            self.columns.iter().map(|column| column.title.clone().into_owned()).collect();
        let rows = self.has_titles().then_some(&titles).into_iter().chain(&self.rows);
        rows.map(|row| self.line(row, &widths)).collect()
    }

    /// The width that each column needs; a column without text needs no room at all.
    fn natural_widths(&self) -> Vec<Option<usize>> {
        let width = |at: usize| self.rows.iter().map(|row| width_of(&row[at])).max().unwrap_or(0);
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(at, column)| match width(at) {
                0 => None,
                width => Some(width.max(width_of(&column.title))),
            })
            .collect()
    }

    fn narrow(&self, widths: &mut [Option<usize>], width_max: usize) {
        let mut droppable: Vec<(u8, usize)> = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if let Narrow::Drop(order) = column.narrow {
                droppable.push((order, at));
            }
        }
        droppable.sort_unstable();
        while total(widths) > width_max
            && let Some((_, at)) = droppable.pop()
        {
            widths[at] = None;
        }
        let surplus = total(widths).saturating_sub(width_max);
        let cut = self.columns.iter().position(|column| column.narrow == Narrow::Cut);
        if let Some(width) = cut.and_then(|at| widths[at].as_mut()) {
            *width = width.saturating_sub(surplus).max(CUT_WIDTH_MIN.min(*width));
        }
    }

    fn line(&self, row: &[String], widths: &[Option<usize>]) -> String {
        let cells = row.iter().zip(&self.columns).zip(widths);
        let cells = cells.filter_map(|((cell, column), width)| {
            Some(pad(&cut(cell, (*width)?), (*width)?, column.align))
        });
        let line = cells.collect::<Vec<_>>().join(GAP);
        line.trim_end().to_owned()
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP.len() * shown.count().saturating_sub(1)
}

/// Cuts text to the width, showing that it was cut.
pub fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(3)).collect();
    format!("{kept}...")
}

fn pad(text: &str, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(width_of(text)));
    match align {
        Align::Left => format!("{text}{space}"),
        Align::Right => format!("{space}{text}"),
    }
}

fn width_of(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshots() -> Table {
        let mut table = Table::new([
            Column::left("ID"),
            Column::left("TAKEN"),
            Column::right("SIZE"),
            Column::left("STATE").when_narrow(Narrow::Drop(1)),
            Column::left("WHAT").when_narrow(Narrow::Cut),
        ]);
        table.row(
            ["8f21c0aa", "today 14:00", "1.9 GB", "complete", "pos, uploads, settings"]
                .map(str::to_owned),
        );
        table.row(["c91e44d2", "yesterday 02:00", "12.4 GB", "complete", "pos"].map(str::to_owned));
        table
    }

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        assert_eq!(
            snapshots().lines(None),
            [
                "ID        TAKEN               SIZE  STATE     WHAT",
                "8f21c0aa  today 14:00       1.9 GB  complete  pos, uploads, settings",
                "c91e44d2  yesterday 02:00  12.4 GB  complete  pos",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_loses_columns_first_and_ends_of_names_next() {
        assert_eq!(
            snapshots().lines(Some(48)),
            [
                "ID        TAKEN               SIZE  WHAT",
                "8f21c0aa  today 14:00       1.9 GB  pos, uplo...",
                "c91e44d2  yesterday 02:00  12.4 GB  pos",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_sixty_columns_where_sixty_are_given() {
        assert!(snapshots().lines(Some(60)).iter().all(|line| line.chars().count() <= 60));
    }

    #[test]
    fn a_column_without_text_takes_no_room() {
        let mut table = Table::new([Column::left("A"), Column::left("B"), Column::left("C")]);
        table.row(["1", "", "3"].map(str::to_owned));

        assert_eq!(table.lines(None), ["A  C", "1  3"]);
    }
}
