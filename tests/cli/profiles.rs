//! Profiles of agents' programs, as far as they show without a backend that starts others than Claude Code.

use std::fs;

use crate::support::{Home, assert_code, assert_says, stderr, stdout};

const MANIFEST: &str = "\
bottles: { dev: {} }
agents:
  cx: { bottle: dev, profile: codex }
  own: { bottle: dev, profile: mine, prompt: Be kind. }
  sh: { bottle: dev, profile: shell, command: [sh, -c, echo] }
";

/// A home with a profile of the user's own.
fn home() -> Home {
    let home = Home::with(MANIFEST);
    let profiles = home.path().join(".config/claude-bottle/profiles");
    fs::create_dir_all(&profiles).unwrap();
    let mine = "about: Mine\nbuilt_in: true\ncommand: [echo, mine]\nheadless: [ask, '{--}', '{prompt}', '{arguments}']\n\
                hosts: [{ host: 'api.mine.test:8443', source: 'https://mine.test' }]\nprompt: { arguments: [--told, '{path}'] }\n";
    fs::write(profiles.join("mine.yaml"), mine).unwrap();
    home
}

#[test]
fn an_agent_reaches_the_hosts_of_its_profile_and_no_others() {
    let home = home();
    for (agent, host, code) in [
        ("cx", "api.openai.com", 0),
        ("cx", "api.anthropic.com", 1),
        ("own", "api.mine.test:8443", 0),
        ("own", "api.openai.com", 1),
        ("sh", "api.anthropic.com", 1),
    ] {
        assert_code(&home.call(&["policy", "check", agent, host]), code);
    }
    let shown = stdout(&home.call(&["policy", "show", "cx"]));
    assert!(shown.contains("api.openai.com") && !shown.contains("claude.ai"), "{shown}");
}

#[test]
fn a_profile_of_ones_own_says_how_its_program_is_called() {
    let home = home();
    let output = home.call(&["start", "own", "--print", "-x", "--", "more"]);
    assert_code(&output, 0);
    // How it is told its prompt is added by the backend, which this one does not do.
    assert_eq!(stdout(&output), "mine ask -- -x more\n");
    let output = home.call(&["start", "own", "--remote-control", "--yes"]);
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["--remote-control is not for the profile `mine`, which `own` has"]);
    let output = home.call(&["start", "sh", "--print", "x"]);
    assert_says(&stderr(&output), &["--print is for agents that run `bash`; `sh` runs `sh`"]);
}

#[test]
fn a_backend_that_starts_no_other_agent_is_refused_with_the_line() {
    let output = home().call(&["start", "cx", "--dry-run"]);
    assert_code(&output, 125);
    let line = "~/claude-bottle.yaml:3: the profile `codex`: the fake backend starts no agent but `claude`";
    assert_says(&stderr(&output), &[line, "--backend NAME"]);
}

#[test]
fn a_profile_that_cannot_be_used_is_told_with_its_file_and_line() {
    let home = home();
    let file = home.path().join(".config/claude-bottle/profiles/mine.yaml");
    fs::write(&file, "about: Mine\ncomand: [x]\n").unwrap();
    let output = home.call(&["info", "own"]);
    assert_code(&output, 1);
    let place = file.display().to_string();
    assert_says(
        &stderr(&output),
        &["the profile `mine` cannot be used", &place, "unknown field `comand`", "line 2"],
    );
    // The others are not concerned.
    assert_code(&home.call(&["info", "cx"]), 0);
}

#[test]
fn init_writes_the_profile_and_takes_its_own_token() {
    let home = Home::empty();
    let output = home.call(&["init", "cx", "--profile", "codex", "--token", "OPENAI_API_KEY"]);
    assert_code(&output, 0);
    let written = fs::read_to_string(home.path().join("claude-bottle.yaml")).unwrap();
    assert!(
        written.contains("    profile: codex\n") && written.contains("OPENAI_API_KEY: ${OPENAI_API_KEY}"),
        "{written}"
    );
    assert_says(&stderr(&output), &["no token: Codex has no key", "start it: claude-bottle start cx"]);
    let output =
        home.call(&["init", "b", "--profile", "codex", "--token", "ANTHROPIC_API_KEY", "--bottle", "other"]);
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["`ANTHROPIC_API_KEY` is not a variable", "`codex`", "OPENAI_API_KEY"]);
    let output = home.call(&["init", "b", "--profile", "codx"]);
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["there is no profile `codx`; did you mean `codex`?"]);
}

/// The bottle is the user's, and the agent a stranger's.
#[test]
fn an_untrusted_project_opens_no_host_by_an_agent() {
    let home = home();
    let project = |agent: &str| {
        fs::write(
            home.work().join("claude-bottle.yaml"),
            format!("agents:\n  x: {{ bottle: dev, {agent} }}\n"),
        )
        .unwrap();
        home.call(&["info", "x"])
    };
    for (agent, said) in [
        (
            "profile: codex",
            "the profile `codex` opens `api.openai.com` in a bottle that is not the project's",
        ),
        ("mcp: { t: { url: 'https://mcp.test/' } }", "a server at `mcp.test:443` opens it in a bottle"),
    ] {
        let output = project(agent);
        assert_code(&output, 1);
        assert_says(&stderr(&output), &[said, "claude-bottle trust"]);
    }
    for allowed in ["profile: shell", "setup: [npm ci]", "mcp: { t: { command: x } }"] {
        assert_code(&project(allowed), 0);
    }
}

#[test]
fn a_server_of_tools_elsewhere_is_in_the_policy_with_its_line() {
    let manifest = "bottles: { dev: {} }\nagents:\n  a:\n    bottle: dev\n    mcp: { t: { url: 'https://mcp.test/x' } }\n";
    let home = Home::with(manifest);
    assert_code(&home.call(&["policy", "check", "a", "mcp.test"]), 0);
    assert_code(&home.call(&["policy", "check", "a", "mcp.test:80"]), 1);
    let lacking = manifest.replace("x' }", "x', headers: { K: '${KEY}' } }");
    let output = Home::with(&lacking).call(&["start", "a", "--dry-run"]);
    assert_code(&output, 125);
    let line = "~/claude-bottle.yaml:5: the server `t` gets `KEY`, which is not in `env` of bottle `dev`";
    assert_says(&stderr(&output), &[line]);
    let shown = stdout(&home.call(&["policy", "show", "a"]));
    assert!(shown.contains("mcp of agent a, ~/claude-bottle.yaml:5"), "{shown}");
}

/// People write secrets in clear although they should not.
#[test]
fn what_may_be_a_secret_of_a_server_is_in_no_message() {
    for server in
        ["headers: { Authorization: canary }, url: 'https://x.test/'", "url: 'https://u:canary@x.test/'"]
    {
        let manifest = format!(
            "bottles: {{ dev: {{}} }}\nagents:\n  a:\n    bottle: dev\n    mcp: {{ t: {{ {server} }} }}\n"
        );
        let output = Home::with(&manifest).call(&["info", "a"]);
        assert_code(&output, 1);
        let said = stderr(&output);
        assert!(said.contains("claude-bottle.yaml:5") && !said.contains("canary"), "{said}");
    }
}
