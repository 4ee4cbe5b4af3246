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
      start        Start an agent in a bottle of its own [alias: run]
      list         List the agents of the manifest, or the bottles that are running [alias: ls]
      ps           List the bottles that are running: list active
      info         Show what an agent is granted
      init         Add an agent to the manifest
      edit         Edit the manifest (validated before saving)
      attach       Attach to the session of a bottle that was started with --survive
      wait         Wait for the end of a run, and exit with its agent's code
      exec         Run a program in a bottle that is running
      forward      Open a bottle's ports on this machine's loopback
      watch        Watch all bottles on one screen, and answer what they ask for
      stop         Stop a bottle: save its changes and remove it [alias: rm]
      results      List saved changes of agents
      diff         Show what an agent changed
      apply        Write an agent's changes into the directory they came from
      resume       Go on from saved changes in a new bottle
      save         Save an agent's changes now
      discard      Delete saved changes
      logs         Show past runs and their network requests
      cleanup      Remove leftovers of crashed runs
      policy       Ask what the egress policy allows, or change it in a running bottle
      secret       Give a secret of a running bottle another value: secret set
      doctor       Check which backends work here, and how to fix the others
      verify       Try what a bottle keeps from its agent on this machine
      plugin       Manage backend plug-ins
      cluster      Print what a Kubernetes cluster needs for bottles: cluster manifest
      trust        Trust this version of this directory's manifest
      untrust      Revoke trust in this directory's manifest
      schema       Print the manifest's JSON schema
      completions  Print completions for a shell
      man          Write the manual pages into a directory
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
      -v, --verbose...    Say more: the whole plan and the steps (-vv for details of these)
      -q, --quiet         Print results, warnings and errors only
          --color <WHEN>  When to use colour; NO_COLOR counts for `auto` [default: auto] [possible
                          values: auto, always, never]
          --no-project    Ignore the manifest of the project, in this directory or above

    Examples:
      claude-bottle start dev                     start the agent `dev` of claude-bottle.yaml
      claude-bottle start dev --cwd --dry-run     show what would be made, and make nothing
      claude-bottle start dev --print 'fix it'    run once without a terminal
      claude-bottle policy check dev github.com   may `dev` reach github.com, and by which rule

    Environment:
      CLAUDE_BOTTLE_BACKEND       the backend to use (default: docker)
      CLAUDE_BOTTLE_OAUTH_TOKEN   the token of Claude Code, which its agents use and cannot read
      CLAUDE_BOTTLE_PLUGIN_PATH   directories of plug-ins, searched first
      CLAUDE_BOTTLE_LOG           what to log, as `debug` or `plugin=trace`
    ");
}

#[test]
fn the_help_of_start() {
    assert_snapshot!(stdout(&Home::empty().call(&["start", "--help"])), @"
    Start an agent in a bottle of its own

    Usage: claude-bottle start [OPTIONS] [AGENT] [-- <ARGS>...]

    Arguments:
      [AGENT]    The agent, as the manifest names it
      [ARGS]...  Arguments for the agent, after those of the manifest

    Options:
          --cwd[=<DIR>]              Copy in the working directory or its repository, or exactly DIR
          --no-save                  Save nothing of what the agent changes in the copy
          --ignored                  Save what git ignores too
          --commits                  Keep the agent's own commits: apply --branch NAME --commits
          --apply                    Take what changed at once, where none of it needs a word of its own
          --keep                     Keep the bottle's files when it ends, for resume
          --name <NAME>              What the bottle is called, in every command that takes one
          --dry-run                  Show the plan, and make nothing (also CLAUDE_BOTTLE_DRY_RUN=1)
          --format <FORMAT>          How the plan of a dry run is printed [default: text] [possible
                                     values: text, json]
      -y, --yes                      Start without asking
          --ask                      Ask, although config.yaml says not to
          --allow-unenforced-egress  Start although the backend does not enforce the egress policy
          --ask-hosts                Let requests to hosts that no rule allows wait for an answer
          --pull                     Pull the image or its base again
          --rebuild                  Rebuild the image without its cache
          --backend <NAME>           The backend to use, instead of CLAUDE_BOTTLE_BACKEND
      -p, --print <PROMPT>           Run once with this prompt, and print the answer
          --survive[=<BOOL>]         Leave the agent running when its terminal is closed or lost
      -d, --detach                   Start in the background, and print the bottle's name
          --record                   Keep what the terminal shows: claude-bottle logs --transcript
          --remote-control           Let the session be controlled from elsewhere
          --timings                  Show afterwards how long each step took
      -h, --help                     Print help

    Global options:
      -v, --verbose...    Say more: the whole plan and the steps (-vv for details of these)
      -q, --quiet         Print results, warnings and errors only
          --color <WHEN>  When to use colour; NO_COLOR counts for `auto` [default: auto] [possible
                          values: auto, always, never]
          --no-project    Ignore the manifest of the project, in this directory or above

    Examples:
      claude-bottle start dev                       ask, then start the agent on this terminal
      claude-bottle start dev --cwd --yes           copy this directory in, and do not ask
      claude-bottle start dev --print 'run tests'   run once, and exit with the agent's code
      claude-bottle start dev --name parser         then: claude-bottle exec parser -- bash
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
    let manifest = std::fs::read_to_string(directory.join("claude-bottle.yaml.5")).unwrap();
    assert_says(
        &manifest,
        &[".TH claude\\-bottle.yaml 5", ".SH KEYS OF bottles.NAME.egress", ".SH SEE ALSO"],
    );
    for page in pages.iter().filter(|page| page.ends_with(".1")) {
        let page = std::fs::read_to_string(directory.join(page)).unwrap();
        let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        assert_eq!(sections[..3], ["NAME", "SYNOPSIS", "DESCRIPTION"], "{page}");
        assert_eq!(sections[sections.len() - 2..], ["FILES", "SEE ALSO"], "{page}");
        assert!(!sections.contains(&"EXTRA"), "{page}");
        let name = page.split(".SH NAME\n").nth(1).unwrap().split(".SH ").next().unwrap();
        assert_eq!(name.lines().count(), 1, "{name}");
    }
    // Where pages are installed, each section has a directory of its own.
    let installed = home.path().join("share/man1");
    assert_code(&home.call(&["man", installed.to_str().unwrap()]), 0);
    assert_eq!(home.names_in("share/man5"), ["claude-bottle.yaml.5"]);
    assert!(!home.names_in("share/man1").iter().any(|name| name.ends_with(".5")));
}

#[test]
fn help_is_the_help_also_of_itself() {
    let home = Home::empty();
    let help = home.call(&["help"]);
    assert_code(&help, 0);
    for words in [["help", "--help"], ["help", "-h"]] {
        let output = home.call(&words);
        assert_code(&output, 0);
        assert_eq!(stdout(&output), stdout(&help));
    }
}
