//! Rows that may differ: what the leaves say that two trees do not share.

use std::{collections::HashMap, ops::ControlFlow};

use crate::ops::{
    diff::rows::{
        Side, Table,
        merge::{Pair, Rows, merge},
        schema::Key,
    },
    past::{
        Error,
        btree::{
            self, Alike, Content, Differing, Pages, all_pages, differing_pages, key_prefix, values,
        },
        value::Value,
    },
};

/// Rows of a table WITHOUT ROWID that are kept in memory at once.
const ROWS_AT_ONCE: usize = 200_000;
/// So many are on a page, at a guess.
const ROWS_ON_A_PAGE: usize = 40;

/// A row that may differ.
pub struct Candidate {
    pub key: Vec<Value>,
    pub older: Option<Content>,
    pub newer: Option<Content>,
}

/// The pages on which they are.
pub struct Candidates<'a> {
    older: (&'a Side, Option<&'a Table>),
    newer: (&'a Side, Option<&'a Table>),
    pages: Differing,
}

/// Takes candidates.
pub type Visit<'a> = &'a mut dyn FnMut(Candidate) -> Result<ControlFlow<()>, Error>;

impl<'a> Candidates<'a> {
    /// Finds the pages of a table that are not the same on both sides.
    pub fn of(
        older: (&'a Side, Option<&'a Table>),
        newer: (&'a Side, Option<&'a Table>),
        alike: &Alike,
    ) -> Result<Self, Error> {
        let tree = |(side, table): (&'a Side, Option<&'a Table>)| {
            table.and_then(|table| Some((side.pages.as_ref()?, table.root)))
        };
        let pages = match (tree(older), tree(newer)) {
            (Some(before), Some(now)) => differing_pages(before, now, alike)?,
            (Some((pages, root)), None) => {
                Differing { older: all_pages(pages, root)?, newer: Vec::new() }
            }
            (None, Some((pages, root))) => {
                Differing { older: Vec::new(), newer: all_pages(pages, root)? }
            }
            (None, None) => Differing::default(),
        };
        Ok(Self { older, newer, pages })
    }

    /// How many pages hold them.
    #[cfg(test)]
    pub fn page_count(&self) -> usize {
        self.pages.older.len() + self.pages.newer.len()
    }

    /// Calls back with every row that is not the same, byte for byte, on both sides.
    pub fn visit(self, visit: Visit<'_>) -> Result<ControlFlow<()>, Error> {
        let key = |table: Option<&'a Table>| table.map(|table| &table.key);
        match (key(self.older.1), key(self.newer.1)) {
            (Some(Key::Columns(before)), Some(Key::Columns(now))) if before.len() == now.len() => {
                self.visit_by_columns(now.len(), visit)
            }
            (Some(Key::Columns(columns)), None) | (None, Some(Key::Columns(columns))) => {
                self.visit_by_columns(columns.len(), visit)
            }
            (Some(Key::Columns(_)), Some(_)) | (Some(_), Some(Key::Columns(_))) => {
                let message = "its rows are told apart in another way than before".to_owned();
                Err(Error::Statement { message })
            }
            _ => self.visit_by_rowid(visit),
        }
    }

    fn begin_pass(&self) {
        let sides = [self.older.0, self.newer.0];
        sides.iter().filter_map(|side| side.pages.as_ref()).for_each(Pages::begin_pass);
    }

    fn visit_by_rowid(self, visit: Visit<'_>) -> Result<ControlFlow<()>, Error> {
        self.begin_pass();
        let older = Rows::new(self.older.0.pages.as_ref(), self.pages.older);
        let newer = Rows::new(self.newer.0.pages.as_ref(), self.pages.newer);
        merge(older, newer, &mut |Pair { rowid, older, newer }| {
            visit(Candidate { key: vec![Value::Integer(rowid)], older, newer })
        })
    }

    /// Rows of an index come in an order that only their collations know, so they are gathered:
    /// in several passes, if they are many.
    fn visit_by_columns(
        self,
        column_count: usize,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let page_count = self.pages.older.len() + self.pages.newer.len();
        let passes = (page_count * ROWS_ON_A_PAGE / ROWS_AT_ONCE + 1) as u64;
        for pass in 0..passes {
            self.begin_pass();
            let gather = Gather { column_count, passes, pass };
            let mut rows: HashMap<Vec<u8>, Candidate> = HashMap::new();
            gather.add(self.older.0, &self.pages.older, &mut rows, |row, content| {
                row.older = Some(content);
            })?;
            gather.add(self.newer.0, &self.pages.newer, &mut rows, |row, content| {
                row.newer = Some(content);
            })?;
            let mut rows: Vec<_> =
                rows.into_iter().filter(|(_, row)| row.older != row.newer).collect();
            rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (_, row) in rows {
                if visit(row)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// One pass over the rows of index pages.
struct Gather {
    column_count: usize,
    passes: u64,
    pass: u64,
}

impl Gather {
    fn add(
        &self,
        side: &Side,
        numbers: &[u32],
        rows: &mut HashMap<Vec<u8>, Candidate>,
        set: impl Fn(&mut Candidate, Content),
    ) -> Result<(), Error> {
        let Some(pages) = &side.pages else { return Ok(()) };
        for number in numbers {
            self.add_page(side, pages, *number, &mut |key, values, content| {
                let empty = || Candidate { key: values, older: None, newer: None };
                set(rows.entry(key).or_insert_with(empty), content);
            })?;
        }
        Ok(())
    }

    fn add_page(
        &self,
        side: &Side,
        pages: &Pages,
        number: u32,
        add: &mut dyn FnMut(Vec<u8>, Vec<Value>, Content),
    ) -> Result<(), Error> {
        let page = pages.page(number)?;
        for cell in page.cells() {
            let Some(payload) = cell?.payload else { continue };
            let content = payload.read(pages)?;
            let malformed = |why| btree::Error::Malformed { page: number, why };
            let Content::Whole(record) = &content else {
                return Err(malformed("the row of a table WITHOUT ROWID is too long").into());
            };
            let key = key_prefix(record, self.column_count);
            let key = key.ok_or(malformed("a row has too few columns"))?;
            if blake3::hash(&key).as_bytes()[0] as u64 % self.passes != self.pass {
                continue;
            }
            let values = values(record, self.column_count, side.encoding);
            let values = values.ok_or(malformed("a row has too few columns"))?;
            // The rows are looked up once more; until then it matters only whether they differ.
            add(key, values, content.hashed());
        }
        Ok(())
    }
}
