//! Rows of a database for people and for programs: a table, a list of JSON objects, or CSV.

use rusqlite::types::ValueRef;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::cli::{
    json,
    output::Output,
    table::{Align, Column, Narrow, Table, cut},
    text,
};

/// Rows that are laid out together: the first ones decide how wide columns are.
const ROWS_TOGETHER: usize = 500;
/// Longer cells are cut where a person reads them.
const CELL_WIDTH_MAX: usize = 60;
/// Bytes of a blob that a person is shown.
const BLOB_BYTES_SHOWN: usize = 16;

/// How rows are printed for people; programs that asked for JSON get that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Table,
    Csv,
}

/// Prints the rows of one answer.
pub struct RowPrinter<'a> {
    output: &'a Output,
    layout: Layout,
    columns: Vec<String>,
    /// Rows that wait for their table: text, and whether it is a number.
    waiting: Vec<Vec<(String, bool)>>,
    tables: usize,
    count: u64,
}

impl<'a> RowPrinter<'a> {
    pub fn new(output: &'a Output, layout: Layout) -> Self {
        Self { output, layout, columns: Vec::new(), waiting: Vec::new(), tables: 0, count: 0 }
    }

    /// Begins an answer with these columns.
    pub fn begin(&mut self, columns: &[String]) {
        self.columns = columns.to_vec();
        if self.layout == Layout::Csv {
            let titles: Vec<String> = columns.iter().map(|title| csv(title)).collect();
            self.output.result(&titles.join(","));
        }
    }

    /// Prints a row, or keeps it until its table is laid out. False: nobody reads any more.
    pub fn row(&mut self, values: &[ValueRef<'_>]) -> bool {
        self.count += 1;
        self.output.list_item(&WireRow { columns: &self.columns, values });
        match self.layout {
            Layout::Csv => {
                let cells: Vec<String> = values.iter().map(|value| csv(&exact(*value))).collect();
                self.output.result(&cells.join(","));
            }
            Layout::Table => {
                let cut_to = self.output.width().map_or(usize::MAX, |_| CELL_WIDTH_MAX);
                let cell = |value: &ValueRef<'_>| (cut(&shown(*value), cut_to), is_number(*value));
                self.waiting.push(values.iter().map(cell).collect());
                if self.waiting.len() == ROWS_TOGETHER {
                    self.lay_out();
                }
            }
        }
        self.output.is_read()
    }

    /// Prints what still waits; returns how many rows there were.
    pub fn finish(mut self) -> u64 {
        if self.layout == Layout::Table {
            self.lay_out();
        }
        self.count
    }

    fn lay_out(&mut self) {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return;
        }
        let last = self.columns.len().saturating_sub(1);
        let column = |(at, title): (usize, &String)| {
            let title = text::printable(title.as_bytes());
            let title = if self.tables == 0 { title } else { String::new() };
            let is_number = rows.iter().any(|row| row[at].1)
                && rows.iter().all(|row| row[at].1 || row[at].0 == NULL);
            let align = if is_number { Align::Right } else { Align::Left };
            let narrow = if at == last { Narrow::Cut } else { Narrow::Keep };
            Column { title: title.into(), align, narrow }
        };
        let mut table = Table::new(self.columns.iter().enumerate().map(column).collect::<Vec<_>>());
        for row in rows {
            table.row(row.into_iter().map(|(text, _)| text).collect::<Vec<_>>());
        }
        self.output.table(&table, "");
        self.tables += 1;
    }
}

const NULL: &str = "NULL";

/// A value for people.
pub fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => NULL.to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => real(number),
        ValueRef::Text(bytes) => text::printable(bytes),
        ValueRef::Blob(bytes) if bytes.len() > BLOB_BYTES_SHOWN => {
            let begin = hex(&bytes[..BLOB_BYTES_SHOWN]);
            format!("x'{begin}...' ({} bytes)", bytes.len())
        }
        ValueRef::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}

const fn is_number(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Integer(_) | ValueRef::Real(_))
}

/// A value for CSV, whole; NULL is an empty field.
pub fn exact(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => hex(bytes),
        number => shown(number),
    }
}

/// The shortest text that means the same number.
fn real(number: f64) -> String {
    format!("{number:?}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A field of RFC 4180.
pub fn csv(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// A row as programs get it: an object, in the order of the columns.
struct WireRow<'a> {
    columns: &'a [String],
    values: &'a [ValueRef<'a>],
}

impl Serialize for WireRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (at, value) in self.values.iter().enumerate() {
            map.serialize_entry(&name(self.columns, at), &WireValue(*value))?;
        }
        map.end()
    }
}

/// The name of a column, made different from those before it.
fn name(columns: &[String], at: usize) -> String {
    let name = &columns[at];
    match columns[..at].iter().filter(|before| *before == name).count() {
        0 => name.clone(),
        count => format!("{name}:{count}"),
    }
}

/// A value as programs get it. What JSON has no word for becomes an object or a text.
pub struct WireValue<'a>(pub ValueRef<'a>);

impl Serialize for WireValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::Null => serializer.serialize_unit(),
            ValueRef::Integer(number) => serializer.serialize_i64(number),
            ValueRef::Real(number) if number.is_finite() => serializer.serialize_f64(number),
            ValueRef::Real(number) => serializer.serialize_str(&number.to_string()),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serialize_bytes(serializer, "text_b64", bytes),
            },
            ValueRef::Blob(bytes) => serialize_bytes(serializer, "blob_b64", bytes),
        }
    }
}

fn serialize_bytes<S: Serializer>(
    serializer: S,
    key: &'static str,
    bytes: &[u8],
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, &json::base64(bytes))?;
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_would_break_a_line_are_quoted() {
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }

    #[test]
    fn every_kind_of_value_has_its_json() {
        let values = [
            ValueRef::Null,
            ValueRef::Integer(i64::MIN),
            ValueRef::Real(0.5),
            ValueRef::Real(f64::INFINITY),
            ValueRef::Text("ö".as_bytes()),
            ValueRef::Text(b"\xff"),
            ValueRef::Blob(b"foo"),
        ];
        let columns: Vec<String> = ["a", "b", "a", "a", "c", "d", "e"].map(str::to_owned).to_vec();

        let json = serde_json::to_string(&WireRow { columns: &columns, values: &values }).unwrap();

        assert_eq!(
            json,
            "{\"a\":null,\"b\":-9223372036854775808,\"a:1\":0.5,\"a:2\":\"inf\",\"c\":\"ö\",\
             \"d\":{\"text_b64\":\"/w==\"},\"e\":{\"blob_b64\":\"Zm9v\"}}"
        );
    }

    #[test]
    fn a_person_sees_the_beginning_of_a_blob_and_no_control_characters() {
        assert_eq!(shown(ValueRef::Blob(&[7; 2])), "x'0707'");
        assert!(shown(ValueRef::Blob(&[7; 99])).ends_with("...' (99 bytes)"));
        assert_eq!(shown(ValueRef::Text(b"a\x1b")), "a\\u{1b}");
        assert_eq!(shown(ValueRef::Real(3.0)), "3.0");
    }
}
