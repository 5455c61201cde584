//! `schema`: how a past database is laid out.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::SchemaArgs,
        context::Context,
        error::Error,
        past::{Opened, Wanted},
        run::Done,
        text,
    },
    ops::past::{self, Answer},
};

#[derive(Serialize)]
struct WireObject {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

pub fn run(context: &Context, args: &SchemaArgs) -> Result<Done, Error> {
    let wanted = Wanted { snap: &args.snap, exact: args.exact, timeout: None };
    let opened = Opened::open(context, &wanted)?;
    let mut objects = objects(&opened)?;
    if let Some(table) = &args.table {
        objects.retain(|object| object.table.eq_ignore_ascii_case(table));
        if objects.is_empty() {
            return Err(no_such_table(table).into());
        }
    }
    context.output.begin_list("stillpoint.schema/1");
    for object in &objects {
        context.output.list_item(object);
        // Lines of a statement stay lines; everything else that could move the cursor does not.
        for line in format!("{};", object.sql).lines() {
            context.output.result(&text::printable(line.as_bytes()));
        }
    }
    context.output.end_list();
    Ok(ExitCode::Done.into())
}

fn objects(opened: &Opened) -> Result<Vec<WireObject>, past::Error> {
    const SQL: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema
                       WHERE sql IS NOT NULL ORDER BY rowid";
    let mut objects = Vec::new();
    opened.database.query(SQL, &mut |answer| {
        if let Answer::Row(values) = answer {
            let text = |at: usize| {
                String::from_utf8_lossy(values[at].as_bytes().unwrap_or_default()).into_owned()
            };
            objects.push(WireObject { kind: text(0), name: text(1), table: text(2), sql: text(3) });
        }
        ControlFlow::Continue(())
    })?;
    Ok(objects)
}

pub(super) fn no_such_table(table: &str) -> past::Error {
    past::Error::Statement { message: format!("no such table: {table}") }
}
