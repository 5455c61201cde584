//! `sql`: a past database asked in its own language.

use std::ops::ControlFlow;

use rustyline::{DefaultEditor, error::ReadlineError};

use crate::{
    cli::{
        ExitCode,
        args::SqlArgs,
        context::Context,
        error::{Error, explain},
        past::{Opened, Wanted},
        rows::{Layout, RowPrinter},
        run::Done,
        text,
    },
    ops::{
        self,
        past::{self, Answer},
    },
};

const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name";
const SCHEMA: &str = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";
const HELP: &str =
    "Type a statement that reads, and end it with `;`. Other snapshots stand beside \
                    it under their names, as in \"latest~24\".orders.
.tables   lists tables and views
.schema   prints the schema
.quit     ends, as does Ctrl-D";

pub fn run(context: &Context, args: &SqlArgs) -> Result<Done, Error> {
    let wanted = Wanted { snap: &args.snap, exact: args.exact, timeout: args.timeout };
    let opened = Opened::open(context, &wanted)?;
    let layout = if args.csv { Layout::Csv } else { Layout::Table };
    match &args.statement {
        Some(statement) => {
            let _ = answer(context, &opened, statement, layout)?;
        }
        None => converse(context, &opened, layout)?,
    }
    Ok(ExitCode::Done.into())
}

/// Runs one statement and prints what it answers; returns the number of rows.
fn answer(
    context: &Context,
    opened: &Opened,
    statement: &str,
    layout: Layout,
) -> Result<u64, Error> {
    let unknown = opened.moments().attach(&opened.database, statement)?;
    let mut printer = RowPrinter::new(&context.output, layout);
    let asked = opened.database.query(statement, &mut |answer| {
        let goes_on = match answer {
            Answer::Columns(columns) => {
                context.output.begin_list("stillpoint.sql/1");
                printer.begin(columns);
                true
            }
            Answer::Row(values) => printer.row(values),
        };
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let rows = printer.finish();
    match asked {
        Ok(()) => {
            context.output.end_list();
            Ok(rows)
        }
        Err(error) => Err(why(error, unknown).into()),
    }
}

/// A table that is missing because its snapshot is has that for its reason.
fn why(error: past::Error, unknown: Vec<(String, ops::Error)>) -> ops::Error {
    let past::Error::Statement { message } = &error else { return error.into() };
    let is_meant = |name: &str| message.contains(&format!(" {name}."));
    match unknown.into_iter().find(|(name, _)| is_meant(name)) {
        Some((_, reason)) => reason,
        None => error.into(),
    }
}

/// Reads statements until there are no more.
fn converse(context: &Context, opened: &Opened, layout: Layout) -> Result<(), Error> {
    let mut editor = DefaultEditor::new().map_err(prompt_failed)?;
    let name = format!("{}:{}", opened.moment_text(), opened.chosen.item.part);
    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() { format!("{name}> ") } else { "   ...> ".to_owned() };
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) if !statement.is_empty() => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
            Err(error) => return Err(prompt_failed(error)),
        };
        if statement.is_empty() {
            match line.trim() {
                "" => continue,
                ".quit" | ".exit" => return Ok(()),
                ".help" => context.output.result(HELP),
                ".tables" => tell(context, opened, TABLES, layout),
                ".schema" => tell(context, opened, SCHEMA, layout),
                _ => statement.push_str(&line),
            }
        } else {
            statement.push('\n');
            statement.push_str(&line);
        }
        if statement.trim_end().ends_with(';') {
            let _ = editor.add_history_entry(&statement);
            tell(context, opened, &std::mem::take(&mut statement), layout);
        }
    }
}

/// Answers, or says why not; the conversation goes on.
fn tell(context: &Context, opened: &Opened, statement: &str, layout: Layout) {
    match answer(context, opened, statement, layout) {
        Ok(rows) => context.output.message(&format!("{}.", text::counted(rows, "row"))),
        Err(error) => context.output.error(&explain(&error)),
    }
}

fn prompt_failed(error: ReadlineError) -> Error {
    Error::Usage {
        message: format!("no prompt can be shown here: {error}"),
        help: "give the statement as an argument",
    }
}
