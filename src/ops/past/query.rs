//! One statement on a past database, and what it answers.

use std::ops::ControlFlow;

use rusqlite::types::ValueRef;

use crate::ops::past::{Error, PastDatabase};

/// A piece of an answer.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Comes first, also where no row follows.
    Columns(&'a [String]),
    Row(&'a [ValueRef<'a>]),
}

impl PastDatabase {
    /// Runs one statement that only reads; the time for it begins now.
    ///
    /// Ends early when the caller has seen enough.
    pub fn query(
        &self,
        sql: &str,
        visit: &mut dyn FnMut(Answer<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.watch.restart();
        let mut statement = self.connection().prepare(sql).map_err(|error| self.explain(error))?;
        if !statement.readonly() {
            return Err(Error::Writes);
        }
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        if visit(Answer::Columns(&columns)).is_break() {
            return Ok(());
        }
        let mut rows = statement.query([]).map_err(|error| self.explain(error))?;
        while let Some(row) = rows.next().map_err(|error| self.explain(error))? {
            let values = (0..columns.len()).map(|at| row.get_ref(at));
            let values: Vec<ValueRef<'_>> =
                values.collect::<Result<_, _>>().map_err(|error| self.explain(error))?;
            if visit(Answer::Row(&values)).is_break() {
                break;
            }
        }
        Ok(())
    }
}
