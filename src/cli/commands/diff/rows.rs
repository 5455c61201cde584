//! How the rows of a database differ, for people, for programs, and for SQLite.

use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::{
    cli::{
        args::{DiffArgs, DiffFormatArg},
        output::Output,
        rows::{WireValue, csv, exact, shown},
        table::{Column, Narrow, Table},
        text,
    },
    ops::{
        diff::{
            Change, DatabaseDifference,
            rows::{
                Comparison, Detail, Event, Row, RowChange, Side, Table as RowTable, TableCounts,
                script,
            },
        },
        past::{Error, value::Value},
    },
};

#[derive(Serialize)]
struct WireDatabase<'a> {
    part: &'a str,
    change: &'static str,
    pages_from: u32,
    pages_to: u32,
    pages_changed: u32,
    page_bytes: u32,
    schema: Vec<WireObject>,
    tables: Vec<WireTable>,
}

#[derive(Serialize)]
struct WireObject {
    change: &'static str,
    kind: String,
    name: String,
    sql_from: Option<String>,
    sql_to: Option<String>,
}

#[derive(Serialize)]
struct WireTable {
    table: String,
    /// As the records counted them; nothing where they did not.
    rows_from: Option<u64>,
    rows_to: Option<u64>,
    added: u64,
    removed: u64,
    changed: u64,
}

/// Which database is compared.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub part: &'a str,
    pub difference: &'a DatabaseDifference,
}

#[derive(Serialize)]
struct WireRow<'a> {
    part: &'a str,
    table: &'a str,
    change: &'static str,
    key: Map<String, Json>,
    before: Option<Map<String, Json>>,
    after: Option<Map<String, Json>>,
}

/// Shows how two moments of a database differ, as the arguments say.
pub fn show(
    output: &Output,
    subject: Subject<'_>,
    (older, newer): (&Side, &Side),
    args: &DiffArgs,
) -> Result<(), Error> {
    let comparison = Comparison::new(older, newer)?;
    let only = args.table.as_deref();
    if args.format == DiffFormatArg::Sql {
        return script(&comparison, only, &mut |line| {
            output.result(line);
            flow(output)
        });
    }
    let shows_rows = args.rows || args.format == DiffFormatArg::Csv;
    let detail = if shows_rows { Detail::Rows } else { Detail::Counts };
    let mut answer = Answer::new(output, subject, args.format, shows_rows);
    answer.title();
    comparison.run(only, detail, &mut |event| {
        answer.take(event);
        flow(output)
    })?;
    answer.finish();
    Ok(())
}

fn flow(output: &Output) -> ControlFlow<()> {
    if output.is_read() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// What is told of one database.
struct Answer<'a> {
    output: &'a Output,
    part: &'a str,
    difference: &'a DatabaseDifference,
    format: DiffFormatArg,
    shows_rows: bool,
    /// The table whose rows are being shown.
    table: String,
    schema: Vec<WireObject>,
    tables: Vec<TableCounts>,
}

impl<'a> Answer<'a> {
    fn new(
        output: &'a Output,
        Subject { part, difference }: Subject<'a>,
        format: DiffFormatArg,
        shows_rows: bool,
    ) -> Self {
        let (table, schema, tables) = (String::new(), Vec::new(), Vec::new());
        Self { output, part, difference, format, shows_rows, table, schema, tables }
    }

    fn title(&self) {
        if self.format == DiffFormatArg::Table {
            let mark = super::mark(self.output, Change::Content);
            let changed = text::counted(self.difference.pages_changed.into(), "page");
            let all = text::count(self.difference.pages_to.into());
            self.output.result(&format!("{mark}  {}  {changed} of {all} differ", self.part));
        }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Schema { change, older, newer } => {
                let Some(object) = newer.or(older) else { return };
                if self.format == DiffFormatArg::Table {
                    let name = text::printable(object.name.as_bytes());
                    let mark = super::mark(self.output, change);
                    self.output.result(&format!("     {mark} {} {name}", object.kind));
                }
                self.schema.push(WireObject {
                    change: super::word(change),
                    kind: object.kind.clone(),
                    name: object.name.clone(),
                    sql_from: older.map(|object| object.sql.clone()),
                    sql_to: newer.map(|object| object.sql.clone()),
                });
            }
            Event::Row(row) if self.shows_rows => self.row(row),
            Event::Row(_) => {}
            Event::Table(counts) => self.tables.push(counts.clone()),
        }
    }

    fn row(&mut self, row: &Row<'_>) {
        let Some((table, _)) = row.newer.or(row.older) else { return };
        self.output.list_item(&WireRow {
            part: self.part,
            table: &table.name,
            change: word(row.change),
            key: object(row.key_names, row.key),
            before: row.older.map(|(table, values)| object(&table.columns, values)),
            after: row.newer.map(|(table, values)| object(&table.columns, values)),
        });
        match self.format {
            DiffFormatArg::Csv => self.csv_row(table, row),
            _ => self.text_row(table, row),
        }
    }

    fn text_row(&mut self, table: &RowTable, row: &Row<'_>) {
        if self.table != table.name {
            self.table = table.name.clone();
            self.output.result(&format!("     {}", text::printable(table.name.as_bytes())));
        }
        let change = match row.change {
            RowChange::Added => Change::Added,
            RowChange::Removed => Change::Removed,
            RowChange::Changed => Change::Content,
        };
        let mark = super::mark(self.output, change);
        let cells: Vec<String> = cells(row)
            .into_iter()
            .map(|Cell { column, before, after }| {
                let column = text::printable(column.as_bytes());
                match (before, after) {
                    (Some(before), Some(after)) => {
                        format!("{column}: {} to {}", word_of(before), word_of(after))
                    }
                    (value, None) | (None, value) => {
                        format!("{column}={}", value.map(word_of).unwrap_or_default())
                    }
                }
            })
            .collect();
        let is_column = |name: &String| table.columns.contains(name);
        let is_shown = row.change == RowChange::Changed || !row.key_names.iter().all(is_column);
        let key = if is_shown { format!("{}  ", key_text(row)) } else { String::new() };
        self.output.result(&format!("       {mark} {key}{}", cells.join("  ")));
    }

    fn csv_row(&self, table: &RowTable, row: &Row<'_>) {
        let field = |value: Option<&Value>| value.map(|value| csv(&exact(value.as_ref())));
        for Cell { column, before, after } in cells(row) {
            let fields = [
                csv(self.part),
                csv(&table.name),
                word(row.change).to_owned(),
                csv(&key_text(row)),
                csv(column),
                field(before).unwrap_or_default(),
                field(after).unwrap_or_default(),
            ];
            self.output.result(&fields.join(","));
        }
    }

    fn finish(self) {
        if self.format == DiffFormatArg::Table {
            let mut table = Table::new([
                Column::left("TABLE").when_narrow(Narrow::Cut),
                Column::right("ADDED"),
                Column::right("REMOVED"),
                Column::right("CHANGED"),
            ]);
            for counts in &self.tables {
                let numbers = [counts.added, counts.removed, counts.changed];
                let [added, removed, changed] = numbers.map(text::count);
                table.row([text::printable(counts.table.as_bytes()), added, removed, changed]);
            }
            if !table.is_empty() {
                self.output.table(&table, "     ");
            } else if self.schema.is_empty() {
                self.output.result("     the same rows, stored in other places");
            }
        }
        let DatabaseDifference { pages_from, pages_to, pages_changed, page_bytes, ref tables } =
            *self.difference;
        let rows = |counts: &TableCounts| {
            let found = tables.iter().find(|(name, ..)| *name == counts.table);
            let rows = |rows: Option<i64>| rows.and_then(|rows| u64::try_from(rows).ok());
            found.map_or((None, None), |(_, from, to)| (rows(*from), rows(*to)))
        };
        let tables = self.tables.into_iter().map(|counts| WireTable {
            rows_from: rows(&counts).0,
            rows_to: rows(&counts).1,
            table: counts.table,
            added: counts.added,
            removed: counts.removed,
            changed: counts.changed,
        });
        self.output.list_item(&WireDatabase {
            part: self.part,
            change: super::word(Change::Content),
            pages_from,
            pages_to,
            pages_changed,
            page_bytes,
            schema: self.schema,
            tables: tables.collect(),
        });
    }
}

/// A column of a row that differs.
struct Cell<'a> {
    column: &'a str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

/// The columns to show: all of a row that came or went, the changed ones of another.
fn cells<'a>(row: &'a Row<'_>) -> Vec<Cell<'a>> {
    let value_of = |side: Option<(&'a RowTable, &'a [Value])>, column: &str| {
        let (table, values) = side?;
        values.get(table.columns.iter().position(|name| name == column)?)
    };
    let Some((table, _)) = row.newer.or(row.older) else { return Vec::new() };
    let cells = table.columns.iter().map(|column| Cell {
        column,
        before: value_of(row.older, column),
        after: value_of(row.newer, column),
    });
    let is_shown = |cell: &Cell<'_>| row.change != RowChange::Changed || cell.before != cell.after;
    cells.filter(is_shown).collect()
}

fn word_of(value: &Value) -> String {
    shown(value.as_ref())
}

fn key_text(row: &Row<'_>) -> String {
    let pairs = row.key_names.iter().zip(row.key);
    let pairs = pairs.map(|(name, value)| format!("{name}={}", word_of(value)));
    text::printable(pairs.collect::<Vec<_>>().join(" ").as_bytes())
}

fn object(names: &[String], values: &[Value]) -> Map<String, Json> {
    let json = |value: &Value| {
        serde_json::to_value(WireValue(value.as_ref())).expect("values always become JSON")
    };
    names.iter().cloned().zip(values.iter().map(json)).collect()
}

const fn word(change: RowChange) -> &'static str {
    match change {
        RowChange::Added => "added",
        RowChange::Removed => "removed",
        RowChange::Changed => "changed",
    }
}
