//! Records: the columns of a row as bytes.

use std::ops::Range;

use crate::{
    ops::past::{btree::page::varint, value::Value},
    source::sqlite::header::Encoding,
};

/// A table has no more columns.
const COLUMNS_MAX: usize = 32_767;

/// Whether two records mean the same row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    Different,
    /// They may: the same number can be written in several ways.
    MayBeSame,
}

/// One column of a record: its type, and where its bytes lie.
struct Column {
    serial: u64,
    bytes: Range<usize>,
}

/// Compares two records that are not alike byte for byte.
pub fn compare(a: &[u8], b: &[u8]) -> Compared {
    let (Some(left), Some(right)) = (columns(a, COLUMNS_MAX), columns(b, COLUMNS_MAX)) else {
        return Compared::MayBeSame;
    };
    // A record that ends earlier stands for the default values of what follows.
    let differs = left.iter().zip(&right).any(|(left, right)| {
        let (before, now) = (&a[left.bytes.clone()], &b[right.bytes.clone()]);
        match (number(left.serial, before), number(right.serial, now)) {
            // A real column stores whole numbers as integers.
            (Some(before), Some(now)) => before != now,
            _ => left.serial != right.serial || before != now,
        }
    });
    if differs { Compared::Different } else { Compared::MayBeSame }
}

/// The first columns of a record, as bytes that are alike for alike columns.
pub fn key_prefix(record: &[u8], column_count: usize) -> Option<Vec<u8>> {
    let columns = columns(record, column_count)?;
    if columns.len() < column_count {
        return None;
    }
    let mut key = Vec::new();
    for column in &columns {
        key.extend_from_slice(&column.serial.to_be_bytes());
        key.extend_from_slice(&record[column.bytes.clone()]);
    }
    Some(key)
}

/// The values of the first columns of a record, for SQLite to look the row up.
pub fn values(record: &[u8], column_count: usize, encoding: Encoding) -> Option<Vec<Value>> {
    let columns = columns(record, column_count)?;
    let value = |column: &Column| value(column.serial, &record[column.bytes.clone()], encoding);
    let values: Vec<_> = columns.iter().map(value).collect();
    (values.len() == column_count).then_some(values)
}

fn columns(record: &[u8], count_max: usize) -> Option<Vec<Column>> {
    let (head_bytes, mut at) = varint(record)?;
    let head_bytes = usize::try_from(head_bytes).ok().filter(|bytes| *bytes <= record.len())?;
    let mut start = head_bytes;
    let mut columns = Vec::new();
    while at < head_bytes && columns.len() < count_max.min(COLUMNS_MAX) {
        let (serial, bytes) = varint(record.get(at..head_bytes)?)?;
        at += bytes;
        let end = start.checked_add(content_bytes(serial)?)?;
        if end > record.len() {
            return None;
        }
        columns.push(Column { serial, bytes: start..end });
        start = end;
    }
    Some(columns)
}

fn content_bytes(serial: u64) -> Option<usize> {
    Some(match serial {
        0 | 8 | 9 => 0,
        1..=4 => serial as usize,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        _ => usize::try_from((serial - 12) / 2).ok()?,
    })
}

fn value(serial: u64, bytes: &[u8], encoding: Encoding) -> Value {
    match serial {
        0 => Value::Null,
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        1..=6 => Value::Integer(integer(bytes)),
        7 => Value::Real(f64::from_bits(integer(bytes).cast_unsigned())),
        _ if serial.is_multiple_of(2) => Value::Blob(bytes.to_vec()),
        _ => Value::Text(text_of(bytes, encoding)),
    }
}

/// A number as a column of any kind may mean it.
fn number(serial: u64, bytes: &[u8]) -> Option<f64> {
    match serial {
        7 => Some(f64::from_bits(integer(bytes).cast_unsigned())),
        8 => Some(0.0),
        9 => Some(1.0),
        1..=6 => Some(integer(bytes) as f64),
        _ => None,
    }
}

/// A signed number of up to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |number: i64, byte| number << 8 | i64::from(*byte))
}

/// Text in the encoding of its database, as UTF-8.
fn text_of(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    let units = |of: fn([u8; 2]) -> u16| bytes.as_chunks().0.iter().map(move |pair| of(*pair));
    let decoded = |units: &mut dyn Iterator<Item = u16>| {
        let chars = char::decode_utf16(units);
        let chars = chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        chars.collect::<String>().into_bytes()
    };
    match encoding {
        Encoding::Utf16Le => decoded(&mut units(u16::from_le_bytes)),
        Encoding::Utf16Be => decoded(&mut units(u16::from_be_bytes)),
        Encoding::Utf8 | Encoding::Undecided => bytes.to_vec(),
    }
}
