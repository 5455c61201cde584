//! The difference as a script: SQL that makes the newer moment of the older one.
//!
//! Rows that change are removed first and put in anew when all others are gone, so that no unique
//! value is there twice on the way. Triggers stand aside meanwhile. Tables whose statement changed
//! are made anew: what an ALTER did to them cannot be told from its result. Shadow tables of FTS5
//! and R*Tree are written like any other, which needs a connection that is not in defensive mode.

use std::ops::ControlFlow;

use crate::ops::{
    diff::rows::{Comparison, Detail, Event, Object, Row, RowChange, Table},
    past::{Answer, Error, names::quoted, value::Value},
};

/// Takes lines; breaks when nobody wants more.
pub type Take<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;

/// Where SQLite keeps the numbers that AUTOINCREMENT gave last.
const SEQUENCE: &str = "sqlite_sequence";

/// Writes the script, of all tables or of one.
pub fn script(
    comparison: &Comparison<'_>,
    only: Option<&str>,
    take: Take<'_>,
) -> Result<(), Error> {
    let plan = Plan::new(comparison, only);
    let mut script = Script { comparison, only, plan, take, flow: ControlFlow::Continue(()) };
    script.lines(&[
        "PRAGMA foreign_keys=OFF;",
        "PRAGMA ignore_check_constraints=ON;",
        "BEGIN IMMEDIATE;",
    ]);
    script.take_down();
    script.rows(RowChange::Removed)?;
    script.set_up();
    script.rows(RowChange::Added)?;
    script.sequences()?;
    script.finish();
    Ok(())
}

/// What becomes of the objects of the schema.
struct Plan<'a> {
    /// Older triggers: none may fire.
    triggers: Vec<&'a Object>,
    /// Older objects that are gone, or have another statement.
    gone: Vec<&'a Object>,
    /// Newer tables that are not as they were.
    tables: Vec<&'a Object>,
    /// Newer indexes, views and triggers that have to be made.
    last: Vec<&'a Object>,
    /// Tables that are made anew, those in the shadow of a virtual one included.
    rebuilt: Vec<&'a str>,
}

impl<'a> Plan<'a> {
    fn new(comparison: &Comparison<'a>, only: Option<&str>) -> Self {
        let (older, newer) = (&comparison.older.schema, &comparison.newer.schema);
        let is_meant =
            |object: &&&Object| only.is_none_or(|only| object.table.eq_ignore_ascii_case(only));
        let is_table = |object: &&Object| object.kind == "table";
        let before: Vec<&'a Object> = older.objects.iter().filter(|o| is_meant(&o)).collect();
        let now: Vec<&'a Object> = newer.objects.iter().filter(|o| is_meant(&o)).collect();
        let is_gone =
            |object: &&Object| newer.object(object).is_none_or(|now| now.sql != object.sql);
        let is_new =
            |object: &&Object| older.object(object).is_none_or(|before| before.sql != object.sql);
        let gone: Vec<&'a Object> = before.iter().copied().filter(is_gone).collect();
        let gone_tables: Vec<&Object> = gone.iter().copied().filter(is_table).collect();
        let rebuilt: Vec<&'a str> = before
            .iter()
            .copied()
            .filter(is_table)
            .filter(|table| is_gone(table) || is_shadow_of(&table.name, &gone_tables))
            .map(|table| table.name.as_str())
            .collect();
        let is_remade = |object: &&Object| is_new(object) || rebuilt.contains(&&*object.name);
        let tables = now.iter().copied().filter(is_table).filter(is_remade).collect();
        let last = now.iter().copied().filter(|object| {
            let goes = object.kind == "trigger" || rebuilt.contains(&&*object.table);
            !is_table(object) && (is_new(object) || goes)
        });
        Self {
            triggers: before.iter().copied().filter(|object| object.kind == "trigger").collect(),
            last: last.collect(),
            gone,
            tables,
            rebuilt,
        }
    }
}

struct Script<'a, 'b> {
    comparison: &'b Comparison<'a>,
    only: Option<&'b str>,
    plan: Plan<'a>,
    take: Take<'b>,
    flow: ControlFlow<()>,
}

impl Script<'_, '_> {
    fn line(&mut self, line: &str) {
        if self.flow.is_continue() {
            self.flow = (self.take)(line);
        }
    }

    fn lines(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| self.line(line));
    }

    /// Drops triggers, and whatever is gone or changed.
    fn take_down(&mut self) {
        for trigger in std::mem::take(&mut self.plan.triggers) {
            self.line(&format!("DROP TRIGGER {};", quoted(&trigger.name)));
        }
        let gone = std::mem::take(&mut self.plan.gone);
        // Views name tables, tables take their indexes with them.
        for kind in ["view", "index", "table"] {
            for object in gone.iter().filter(|object| object.kind == kind) {
                let table_goes = kind == "index" && self.plan.rebuilt.contains(&&*object.table);
                if !table_goes && !is_shadow_of(&object.name, &gone) {
                    let verb = kind.to_ascii_uppercase();
                    self.line(&format!("DROP {verb} {};", quoted(&object.name)));
                }
            }
        }
    }

    /// Creates tables that are new or changed.
    fn set_up(&mut self) {
        let tables = std::mem::take(&mut self.plan.tables);
        for object in &tables {
            if is_shadow_of(&object.name, &tables) {
                continue;
            }
            self.line(&format!("{};", object.sql));
            // A virtual table begins with rows of its own in its shadow tables.
            for shadow in tables.iter().filter(|table| is_shadow_of(&table.name, &[object])) {
                self.line(&format!("DELETE FROM {};", quoted(&shadow.name)));
            }
        }
    }

    /// Writes one half of every changed row: its removal, or what it is now.
    fn rows(&mut self, half: RowChange) -> Result<(), Error> {
        for name in self.comparison.table_names() {
            let is_left_out =
                self.only.is_some_and(|only| !only.eq_ignore_ascii_case(&name)) || name == SEQUENCE;
            if is_left_out {
                continue;
            }
            match self.plan.rebuilt.contains(&&*name) {
                true if half == RowChange::Added => self.whole_table(&name)?,
                true => {}
                false => self.changed_rows(&name, half)?,
            }
        }
        Ok(())
    }

    fn changed_rows(&mut self, name: &str, half: RowChange) -> Result<(), Error> {
        let comparison = self.comparison;
        // What goes with its table needs no removal.
        if half == RowChange::Removed && comparison.newer.schema.table(name).is_none() {
            return Ok(());
        }
        comparison.run(Some(name), Detail::Stored, &mut |event| {
            if let Event::Row(row) = event {
                let line = match half {
                    RowChange::Removed => row.older.map(|(table, _)| removal(table, row)),
                    _ => row.newer.map(|(table, values)| insertion(table, row.key, values)),
                };
                line.iter().for_each(|line| self.line(line));
            }
            self.flow
        })
    }

    /// All rows of a table that is made anew.
    fn whole_table(&mut self, name: &str) -> Result<(), Error> {
        let newer = self.comparison.newer;
        let Some(table) = newer.schema.table(name) else { return Ok(()) };
        let key = if table.has_own_rowid() { table.key.names().to_vec() } else { Vec::new() };
        let columns = table.columns.iter().map(|column| quoted(column));
        let columns: Vec<String> = key.iter().cloned().chain(columns).collect();
        let sql = format!("SELECT {} FROM main.{}", columns.join(", "), quoted(name));
        newer.database.query(&sql, &mut |answer| {
            if let Answer::Row(values) = answer {
                let values: Vec<Value> = values.iter().map(|value| Value::from(*value)).collect();
                let (key, values) = values.split_at(key.len());
                self.line(&insertion(table, key, values));
            }
            self.flow
        })
    }

    /// The numbers of AUTOINCREMENT, which the rows above have moved.
    fn sequences(&mut self) -> Result<(), Error> {
        let newer = self.comparison.newer;
        if self.only.is_some() || newer.schema.table(SEQUENCE).is_none() {
            return Ok(());
        }
        self.line(&format!("DELETE FROM {SEQUENCE};"));
        self.whole_table(SEQUENCE)
    }

    /// Creates what names tables, and ends.
    fn finish(&mut self) {
        let last = std::mem::take(&mut self.plan.last);
        for kind in ["index", "view", "trigger"] {
            for object in last.iter().filter(|object| object.kind == kind) {
                self.line(&format!("{};", object.sql));
            }
        }
        let (before, now) = (self.comparison.older.numbers, self.comparison.newer.numbers);
        if self.only.is_none() && before.0 != now.0 {
            self.line(&format!("PRAGMA user_version={};", now.0));
        }
        if self.only.is_none() && before.1 != now.1 {
            self.line(&format!("PRAGMA application_id={};", now.1));
        }
        self.lines(&["COMMIT;", "PRAGMA ignore_check_constraints=OFF;"]);
    }
}

fn is_virtual(object: &Object) -> bool {
    let head = object.sql.get(..20).unwrap_or_default();
    head.eq_ignore_ascii_case("CREATE VIRTUAL TABLE")
}

/// Whether a table belongs to one of these virtual tables.
fn is_shadow_of(name: &str, objects: &[&Object]) -> bool {
    let owns = |object: &&&Object| {
        let rest = name.strip_prefix(&object.name).and_then(|rest| rest.strip_prefix('_'));
        is_virtual(object) && rest.is_some_and(|rest| !rest.is_empty())
    };
    objects.iter().any(|object| owns(&object))
}

fn removal(table: &Table, row: &Row<'_>) -> String {
    let conditions = table.key.names().iter().zip(row.key);
    let conditions: Vec<String> = conditions
        .map(|(name, value)| format!("{} = {}", key_name(table, name), literal(value)))
        .collect();
    format!("DELETE FROM {} WHERE {};", quoted(&table.name), conditions.join(" AND "))
}

fn insertion(table: &Table, key: &[Value], values: &[Value]) -> String {
    let own_rowid =
        if table.has_own_rowid() { table.key.names().iter().zip(key) } else { [].iter().zip(&[]) };
    let mut columns: Vec<String> = own_rowid.clone().map(|(name, _)| name.clone()).collect();
    let mut literals: Vec<String> = own_rowid.map(|(_, value)| literal(value)).collect();
    columns.extend(table.columns.iter().map(|name| quoted(name)));
    literals.extend(values.iter().map(literal));
    let name = quoted(&table.name);
    format!("INSERT INTO {name} ({}) VALUES ({});", columns.join(", "), literals.join(", "))
}

/// A rowid that is no column must not be quoted.
fn key_name(table: &Table, name: &str) -> String {
    if table.has_own_rowid() { name.to_owned() } else { quoted(name) }
}

/// A value as SQL.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        // The least one would be read as the negation of a number that is too large.
        Value::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) if number.is_finite() => format!("{number:?}"),
        Value::Real(number) if *number > 0.0 => "9e999".to_owned(),
        Value::Real(_) => "-9e999".to_owned(),
        Value::Text(bytes) => text_literal(bytes),
        Value::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}

fn text_literal(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let quoted = text.replace('\'', "''").replace('\0', "'||char(0)||'");
            if text.contains('\0') { format!("('{quoted}')") } else { format!("'{quoted}'") }
        }
        Err(_) => format!("CAST(x'{}' AS TEXT)", hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
