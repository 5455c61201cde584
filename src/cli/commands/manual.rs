//! `completions` and `man`: made from the same definition as the parser, so they are never behind
//! it.

use clap::CommandFactory;

use crate::cli::{
    ExitCode,
    args::{Cli, CompletionsArgs, ManArgs},
    context::Context,
    error::Error,
    run::Done,
};

pub fn completions(context: &Context, args: &CompletionsArgs) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(), "stillpoint", &mut script);
    let _ = context.output.raw(&script);
    ExitCode::Done.into()
}

/// The program as a shell should know it: without the commands that are for our own use.
fn visible() -> clap::Command {
    let all = Cli::command();
    let commands = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("stillpoint").args(all.get_arguments().cloned()).subcommands(commands)
}

pub fn man(context: &Context, args: &ManArgs) -> Result<Done, Error> {
    let mut program = Cli::command();
    // Global flags reach the commands only when the tree is built.
    program.build();
    let command = match &args.command {
        None => program,
        Some(name) => page_of(&program, name)?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(Error::Output)?;
    let _ = context.output.raw(&page);
    Ok(ExitCode::Done.into())
}

fn page_of(program: &clap::Command, name: &str) -> Result<clap::Command, Error> {
    let visible = |command: &&clap::Command| !command.is_hide_set();
    let found = program.find_subcommand(name).filter(visible).cloned();
    found.ok_or_else(|| Error::Usage {
        message: format!("there is no command `{name}`"),
        help: "see all of them:  stillpoint --help",
    })
}
