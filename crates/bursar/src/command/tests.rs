use clap::CommandFactory;

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
fn help_reads_as_it_did() {
    let mut command = Args::command().term_width(100);
    let help = command.render_long_help().to_string();

    let kept = include_str!("help.txt");
    assert!(
        help == kept,
        "help has changed; if it is meant, keep this as command/help.txt:\n{help}"
    );
}
