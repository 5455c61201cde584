use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does() {
    for command in Cli::command().get_subcommands() {
        assert!(
            command.get_about().is_some_and(|about| about.to_string().len() > 10),
            "{}",
            command.get_name()
        );
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn names_in_the_program_are_those_that_people_type() {
    let mut samples = vec![
        "init",
        "backup",
        "restore x --target t",
        "capture-child",
        "check-child quick db",
        "snapshots",
        "ls x",
        "dump x",
        "diff x y",
        "stats",
        "find x",
        "growth",
        "history --table x --key y",
        "prune",
        "undo",
        "restores",
        "guard -- x",
        "drill",
        "status",
        "sql x y",
        "tables x",
        "schema x",
        "forget x",
        "undelete x",
        "pin x --reason y",
        "unpin x",
        "check",
        "repair",
        "rebuild-index",
        "export x --output f",
        "import f",
        "key list",
        "mirror list",
        "runs",
        "doctor",
        "cat x",
        "debug x",
        "completions bash",
        "man",
        "version",
    ];

    if cfg!(feature = "mount") {
        samples.push("mount all x");
    }
    assert_eq!(Cli::command().get_subcommands().count(), samples.len());
    for sample in samples {
        let words: Vec<&str> = ["stillpoint"].into_iter().chain(sample.split(' ')).collect();
        let cli = Cli::try_parse_from(&words).unwrap();
        assert_eq!(cli.command.name(), words[1]);
    }
}

#[test]
fn global_flags_stand_before_or_after_the_command() {
    for words in [
        ["stillpoint", "-r", "/r", "--json", "snapshots"],
        ["stillpoint", "snapshots", "--json", "--repo", "/r"],
    ] {
        let cli = Cli::try_parse_from(words).unwrap();

        assert_eq!(cli.global.repo, Some("/r".into()));
        assert!(cli.global.json);
    }
}

#[test]
fn commands_cannot_be_abbreviated() {
    assert!(Cli::try_parse_from(["stillpoint", "back"]).is_err());
    assert!(Cli::try_parse_from(["stillpoint", "list"]).is_ok());
}
