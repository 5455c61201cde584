//! `tables`: what a past database holds, and how much of it.

use serde::Serialize;

use crate::{
    cli::{
        ExitCode,
        args::TablesArgs,
        context::Context,
        error::Error,
        past::{Opened, Wanted},
        run::Done,
        table::{Column, Narrow, Table},
        text,
    },
    ops::past::tables::{TableFacts, tables},
};

#[derive(Serialize)]
struct WireTable {
    table: String,
    kind: &'static str,
    rows: Option<u64>,
    /// With its indexes; without long values.
    bytes: u64,
    is_estimated: bool,
}

pub fn run(context: &Context, args: &TablesArgs) -> Result<Done, Error> {
    let wanted = Wanted { snap: &args.snap, exact: args.exact, timeout: None };
    let opened = Opened::open(context, &wanted)?;
    let tables = tables(&opened.database, opened.chosen.facts.as_ref())?;

    let mut shown = Table::new([
        Column::left("TABLE").when_narrow(Narrow::Cut),
        Column::right("ROWS"),
        Column::right("SIZE"),
        Column::left("").when_narrow(Narrow::Drop(1)),
    ]);
    context.output.begin_list("stillpoint.tables/1");
    for TableFacts { name, kind, rows, size } in tables {
        let about = if size.is_estimated { "~" } else { "" };
        shown.row([
            text::printable(name.as_bytes()),
            rows.map_or_else(|| "-".to_owned(), text::count),
            format!("{about}{}", text::bytes(size.bytes)),
            if kind == "table" { String::new() } else { kind.to_owned() },
        ]);
        let (bytes, is_estimated) = (size.bytes, size.is_estimated);
        context.output.list_item(&WireTable { table: name, kind, rows, bytes, is_estimated });
    }
    context.output.end_list();
    context.output.table(&shown, "");
    Ok(ExitCode::Done.into())
}
