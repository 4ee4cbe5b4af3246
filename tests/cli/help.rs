//! Help texts: one screen each, with examples; and the manual pages.

use insta::assert_snapshot;

use crate::support::{Home, assert_code, assert_says, stdout};

/// Lines of a terminal that is not small.
const SCREEN: usize = 50;

#[test]
fn the_first_help() {
    assert_snapshot!(stdout(&Home::empty().call(&["--help"])), @"
    Run a coding agent with full permissions in a disposable, isolated bottle

    A bottle holds exactly what its manifest grants: skills, a prompt, environment variables, SSH keys,
    an egress allowlist. When the session ends, the bottle is destroyed.

    Usage: claude-bottle [OPTIONS] <COMMAND>

    Commands:
      start        Start an agent in a bottle of its own
      list         List the agents of the manifest, or the bottles that are running
      info         Show what an agent is granted
      init         Add an agent to the manifest
      edit         Edit the manifest; a wrong one is not saved
      exec         Run a program in a bottle that is running
      stop         Close a bottle that is running
      logs         Show the runs there were, and what each asked of its proxy
      cleanup      Remove what dead runs left behind
      policy       Ask what the egress policy allows
      doctor       Say which backends work here and, where one does not, what mends it
      plugin       List, pin, check and begin backend plug-ins
      trust        Trust the bottles of this directory's manifest, as it is now
      untrust      Take that trust back
      schema       Print the manifest's JSON schema
      completions  Print completions for a shell
      man          Write the manual pages into a directory
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
      -v, --verbose...    Log more: -v what is done, -vv every detail
      -q, --quiet         Say only what is asked for, and errors
          --color <WHEN>  When to use colour; NO_COLOR counts for `auto` [default: auto] [possible
                          values: auto, always, never]

    Examples:
      claude-bottle start dev                     start the agent `dev` of claude-bottle.yaml
      claude-bottle start dev --cwd --dry-run     show what would be made, and make nothing
      claude-bottle start dev --print 'fix it'    run once without a terminal
      claude-bottle policy check dev github.com   may `dev` reach github.com, and by which rule

    Environment:
      CLAUDE_BOTTLE_BACKEND       the backend to use (default: docker)
      CLAUDE_BOTTLE_OAUTH_TOKEN   the token the agent gets as CLAUDE_CODE_OAUTH_TOKEN
      CLAUDE_BOTTLE_PLUGIN_PATH   directories of plug-ins, searched first
      CLAUDE_BOTTLE_LOG           what to log, as `debug` or `plugin=trace`
    ");
}

#[test]
fn the_help_of_start() {
    assert_snapshot!(stdout(&Home::empty().call(&["start", "--help"])), @"
    Start an agent in a bottle of its own

    Usage: claude-bottle start [OPTIONS] <AGENT> [-- <ARGS>...]

    Arguments:
      <AGENT>    The agent, as the manifest names it
      [ARGS]...  Arguments for the agent, after those of the manifest

    Options:
          --cwd              Copy the working directory into the bottle
          --dry-run          Show the plan, and make nothing (also CLAUDE_BOTTLE_DRY_RUN=1)
          --format <FORMAT>  How the plan of a dry run is printed [default: text] [possible values:
                             text, json]
      -y, --yes              Start without asking
          --pull             Get the image, or what it is built from, anew from its registry
          --rebuild          Build the image anew from its first step
          --backend <NAME>   The backend to use, instead of CLAUDE_BOTTLE_BACKEND
      -p, --print <PROMPT>   Run once with this prompt, without terminal or question, and print the
                             answer
          --remote-control   Let the session be controlled from elsewhere
          --timings          Show afterwards how long each step took
      -h, --help             Print help

    Global options:
      -v, --verbose...    Log more: -v what is done, -vv every detail
      -q, --quiet         Say only what is asked for, and errors
          --color <WHEN>  When to use colour; NO_COLOR counts for `auto` [default: auto] [possible
                          values: auto, always, never]

    Examples:
      claude-bottle start dev                       ask, then start the agent on this terminal
      claude-bottle start dev --cwd --yes           copy this directory in, and do not ask
      claude-bottle start dev --print 'run tests'   run once, and exit with the agent's code
      claude-bottle start dev --dry-run --format json

    Exit codes:
      the agent's own, or 125 claude-bottle failed, 2 wrong command line, 130 interrupted
    ");
}

#[test]
fn each_help_fits_a_screen_and_has_examples() {
    let home = Home::empty();
    let definition = claude_bottle::definition();
    for command in definition.get_subcommands().filter(|command| !command.is_hide_set()) {
        let nested: Vec<_> = command.get_subcommands().map(|nested| nested.get_name().to_owned()).collect();
        let mut calls = vec![vec![command.get_name().to_owned()]];
        calls.extend(nested.into_iter().map(|nested| vec![command.get_name().to_owned(), nested]));
        for call in calls {
            let mut arguments: Vec<_> = call.iter().map(String::as_str).collect();
            arguments.push("--help");
            let output = home.call(&arguments);
            assert_code(&output, 0);
            let text = stdout(&output);
            assert!(text.lines().count() <= SCREEN, "{arguments:?} has {} lines", text.lines().count());
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{arguments:?} is too wide:\n{text}"
            );
            let has_arguments = command.get_arguments().any(|argument| !argument.is_hide_set());
            if call.len() == 1 && command.get_subcommands().next().is_none() && has_arguments {
                assert_says(&text, &["Example"]);
            }
        }
    }
}

#[test]
fn help_never_needs_a_manifest_a_backend_or_a_home() {
    let home = Home::empty();
    let mut command = home.command(&["start", "--help"]);
    assert_code(&command.env_clear().output().unwrap(), 0);
    assert_says(&stdout(&home.call(&["--version"])), &["claude-bottle 0."]);
}

#[test]
fn manual_pages_are_written() {
    let home = Home::empty();
    let directory = home.path().join("man");
    assert_code(&home.call(&["man", directory.to_str().unwrap()]), 0);
    let mut pages = home.names_in("man");
    pages.sort();
    assert!(pages.contains(&"claude-bottle.1".to_owned()), "{pages:?}");
    assert!(pages.contains(&"claude-bottle-policy-check.1".to_owned()), "{pages:?}");
    assert!(!pages.iter().any(|page| page.contains("reap")), "a hidden command has a page: {pages:?}");
    let page = std::fs::read_to_string(directory.join("claude-bottle-start.1")).unwrap();
    assert_says(&page, &[".TH claude-bottle-start 1", "\\-\\-dry\\-run"]);
}
