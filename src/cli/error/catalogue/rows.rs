//! What befalls rows that are brought back.

use super::{Entry, past};
use crate::{cli::exit_code::ExitCode, ops::rows::Error};

const AS_BEFORE: &str = "the present database is as it was";

/// The entry of an error of `restore --table`.
pub fn entry(error: &Error) -> Entry {
    let usage = |code| Entry::new(code, ExitCode::Usage).effect(AS_BEFORE);
    match error {
        Error::NotAnExpression { .. } => {
            usage("SP0521").help("write what stands behind WHERE, as in --where 'id = 4711'")
        }
        Error::Condition { .. } => usage("SP0520").help(
            "it must hold in every table that is named; rows that these refer to come along, so \
             name the table that the condition is about",
        ),
        Error::UnknownTable { known, .. } => {
            usage("SP0522").help(format!("it has: {}", known.join(", ")))
        }
        Error::Virtual { .. } => usage("SP0523")
            .command("look at its rows", "stillpoint sql SNAP:DB 'SELECT ...'")
            .command("or bring the database back", "stillpoint restore SNAP:DB --live"),
        Error::ColumnGone { .. } | Error::ColumnNew { .. } | Error::OtherKey { .. } => {
            usage("SP0524")
                .command("put the rows beside the table", "--mode beside")
                .command("or into a file of their own", "--into FILE")
        }
        Error::Taken { .. } => usage("SP0525").help("rename or drop that table first"),
        Error::FileTaken { .. } => usage("SP0526").help("name a file that does not exist"),
        Error::Orphans { .. } => Entry::new("SP0527", ExitCode::Failed)
            .effect(AS_BEFORE)
            .command("bring those rows back as well", "--table TABLE,PARENT"),
        Error::Locked => Entry::new("SP0528", ExitCode::InUse)
            .effect(AS_BEFORE)
            .help("try again when the application is idle"),
        Error::Full => Entry::new("SP0013", ExitCode::NoSpace)
            .effect(AS_BEFORE)
            .help("free some space where the database lies, and in the folder for temporary files"),
        Error::Present { .. } => Entry::new("SP0529", ExitCode::Failed).effect(AS_BEFORE),
        Error::Past(error) => past::entry(error),
    }
}
