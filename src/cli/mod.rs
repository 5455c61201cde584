//! The command line: one of the faces over `ops`.
//!
//! Parses, calls one use case, prints, and ends with an exit code. Nothing is decided here that the
//! other faces would have to decide again.

mod args;
mod commands;
mod confirm;
mod context;
mod credential;
mod error;
mod exit_code;
mod exported;
mod json;
mod mirrors;
mod output;
mod past;
mod pins;
mod progress;
mod recovery_sheet;
mod rows;
mod run;
mod selection;
mod signals;
mod table;
mod text;

use std::{ffi::OsString, sync::Arc};

use clap::Parser;

pub use exit_code::ExitCode;

use crate::{
    cli::{
        args::{Cli, Command, Global},
        context::Context,
        error::{Error, explain},
        output::{Form, Output},
        run::Done,
    },
    config::Variables,
    setup::Machine,
};

/// Runs one command line and returns how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let variables = Variables::read();
    signals::survive_file_size_limits();
    match Cli::try_parse_from(arguments) {
        Ok(cli) => run_command(cli, variables),
        Err(error) => {
            let output = Output::new(Form::Text, &Global::default(), &variables);
            output.usage(&error.render(), error.use_stderr());
            if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
        }
    }
}

fn run_command(cli: Cli, variables: Variables) -> ExitCode {
    let form = form(&cli.command, cli.global.json || cli.command.wants_json());
    let output = Arc::new(Output::new(form, &cli.global, &variables));
    let name = cli.command.name();
    let mut machine = Machine::real();
    if let Some(total_max) = variables.patience {
        machine.patience.total_max = total_max;
    }
    let context = Context::new(name, cli.global, variables, Arc::clone(&output), machine);
    context.announce();
    let done = commands::run(&context, cli.command);
    finish(&context, done)
}

/// Says how it ended, the last line of a long command's JSON included.
fn finish(context: &Context, done: Result<Done, Error>) -> ExitCode {
    let output = &context.output;
    let written = output.finish().map_err(Error::Output);
    let done = done.and_then(|done| written.map(|()| done)).unwrap_or_else(|error| {
        let mut explanation = explain(&error);
        explanation.exit_code = context.signals.exit_code(explanation.exit_code);
        output.error(&explanation);
        Done::new(explanation.exit_code)
    });
    context.summarize(&done);
    done.exit_code
}

const fn form(command: &Command, json: bool) -> Form {
    match (command.is_raw(), json, command.is_long()) {
        (true, ..) => Form::Raw,
        (_, false, _) => Form::Text,
        (_, _, true) => Form::JsonLines,
        (_, _, false) => Form::JsonObject,
    }
}
