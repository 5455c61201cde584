//! `version`: ours, that of the format, and those of what we are built on.

use serde::Serialize;

use crate::cli::{ExitCode, context::Context, run::Done};

#[derive(Serialize)]
struct Wire {
    version: &'static str,
    format: u32,
    sqlite: &'static str,
    index: &'static str,
}

pub fn run(context: &Context) -> Done {
    let wire = Wire {
        version: env!("CARGO_PKG_VERSION"),
        format: 1,
        sqlite: rusqlite::version(),
        index: if cfg!(feature = "rocks") { "rocksdb" } else { "memory" },
    };
    context.output.result(&format!(
        "stillpoint {}, repository format {}, SQLite {}, index in {}",
        wire.version, wire.format, wire.sqlite, wire.index
    ));
    context.output.object("stillpoint.version/1", wire);
    ExitCode::Done.into()
}
