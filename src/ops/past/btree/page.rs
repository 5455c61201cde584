//! One page of a b-tree.

use std::sync::Arc;

use crate::ops::past::btree::{Error, Payload, malformed, payload::local_bytes};

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    TableLeaf,
    TableInterior,
    IndexLeaf,
    IndexInterior,
}

/// A page whose head was checked.
#[derive(Debug)]
pub struct Page {
    number: u32,
    bytes: Arc<Vec<u8>>,
    kind: Kind,
    usable_bytes: usize,
    /// Where the places of the cells begin.
    places: usize,
    cell_count: usize,
    /// The child behind the last cell of an interior page.
    rightmost: u32,
}

/// One entry of a page.
#[derive(Debug)]
pub struct Cell<'a> {
    /// The child before it, on an interior page.
    pub child: Option<u32>,
    /// Of a table; of an index 0.
    pub rowid: i64,
    /// Interior pages of tables have none.
    pub payload: Option<Payload<'a>>,
}

impl Kind {
    /// Reads the first byte of a b-tree page.
    pub const fn parse(byte: u8) -> Option<Self> {
        match byte {
            2 => Some(Self::IndexInterior),
            5 => Some(Self::TableInterior),
            10 => Some(Self::IndexLeaf),
            13 => Some(Self::TableLeaf),
            _ => None,
        }
    }

    pub const fn is_leaf(self) -> bool {
        matches!(self, Self::TableLeaf | Self::IndexLeaf)
    }

    pub const fn is_table(self) -> bool {
        matches!(self, Self::TableLeaf | Self::TableInterior)
    }
}

impl Page {
    pub fn parse(number: u32, bytes: Arc<Vec<u8>>, usable_bytes: usize) -> Result<Self, Error> {
        let refuse = |why| Err(malformed(number, why));
        // The file's own header comes before that of page 1.
        let head = if number == 1 { 100 } else { 0 };
        let Some(kind) = bytes.get(head).copied().and_then(Kind::parse) else {
            return refuse("is no page of a b-tree");
        };
        let head_bytes = if kind.is_leaf() { 8 } else { 12 };
        let cell_count = usize::from(u16_at(&bytes, head + 3));
        let places = head + head_bytes;
        if places + 2 * cell_count > usable_bytes {
            return refuse("has more cells than there is room for");
        }
        let rightmost = if kind.is_leaf() { 0 } else { u32_at(&bytes, head + 8) };
        Ok(Self { number, bytes, kind, usable_bytes, places, cell_count, rightmost })
    }

    pub const fn number(&self) -> u32 {
        self.number
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// All entries in order.
    pub fn cells(&self) -> impl Iterator<Item = Result<Cell<'_>, Error>> {
        (0..self.cell_count).map(|at| self.cell(at))
    }

    /// The children of an interior page in order; a leaf has none.
    pub fn children(&self) -> Result<Vec<u32>, Error> {
        if self.kind.is_leaf() {
            return Ok(Vec::new());
        }
        let mut children = Vec::with_capacity(self.cell_count + 1);
        for at in 0..self.cell_count {
            let start = self.place(at)?;
            if start + 4 > self.usable_bytes {
                return Err(malformed(self.number, "a cell lies outside of its page"));
            }
            children.push(u32_at(&self.bytes, start));
        }
        children.push(self.rightmost);
        Ok(children)
    }

    fn place(&self, at: usize) -> Result<usize, Error> {
        let start = usize::from(u16_at(&self.bytes, self.places + 2 * at));
        if start < self.places || start >= self.usable_bytes {
            return Err(malformed(self.number, "a cell lies outside of its page"));
        }
        Ok(start)
    }

    fn cell(&self, at: usize) -> Result<Cell<'_>, Error> {
        let mut rest = Rest { page: self, at: self.place(at)? };
        let child = if self.kind.is_leaf() { None } else { Some(rest.u32()?) };
        let payload_bytes = match self.kind {
            Kind::TableInterior => None,
            _ => Some(rest.varint()?),
        };
        let rowid = if self.kind.is_table() { rest.varint()?.cast_signed() } else { 0 };
        let payload = payload_bytes.map(|bytes| rest.payload(bytes)).transpose()?;
        Ok(Cell { child, rowid, payload })
    }
}

/// What follows in a cell.
struct Rest<'a> {
    page: &'a Page,
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Error> {
        let end = self.at + bytes;
        let usable = &self.page.bytes[..self.page.usable_bytes];
        let taken = usable.get(self.at..end);
        self.at = end;
        taken.ok_or(malformed(self.page.number, "a cell goes beyond its page"))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32_at(self.take(4)?, 0))
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let usable = &self.page.bytes[..self.page.usable_bytes];
        let read = usable.get(self.at..).and_then(varint);
        let (value, bytes) =
            read.ok_or(malformed(self.page.number, "a number goes beyond its page"))?;
        self.at += bytes;
        Ok(value)
    }

    fn payload(&mut self, bytes_total: u64) -> Result<Payload<'a>, Error> {
        let local = local_bytes(self.page.kind, self.page.usable_bytes, bytes_total);
        let local_part = self.take(local)?;
        let overflow = if (local as u64) < bytes_total { Some(self.u32()?) } else { None };
        Ok(Payload { page: self.page.number, bytes_total, local: local_part, overflow })
    }
}

/// Reads SQLite's variable-length number, and how long it is.
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(<[u8]>::first_chunk);
    four.map_or(0, |four| u32::from_be_bytes(*four))
}
