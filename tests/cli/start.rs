//! `start`: the plan, the question, the agent's streams and exit code, and what it refuses.

use insta::assert_snapshot;

use crate::support::{Home, Terminal, assert_code, assert_says, json, keys, stderr, stdout};

#[test]
fn an_agent_runs_and_nothing_is_left() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["start", "hello", "--yes"]), @"
    exit 0
    --- stdout
    hello
    --- stderr
      agent      hello: echo hello; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    none
      egress     NOT ENFORCED by this backend: every host may be reached, not only 9 (git.example:22, github.com, 7 defaults)
      given      prompt: 29 characters, not passed to `echo`; env: COLOUR
      note: the fake backend isolates nothing; it is for tests
    ");
    home.assert_nothing_left();
}

#[test]
fn a_dry_run_makes_nothing() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["start", "hello", "--dry-run"]), @"
    exit 0
    --- stderr
      agent      hello (echo hello)
      bottle     dev
      backend    fake
      container  fake-hello-[ID]
      runtime    none
      env        COLOUR
      skills     none
      ssh        none
      prompt     29 chars; first line: You say hello.
      egress     NOT ENFORCED by this backend: every host may be reached, not only 9 (git.example:22, github.com, 7 defaults)
      workspace  none (--cwd copies one in)
      note: the fake backend isolates nothing; it is for tests
    dry-run requested; nothing was started.
    ");
    home.assert_nothing_left();
    assert_eq!(home.names_in(".local/state/claude-bottle/bottles"), Vec::<String>::new());
    let by_variable = home.call_with(&["start", "hello"], &[("CLAUDE_BOTTLE_DRY_RUN", "1")]);
    assert_code(&by_variable, 0);
    assert_says(&stderr(&by_variable), &["dry-run requested; nothing was started."]);
}

/// A word that is not known must not mean "no": what was to be shown would be started.
#[test]
fn a_switch_takes_known_words_alone() {
    let home = Home::new();
    for (word, is_dry) in
        [("1", true), ("true", true), ("on", true), ("0", false), ("no", false), ("", false)]
    {
        let output = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_DRY_RUN", word)]);
        assert_code(&output, 0);
        assert_eq!(stdout(&output).is_empty(), is_dry, "{word}");
    }
    let maybe = [("CLAUDE_BOTTLE_DRY_RUN", "maybe")];
    assert_code(&home.call_with(&["start", "hello", "--dry-run"], &maybe), 125);
    assert_snapshot!(home.shown_with(&["start", "hello", "--yes"], &maybe), @"
    exit 125
    --- stderr
    error: CLAUDE_BOTTLE_DRY_RUN is `maybe`, which is not a switch

    hint: use 1, true, yes or on; 0, false, no or off; or unset it
    ");
    assert_snapshot!(home.shown_with(&["list"], &[("CLAUDE_BOTTLE_LOG", "plugin=debug,loud")]), @"
    exit 1
    --- stderr
    error: CLAUDE_BOTTLE_LOG has `loud`, which is not a level

    hint: use off, error, warn, info, debug, trace, or one of them for a part: claude_bottle=debug,plugin=trace
    ");
    home.assert_nothing_left();
}

#[test]
fn a_dry_run_as_json() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["start", "hello", "--dry-run", "--format", "json"]), @r#"
    exit 0
    --- stdout
    {
      "agent": "hello",
      "bottle": "dev",
      "backend": "fake",
      "image": null,
      "container_name": "fake-hello-[ID]",
      "runtime": "none",
      "survives": false,
      "command": [
        "echo",
        "hello"
      ],
      "env_names": [
        "COLOUR"
      ],
      "profile": "claude",
      "skills": [],
      "ssh_hosts": [],
      "egress": {
        "proxy": "guard",
        "hosts": [
          "api.anthropic.com",
          "claude.ai",
          "downloads.claude.ai",
          "git.example:22",
          "github.com",
          "platform.claude.com",
          "raw.githubusercontent.com",
          "sentry.io",
          "statsig.anthropic.com"
        ],
        "enforced": false,
        "upstream_proxy": null,
        "forward": []
      },
      "prompt_chars": 29,
      "remote_control": false,
      "workspace": null,
      "limits": {
        "cpus": null,
        "memory_bytes": null,
        "pids": null
      },
      "options": null,
      "facts": [],
      "limitations": [
        "the fake backend isolates nothing; it is for tests"
      ]
    }
    "#);
}

/// A program that reads the plan relies on these keys: more may come, none may go.
#[test]
fn the_keys_of_the_plan_are_a_contract() {
    let output = Home::new().call(&["start", "hello", "--dry-run", "--format", "json"]);
    let plan = json(&output);
    let promised = [
        "agent",
        "backend",
        "bottle",
        "container_name",
        "egress",
        "env_names",
        "image",
        "profile",
        "prompt_chars",
        "remote_control",
        "runtime",
        "skills",
        "ssh_hosts",
    ];
    let there = keys(&plan);
    for key in promised {
        assert!(there.contains(&key), "`{key}` is not among {there:?}");
    }
    assert_eq!(plan["prompt_chars"], 29);
    assert_eq!(plan["remote_control"], false);
    let hosts: Vec<_> =
        plan["egress"]["hosts"].as_array().unwrap().iter().map(|host| host.as_str().unwrap()).collect();
    let mut sorted = hosts.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(hosts, sorted);
    assert!(hosts.contains(&"api.anthropic.com") && hosts.contains(&"git.example:22"), "{hosts:?}");
    assert!(!hosts.iter().any(|host| host.contains("gist")), "a denied host is shown as allowed: {hosts:?}");
}

#[test]
fn json_is_for_dry_runs() {
    assert_snapshot!(Home::new().shown(&["start", "hello", "--format", "json"]), @"
    exit 2
    --- stderr
    error: --format json is for dry runs

    hint: add --dry-run
    ");
}

#[test]
fn an_unknown_agent() {
    assert_snapshot!(Home::new().shown(&["start", "helo", "--yes"]), @"
    exit 125
    --- stderr
    error: there is no agent `helo`

    hint: did you mean `hello`?
    hint: agents: hello, shell
    ");
}

#[test]
fn no_manifest() {
    assert_snapshot!(Home::empty().shown(&["start", "hello", "--yes"]), @"
    exit 125
    --- stderr
    error: the manifest has a problem

    there is no manifest [no-file]
        = a manifest is called claude-bottle.yaml, claude-bottle.yml, claude-bottle.json
        = it was looked for in the home directory, in `~/.config/claude-bottle`, in the working directory and above

    hint: run `claude-bottle init` to write one
    ");
}

#[test]
fn a_wrong_manifest() {
    let home = Home::with("bottles: { dev: {} }\nagents:\n  hello:\n    botle: dev\n");
    assert_snapshot!(home.shown(&["start", "hello", "--yes"]), @"
    exit 125
    --- stderr
    error: the manifest has 2 problems

    ~/claude-bottle.yaml:3:3: agent `hello` has no `bottle` [missing-key]
        3 |   hello:
          |   ^^^^^
        = bottles that are defined: dev

    ~/claude-bottle.yaml:4:5: unknown key `botle` in agent `hello` [unknown-key]
        4 |     botle: dev
          |     ^^^^^
        = did you mean `bottle`?
        = known keys: bottle, claude, command, history, mcp, profile, prompt, prompt_file, settings, setup, skills, survive
    ");
}

#[test]
fn no_terminal_to_ask_on() {
    assert_snapshot!(Home::new().shown(&["start", "hello"]), @"
    exit 125
    --- stderr
      agent      hello: echo hello; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    none
      egress     NOT ENFORCED by this backend: every host may be reached, not only 9 (git.example:22, github.com, 7 defaults)
      given      prompt: 29 characters, not passed to `echo`; env: COLOUR
      note: the fake backend isolates nothing; it is for tests
    error: cannot ask: standard input is not a terminal

    hint: add --yes --allow-unenforced-egress to start without asking
    ");
}

#[test]
fn an_unknown_backend() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["start", "hello", "--yes", "--backend", "dcoker"]), @"
    exit 125
    --- stderr
    error: backend `dcoker` not found

    hint: available backends: fake
    hint: looked in: `[HOME]/.local/share/claude-bottle/plugins` (data directory, does not exist); `[PREFIX]/lib/claude-bottle/plugins` (next to the program)
    hint: to add it: install -D -m 755 FILE ~/.local/share/claude-bottle/plugins/claude-bottle-backend-dcoker.so
    ");
    assert_snapshot!(home.shown(&["start", "hello", "--yes", "--backend", "../x"]), @"
    exit 125
    --- stderr
    error: `../x` is not a backend's name

    hint: a name is a lower-case letter, then letters, digits and hyphens: docker
    ");
    let from_variable = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_BACKEND", "nomad")]);
    assert_code(&from_variable, 125);
    assert_says(&stderr(&from_variable), &["backend `nomad` not found"]);
}

#[test]
fn the_flag_wins_over_the_variable() {
    let output = Home::new()
        .call_with(&["start", "hello", "--yes", "--backend", "fake"], &[("CLAUDE_BOTTLE_BACKEND", "nomad")]);
    assert_code(&output, 0);
}

#[test]
fn the_agents_exit_code_is_passed_on() {
    let home = Home::new();
    for code in [0, 1, 2, 7, 125, 130, 255] {
        let output = home.call(&["start", "shell", "--yes", "--", &format!("exit {code}")]);
        assert_code(&output, code);
    }
    home.assert_nothing_left();
}

#[test]
fn streams_are_the_agents_own() {
    let home = Home::new();
    let script = "cat; echo to stderr >&2; exit 3";
    let large = "line\n".repeat(50_000);
    let output = home.call_fed(&["start", "shell", "--yes", "--", script], large.as_bytes());
    assert_code(&output, 3);
    assert_eq!(stdout(&output), large);
    assert_says(&stderr(&output), &["to stderr\n"]);
}

#[test]
fn a_prompt_to_print_is_for_claude() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["start", "hello", "--print", "hi"]), @"
    exit 2
    --- stderr
    error: --print is for agents that run `claude`; `hello` runs `echo`

    hint: pass arguments of its own after --, and add --yes
    ");
    // A program of that name, found on the bottle's PATH or not: what matters is what it would be given.
    let home = Home::with("bottles: { dev: {} }\nagents: { a: { bottle: dev } }\n");
    let plan = json(&home.call(&[
        "start",
        "a",
        "--print",
        "hi",
        "--dry-run",
        "--format",
        "json",
        "--",
        "--model",
        "x",
    ]));
    let command = ["claude", "--dangerously-skip-permissions", "--model", "x", "--print", "hi"];
    assert_eq!(plan["command"], serde_json::json!(command));
}

/// Lists and front matter are usual prompts.
#[test]
fn a_prompt_to_print_may_begin_with_a_dash() {
    let home = Home::with("bottles: { dev: {} }\nagents: { a: { bottle: dev } }\n");
    for prompt in ["- fix it", "--- \ntitle: x", "--yes"] {
        let arguments =
            ["start", "a", "--remote-control", "--dry-run", "--format", "json", "--print", prompt];
        let plan = json(&home.call(&arguments));
        let command =
            ["claude", "--dangerously-skip-permissions", "--remote-control", "--print", "--", prompt];
        assert_eq!(plan["command"], serde_json::json!(command));
    }
}

#[test]
fn remote_control_is_for_claude() {
    assert_snapshot!(Home::new().shown(&["start", "hello", "--remote-control", "--yes"]), @"
    exit 2
    --- stderr
    error: --remote-control is for agents that run `claude`; `hello` runs `echo`

    hint: pass arguments of its own after --, and add --yes
    ");
}

#[test]
fn a_program_that_is_not_there() {
    let home =
        Home::with("bottles: { dev: {} }\nagents: { a: { bottle: dev, command: [no-such-program] } }\n");
    assert_snapshot!(home.shown(&["start", "a", "--yes"]), @"
    exit 125
    --- stderr
      agent      a: no-such-program; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    none
      egress     NOT ENFORCED by this backend: every host may be reached, not only 7 (7 defaults)
      given      none
      note: the fake backend isolates nothing; it is for tests
    error: cannot run `no-such-program`
      caused by: No such file or directory (os error 2)
    ");
    home.assert_nothing_left();
}

#[test]
fn a_missing_variable_of_the_host() {
    let home = Home::with(
        "bottles: { dev: { env: { TOKEN: '${MY_TOKEN}', OTHER: '${ALSO_MISSING}' } } }\nagents: { a: { bottle: dev, command: ['true'] } }\n",
    );
    assert_snapshot!(home.shown(&["start", "a", "--yes"]), @"
    exit 125
    --- stderr
    error: `ALSO_MISSING`, which `OTHER` is taken from, is not set; `MY_TOKEN`, which `TOKEN` is taken from, is not set

    hint: set it before the start: `export ALSO_MISSING=…`
    ");
    assert_code(&home.call_with(&["start", "a", "--yes"], &[("MY_TOKEN", "x"), ("ALSO_MISSING", "y")]), 0);
}

#[test]
fn a_secret_that_cannot_be_asked_for() {
    let home = Home::with(
        "bottles: { dev: { env: { TOKEN: '?the token' } } }\nagents: { a: { bottle: dev, command: ['true'] } }\n",
    );
    assert_snapshot!(home.shown(&["start", "a", "--yes"]), @"
    exit 125
    --- stderr
      agent      a: true; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    readable by the agent: TOKEN
      egress     NOT ENFORCED by this backend: every host may be reached, not only 7 (7 defaults)
      given      none
      note: the fake backend isolates nothing; it is for tests
    error: cannot ask for the secret `TOKEN`
      caused by: cannot ask: standard input is not a terminal

    hint: run on a terminal, or write `${TOKEN}` in the manifest and set that variable before the start
    ");
    assert_code(&home.call(&["start", "a", "--dry-run"]), 0);
}

#[test]
fn a_wrong_port() {
    let shown = Home::new().shown_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_PIPELOCK_PORT", "x")]);
    assert_snapshot!(shown, @"
    exit 125
    --- stderr
    error: CLAUDE_BOTTLE_PIPELOCK_PORT is `x`; a port is 1 to 65535
      caused by: invalid digit found in string
    ");
}

#[test]
fn steps_are_timed_on_request() {
    let output = Home::new().call(&["start", "hello", "--yes", "--timings"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &[" ms  make-record", " ms  in all (steps at the same time count once)\n"]);
}

fn ask(home: &Home, answer: &str) -> (u32, String) {
    let mut terminal = Terminal::start(&home.command(&["start", "hello"]));
    terminal.wait_for(
        "claude-bottle: launch this agent, with an egress policy that nothing enforces? [y/N, d for details]",
    );
    terminal.type_keys(answer);
    terminal.end()
}

#[test]
fn only_yes_starts_the_agent() {
    let home = Home::new();
    for answer in ["\r", "n\r", "Yes\r", "yess\r", " y\r", "\u{4}"] {
        let (code, contents) = ask(&home, answer);
        assert_eq!(code, 0, "{answer:?}: {contents}");
        assert_says(&contents, &["aborted by user"]);
        home.assert_nothing_left();
    }
    for answer in ["y\r", "Y\r", "yes\r", "YES\r"] {
        let (code, contents) = ask(&home, answer);
        assert_eq!(code, 0, "{answer:?}: {contents}");
        assert!(!contents.contains("aborted by user"), "{contents}");
    }
}

/// What decides is shown; whoever wants to see everything does, before the answer.
#[test]
fn the_details_of_a_plan_are_a_key_or_a_flag_away() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home.command(&["start", "hello"]));
    terminal.wait_for("[y/N, d for details]");
    terminal.type_keys("d\r");
    terminal.wait_for("first line: You say hello.");
    terminal.wait_for("[y/N] ");
    terminal.type_keys("n\r");
    let contents = terminal.ends_with(0);
    assert_says(&contents, &["aborted by user"]);
    assert!(contents.find("given").unwrap() < contents.find("container").unwrap(), "{contents}");
    let mut terminal = Terminal::start(&home.command(&["start", "hello", "-v"]));
    terminal.wait_for("container");
    terminal.wait_for("[y/N] ");
    terminal.type_keys("y\r");
    terminal.ends_with(0);
    home.assert_nothing_left();
}

#[test]
fn an_interrupt_at_the_question_ends_it() {
    let home = Home::new();
    let (code, contents) = ask(&home, "\u{3}");
    assert_eq!(code, 130, "{contents}");
    home.assert_nothing_left();
}

#[test]
fn a_secret_is_asked_for_without_echo_and_after_the_plan() {
    let home = Home::with(
        "bottles: { dev: { env: { TOKEN: '?the token' } } }\nagents: { a: { bottle: dev, command: [echo, ran] } }\n",
    );
    let mut terminal = Terminal::start(&home.command(&["start", "a"]));
    terminal.wait_for("enforces? [y/N, d for details]");
    terminal.type_keys("y\r");
    terminal.wait_for("the token (TOKEN):");
    terminal.type_keys("s3cret-value\r");
    let contents = terminal.ends_with(0);
    assert!(contents.lines().any(|line| line.trim().ends_with("(bottle)\u{7}ran")), "{contents}");
    assert!(!contents.contains("s3cret"), "{contents}");
}

#[test]
fn quiet_does_not_hide_what_is_agreed_to() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home.command(&["-q", "start", "hello"]));
    terminal.wait_for("enforces? [y/N, d for details]");
    terminal.wait_for("NOT ENFORCED");
    terminal.type_keys("n\r");
    terminal.ends_with(0);
}
