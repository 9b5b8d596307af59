use clap::{CommandFactory, Parser};

use crate::args::Args;

#[test]
fn the_commands_are_well_formed_and_each_shows_an_example() {
    let mut command = Args::command();
    command.build();
    command.clone().debug_assert();
    check_examples(&command, "bursar");
}

fn check_examples(command: &clap::Command, path: &str) {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let path = format!("{path} {}", command.get_name());
        let about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
        let example = about.split_once("Example: ").map(|(_, example)| example);
        assert!(example.is_some_and(|example| example.contains("bursar")), "{path}: no example");
        check_examples(command, &path);
    }
}

#[test]
fn what_can_not_be_meant_is_wrong_usage() {
    for line in [
        "budget set acme 5 --model ",
        "budget set acme 5 --model a\tb",
        "budget top --limit 0",
        "budget top --limit 99999",
    ] {
        let words = ["bursar"].into_iter().chain(line.split(' '));
        let error = Args::try_parse_from(words).unwrap_err().to_string();
        assert!(error.contains("invalid value"), "{line}: {error}");
    }
    // It is refused later, for what it is and not as an option that nobody knows.
    assert!(Args::try_parse_from(["bursar", "budget", "set", "acme", "-5"]).is_ok());
}

#[test]
fn help_reads_as_it_did() {
    let mut command = Args::command().term_width(100);
    let help = command.render_long_help().to_string();

    let kept = include_str!("help.txt");
    assert!(
        help == kept,
        "help has changed; if it is meant, keep this as command/help.txt:\n{help}"
    );
}
