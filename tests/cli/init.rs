//! `init`: an agent is added, by flags or by questions, to a manifest that stays what it was otherwise.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use crate::support::{Home, Terminal, assert_code, assert_says, stderr};

fn text(home: &Home) -> String {
    fs::read_to_string(home.manifest()).unwrap()
}

#[test]
fn the_first_agent_of_a_new_manifest() {
    let home = Home::empty();
    assert_snapshot!(home.shown(&["init", "hello", "--prompt", "Say hello."]), @"
    exit 0
    --- stderr
    added agent `hello` to [HOME]/claude-bottle.yaml
      + bottles:
      +   dev: {}
      + agents:
      +   hello:
      +     bottle: dev
      +     prompt: Say hello.
    hint: no token: Claude Code asks for a login in each bottle, and with --print it fails; claude setup-token, then: export CLAUDE_BOTTLE_OAUTH_TOKEN=TOKEN
    hint: start it: claude-bottle start hello --cwd
    ");
    assert_snapshot!(text(&home), @"
    bottles:
      dev: {}
    agents:
      hello:
        bottle: dev
        prompt: Say hello.
    ");
    let mode = fs::metadata(home.manifest()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    assert_code(&home.call(&["start", "hello", "--dry-run"]), 0);
}

#[test]
fn one_more_agent_and_bottle() {
    let home = Home::with("# mine\nbottles:\n  dev: {}\n\nagents:\n  a:\n    bottle: dev # why\n");
    home.write(".claude/skills/pdf/SKILL.md", "---\nname: pdf\ndescription: x\n---\n");
    assert_snapshot!(home.shown(&["init", "b", "--bottle", "web", "--skill", "pdf"]), @"
    exit 0
    --- stderr
    added agent `b` to [HOME]/claude-bottle.yaml
      +   web: {}
      +   b:
      +     bottle: web
      +     skills:
      +     - pdf
    hint: no token: Claude Code asks for a login in each bottle, and with --print it fails; claude setup-token, then: export CLAUDE_BOTTLE_OAUTH_TOKEN=TOKEN
    hint: start it: claude-bottle start b --cwd
    ");
    assert_snapshot!(text(&home), @"
    # mine
    bottles:
      dev: {}
      web: {}

    agents:
      a:
        bottle: dev # why
      b:
        bottle: web
        skills:
        - pdf
    ");
    assert_snapshot!(home.shown(&["list"]), @"
    exit 0
    --- stdout
    AGENT  BOTTLE  SKILLS  DEFINED
    a      dev             ~/claude-bottle.yaml:7
    b      web     pdf     ~/claude-bottle.yaml:9
    ");
}

#[test]
fn an_empty_file_counts_as_a_new_one() {
    let home = Home::with("# nothing yet\n");
    assert_code(&home.call(&["init", "a"]), 0);
    assert!(text(&home).starts_with("# nothing yet\n"), "{}", text(&home));
}

#[test]
fn a_manifest_in_json() {
    let home = Home::empty();
    let file = home.write("claude-bottle.json", r#"{"bottles": {"dev": {}}, "agents": {}}"#);
    assert_code(&home.call(&["init", "a"]), 0);
    assert_snapshot!(fs::read_to_string(file).unwrap(), @r#"
    {
      "bottles": {
        "dev": {}
      },
      "agents": {
        "a": {
          "bottle": "dev"
        }
      }
    }
    "#);
}

#[test]
fn what_is_refused_changes_nothing() {
    let home = Home::with("bottles: { a: {}, b: {} }\nagents: { x: { bottle: a } }\n");
    let before = text(&home);
    assert_snapshot!(home.shown(&["init"]), @"
    exit 2
    --- stderr
    error: the new agent's name is missing

    hint: claude-bottle init AGENT
    hint: or take all that is offered: claude-bottle init --yes
    ");
    assert_snapshot!(home.shown(&["init", "Code Reviewer", "--bottle", "a"]), @"
    exit 2
    --- stderr
    error: `Code Reviewer` is not a valid agent name: a name has lower-case letters, digits and hyphens, and does not begin with a hyphen

    hint: did you mean `code-reviewer`?
    ");
    assert_snapshot!(home.shown(&["init", "y"]), @"
    exit 2
    --- stderr
    error: which bottle? There are several: a, b

    hint: add --bottle NAME
    ");
    assert_snapshot!(home.shown(&["init", "x", "--bottle", "a"]), @"
    exit 1
    --- stderr
    error: cannot add agent `x`
      caused by: the manifest has an agent `x` already
    ");
    assert_snapshot!(home.shown(&["init", "y", "--bottle", "a", "--skill", "nope"]), @"
    exit 1
    --- stderr
    error: the manifest has a problem

    ~/claude-bottle.yaml:10:7: the skill `nope` is not installed [missing-skill]
       10 |     - nope
          |       ^^^^
        = skills are directories in ~/.claude/skills; there: none

    hint: nothing was written; the lines are those of the manifest as it would be
    ");
    assert_snapshot!(home.shown(&["init", "y", "--bottle", "not/a/name"]), @"
    exit 2
    --- stderr
    error: `not/a/name` is not a valid bottle name: a name has lower-case letters, digits and hyphens, and does not begin with a hyphen

    hint: did you mean `not-a-name`?
    ");
    assert_eq!(text(&home), before);
}

#[test]
fn a_wrong_manifest_is_not_added_to() {
    let home = Home::with("agents: { x: { botle: a } }\n");
    let output = home.call(&["init", "y"]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["[unknown-key]", "did you mean `bottle`?"]);
}

#[test]
fn comments_are_not_lost_silently() {
    let home = Home::with("# mine\nagents: { x: { bottle: dev } }\nbottles: { dev: {} }\n");
    let before = text(&home);
    assert_snapshot!(home.shown(&["init", "y"]), @"
    exit 1
    --- stderr
    error: `[HOME]/claude-bottle.yaml` has to be rewritten, and its comments would be lost

    hint: add --yes to lose them, or add the agent by hand: claude-bottle edit
    ");
    assert_eq!(text(&home), before);
    assert_code(&home.call(&["init", "y", "--yes"]), 0);
    assert_snapshot!(text(&home), @"
    agents:
      x:
        bottle: dev
      y:
        bottle: dev
    bottles:
      dev: {}
    ");
}

#[test]
fn a_projects_manifest_gets_agents_and_no_bottles() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["init", "review", "--here", "--bottle", "dev"]), @"
    exit 0
    --- stderr
    added agent `review` to [HOME]/work/claude-bottle.yaml
      + agents:
      +   review:
      +     bottle: dev
    hint: start it: claude-bottle start review --cwd
    ");
    assert_eq!(
        fs::read_to_string(home.work().join("claude-bottle.yaml")).unwrap(),
        "agents:\n  review:\n    bottle: dev\n"
    );
    assert_code(&home.call(&["start", "review", "--dry-run"]), 0);
    assert_snapshot!(home.shown(&["init", "more", "--here", "--bottle", "web"]), @"
    exit 1
    --- stderr
    error: bottle `web` is not defined, and a project's manifest should define none

    hint: define it in your own manifest: claude-bottle init more --bottle web
    ");
}

#[test]
fn a_trusted_project_needs_trust_again() {
    let home = Home::new();
    home.write("work/claude-bottle.yaml", "bottles:\n  here: {}\nagents:\n  a:\n    bottle: here\n");
    assert_code(&home.call(&["trust", "--yes"]), 0);
    let output = home.call(&["init", "b", "--here", "--bottle", "here"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["need trust again: claude-bottle trust"]);
    assert_says(&stderr(&home.call(&["list"])), &["is not trusted"]);
}

#[test]
fn a_terminal_is_asked_for_everything() {
    let home = Home::empty();
    home.write(".claude/skills/pdf/SKILL.md", "---\nname: pdf\ndescription: x\n---\n");
    home.write("work/package.json", "{}");
    let mut terminal = Terminal::start(home.command(&["init"]).env("ANTHROPIC_API_KEY", "canary-of-init"));
    terminal.wait_for("profiles of programs: claude, codex, gemini, opencode, aider, shell");
    terminal.wait_for("profile [claude]:");
    terminal.type_keys("codx\r");
    terminal.wait_for("there is no profile `codx`; did you mean `codex`?");
    terminal.type_keys("\r");
    terminal.wait_for("name of the agent [claude]:");
    terminal.type_keys("Not A Name\r");
    terminal.wait_for("a name has lower-case letters");
    terminal.type_keys("writer\r");
    terminal.wait_for("bottle it runs in [dev]:");
    terminal.type_keys("\r");
    terminal.wait_for("package.json is here: node");
    terminal.wait_for("presets that it may reach, by commas, or none [node]:");
    terminal.type_keys("node, cargo\r");
    terminal.wait_for("`cargo` is not a valid preset; did you mean `rust`?");
    terminal.type_keys("node, rust, node\r");
    terminal.wait_for("variables with a token: ANTHROPIC_API_KEY");
    terminal.wait_for("variable with the token [ANTHROPIC_API_KEY]:");
    terminal.type_keys("MY_KEY\r");
    terminal.wait_for("Claude Code takes its token from one of");
    terminal.type_keys("\r");
    terminal.wait_for("skills that are installed: pdf");
    terminal.type_keys("pfd\r");
    terminal.wait_for("there is no skill `pfd`");
    terminal.type_keys("pdf\r");
    terminal.wait_for("what it is told first");
    terminal.type_keys("You write.\r");
    let said = terminal.ends_with(0);
    assert!(said.trim_end().ends_with("start it: claude-bottle start writer --cwd"), "{said}");
    assert!(!said.contains("canary-of-init") && !said.contains("log in once"), "{said}");
    assert_snapshot!(text(&home), @"
    bottles:
      dev:
        env:
          ANTHROPIC_API_KEY: ${ANTHROPIC_API_KEY}
        egress:
          presets:
          - node
          - rust
    agents:
      writer:
        bottle: dev
        skills:
        - pdf
        prompt: You write.
    ");
    let key = [("ANTHROPIC_API_KEY", "canary-of-init")];
    assert_code(&home.call_with(&["info", "writer"], &key), 0);
}

#[test]
fn an_agent_in_a_bottle_that_is_there_is_not_asked_what_it_grants() {
    let home = Home::with("bottles:\n  dev: {}\nagents:\n  claude:\n    bottle: dev\n");
    let mut terminal = Terminal::start(&home.command(&["init"]));
    terminal.wait_for("profile [claude]:");
    terminal.type_keys("\r");
    terminal.wait_for("name of the agent:");
    terminal.type_keys("claude\r");
    terminal.wait_for("the manifest has an agent `claude` already");
    terminal.type_keys("b\r");
    terminal.wait_for("bottle it runs in [dev]:");
    terminal.type_keys("\r");
    terminal.wait_for("what it is told first");
    terminal.type_keys("\r");
    let said = terminal.ends_with(0);
    assert!(!said.contains("presets") && !said.contains("token"), "{said}");
}

#[test]
fn without_questions_what_is_offered_is_taken() {
    let home = Home::empty();
    home.write("work/Cargo.toml", "");
    home.write("work/pyproject.toml", "");
    let token = [("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary-of-init"), ("ANTHROPIC_API_KEY", "another")];
    assert_snapshot!(home.shown_with(&["init", "--yes"], &token), @"
    exit 0
    --- stderr
    added agent `claude` to [HOME]/claude-bottle.yaml
      + bottles:
      +   dev:
      +     egress:
      +       presets:
      +       - python
      +       - rust
      + agents:
      +   claude:
      +     bottle: dev
    hint: start it: claude-bottle start claude --cwd
    ");
    let again = home.call(&["init", "--yes"]);
    assert_code(&again, 2);
    assert_says(&stderr(&again), &["the new agent's name is missing", "hint: claude-bottle init AGENT"]);
}

#[test]
fn flags_say_what_a_new_bottle_grants_and_change_none_that_is_there() {
    let home = Home::empty();
    home.write("work/Cargo.toml", "");
    let flags = ["--preset", "node", "--preset", "github", "--token", "CLAUDE_CODE_OAUTH_TOKEN"];
    let init = |agent: &'static str| home.call(&[&["init", agent], &flags[..]].concat());
    let output = init("web");
    assert_code(&output, 0);
    let hint = "it fails; claude setup-token, then: export CLAUDE_CODE_OAUTH_TOKEN=TOKEN";
    assert_says(&stderr(&output), &[hint]);
    assert_snapshot!(text(&home), @"
    bottles:
      dev:
        env:
          CLAUDE_CODE_OAUTH_TOKEN: ${CLAUDE_CODE_OAUTH_TOKEN}
        egress:
          presets:
          - node
          - github
    agents:
      web:
        bottle: dev
    ");
    let before = text(&home);
    let output = init("more");
    assert_code(&output, 1);
    let expected = ["bottle `dev` is there already, and stays as it is", "--bottle", "claude-bottle edit"];
    assert_says(&stderr(&output), &expected);
    let output = home.call(&["init", "more", "--bottle", "new", "--preset", "npm"]);
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["did you mean `node`?", "github"]);
    assert_eq!(text(&home), before);
}

#[test]
fn the_command_names_a_backend_that_works_here() {
    let home = Home::empty();
    let output = home.call_with(&["init", "a"], &[("CLAUDE_BOTTLE_BACKEND", "nomad")]);
    assert_code(&output, 0);
    let command = "start it: claude-bottle start a --cwd --backend fake\n";
    assert_says(&stderr(&output), &["nomad does not work here, and fake does\n", command]);
    let output = home.call(&["init", "b", "--backend", "nomad"]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["backend `nomad` not found", "available backends: fake"]);
    let output = home.call(&["init", "b", "--backend", "fake"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["start it: claude-bottle start b --cwd\n"]);
    // The home directory is not copied into a bottle.
    let output = home.command(&["init", "c"]).current_dir(home.path()).output().unwrap();
    assert_says(&stderr(&output), &["start it: claude-bottle start c\n"]);
}

#[test]
fn who_gives_up_changes_nothing() {
    let home = Home::empty();
    for keys in ["\u{4}", "\u{3}"] {
        let mut terminal = Terminal::start(&home.command(&["init"]));
        terminal.wait_for("profile [claude]:");
        terminal.type_keys(keys);
        terminal.ends_with(0);
        assert!(!home.manifest().exists());
    }
}
