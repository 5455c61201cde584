//! The rows of a table as they lie on its leaves, and two such rows of rows side by side.

use std::{collections::VecDeque, ops::ControlFlow};

use rayon::prelude::*;

use crate::ops::past::btree::{Content, Error, Pages};

/// Leaves read ahead together.
const WINDOW_LEAVES: usize = 64;
/// Neighbours are read by one thread: they lie in one base group.
const NEIGHBOURS: u32 = 16;

/// A row that at least one side has in another form.
pub struct Pair {
    pub rowid: i64,
    pub older: Option<Content>,
    pub newer: Option<Content>,
}

/// Rows of some leaves, which are in the order of the table.
pub struct Rows<'a> {
    pages: Option<&'a Pages>,
    leaves: VecDeque<u32>,
    ahead: VecDeque<(i64, Content)>,
    last: Option<i64>,
}

impl<'a> Rows<'a> {
    pub fn new(pages: Option<&'a Pages>, leaves: Vec<u32>) -> Self {
        Self { pages, leaves: leaves.into(), ahead: VecDeque::new(), last: None }
    }

    /// The rowid of the next row, which is read if need be.
    fn next_rowid(&mut self) -> Result<Option<i64>, Error> {
        while self.ahead.is_empty() && !self.leaves.is_empty() {
            self.read_ahead()?;
        }
        Ok(self.ahead.front().map(|(rowid, _)| *rowid))
    }

    fn take(&mut self) -> Option<(i64, Content)> {
        self.ahead.pop_front()
    }

    fn read_ahead(&mut self) -> Result<(), Error> {
        let Some(pages) = self.pages else { return Ok(()) };
        let window: Vec<u32> = self.leaves.drain(..WINDOW_LEAVES.min(self.leaves.len())).collect();
        let read = |leaf: &u32| rows_of(pages, *leaf);
        let found = window
            .par_chunk_by(|a, b| a / NEIGHBOURS == b / NEIGHBOURS)
            .map(|run| run.iter().map(read).collect::<Result<Vec<_>, _>>())
            .collect::<Result<Vec<_>, _>>()?;
        for (leaf, rows) in window.iter().zip(found.into_iter().flatten()) {
            for (rowid, content) in rows {
                if self.last.is_some_and(|last| last >= rowid) {
                    let why = "rows are not in order";
                    return Err(Error::Malformed { page: *leaf, why });
                }
                self.last = Some(rowid);
                self.ahead.push_back((rowid, content));
            }
        }
        Ok(())
    }
}

fn rows_of(pages: &Pages, leaf: u32) -> Result<Vec<(i64, Content)>, Error> {
    let page = pages.page(leaf)?;
    let mut rows = Vec::new();
    for cell in page.cells() {
        let cell = cell?;
        if let Some(payload) = cell.payload {
            rows.push((cell.rowid, payload.read(pages)?));
        }
    }
    Ok(rows)
}

/// Calls back with every row that is not the same on both sides, in order.
pub fn merge<E: From<Error>>(
    mut older: Rows<'_>,
    mut newer: Rows<'_>,
    visit: &mut dyn FnMut(Pair) -> Result<ControlFlow<()>, E>,
) -> Result<ControlFlow<()>, E> {
    loop {
        let (before, now) = (older.next_rowid()?, newer.next_rowid()?);
        let Some(rowid) = before.into_iter().chain(now).min() else {
            return Ok(ControlFlow::Continue(()));
        };
        let take = |rows: &mut Rows<'_>, next: Option<i64>| {
            let row = if next == Some(rowid) { rows.take() } else { None };
            row.map(|(_, content)| content)
        };
        let pair = Pair { rowid, older: take(&mut older, before), newer: take(&mut newer, now) };
        if pair.older != pair.newer && visit(pair)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}
