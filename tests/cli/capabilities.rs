//! What a backend does not declare is refused, and an egress policy that nothing enforces is never taken for one.

use std::fs;

use crate::support::{Home, Terminal, assert_code, assert_says, json, stderr, stdout};

/// Makes a home whose bottle and agent ask for more.
fn home(bottle: &str, agent: &str) -> Home {
    let home = Home::with(&format!(
        "bottles:\n  dev:\n    env: {{ A: b }}\n{bottle}agents:\n  hello:\n    bottle: dev\n    command: [echo, hello]\n{agent}"
    ));
    home.write(".claude/skills/review/SKILL.md", "---\nname: review\ndescription: x\n---\n");
    home.write("key", "a key that nothing reads");
    fs::set_permissions(home.path().join("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    home
}

#[test]
fn what_the_backend_does_not_offer_is_refused_with_its_place() {
    let ssh = "    ssh:\n      - { Host: forge, Hostname: forge.test, IdentityFile: ~/key }\n";
    for (bottle, agent, more, capability, place) in [
        (ssh, "", &[][..], "ssh", "~/claude-bottle.yaml:5: the ssh entry `forge`"),
        ("", "    skills: [review]\n", &[], "skills", "~/claude-bottle.yaml:5: the skill `review`"),
        ("    limits: { pids: 50 }\n", "", &[], "limits", "~/claude-bottle.yaml:2: `limits`"),
        ("    image: mine:1\n", "", &[], "image", "~/claude-bottle.yaml:2: the image `mine:1`"),
        (
            "    egress: { proxy: pipelock }\n",
            "",
            &[],
            "pipelock",
            "~/claude-bottle.yaml:2: the proxy pipelock",
        ),
    ] {
        let home = home(bottle, agent);
        for how in ["--dry-run", "--yes"] {
            let output = home.call(&[&["start", "hello", how][..], more].concat());
            assert_code(&output, 125);
            let told = format!("error: {place}: the fake backend does not offer `{capability}`");
            assert_says(&stderr(&output), &[&told, "name another backend"]);
        }
        home.assert_nothing_left();
        assert_eq!(home.names_in(".local/state/claude-bottle/bottles"), Vec::<String>::new());
    }
}

#[test]
fn everything_that_is_not_offered_is_named_at_once() {
    let home = home("    image: mine:1\n    limits: { pids: 50 }\n", "");
    let said = stderr(&home.call(&["start", "hello", "--yes"]));
    assert_says(&said, &["`limits`", "`image`"]);
}

#[test]
fn a_policy_that_nothing_enforces_is_said_so_in_its_row() {
    let home = Home::new();
    let text = stdout(&home.call(&["start", "hello", "--dry-run"]))
        + &stderr(&home.call(&["start", "hello", "--dry-run"]));
    assert_says(&text, &["egress     NOT ENFORCED by this backend: every host may be reached, not only 9 ("]);
    assert!(!text.contains("egress-guard"), "{text}");
    let plan = json(&home.call(&["start", "hello", "--dry-run", "--format", "json"]));
    assert_eq!(plan["egress"]["enforced"], false);
}

#[test]
fn yes_alone_does_not_agree_to_a_policy_that_nothing_enforces() {
    let home = Home::new();
    for how in [&["--yes"][..], &["-y"], &["--quiet", "--yes"]] {
        let output = home.call_as_given(&[&["start", "hello"][..], how].concat());
        assert_code(&output, 125);
        assert_says(
            &stderr(&output),
            &["error: the fake backend does not enforce the egress policy", "--allow-unenforced-egress"],
        );
        assert_eq!(stdout(&output), "");
    }
    home.assert_nothing_left();
    let output = home.call_as_given(&["start", "hello", "--yes", "--allow-unenforced-egress"]);
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "hello\n");
}

#[test]
fn the_question_names_a_policy_that_nothing_enforces() {
    let home = Home::new();
    for (answer, ran) in [("n\r", false), ("y\r", true)] {
        let mut terminal = Terminal::start(&home.command_as_given(&["start", "hello"]));
        terminal
            .wait_for("launch this agent, with an egress policy that nothing enforces? [y/N, d for details]");
        terminal.type_keys(answer);
        let text = terminal.ends_with(0);
        assert_eq!(text.contains("(bottle)\u{7}hello"), ran, "{text}");
    }
}

#[test]
fn a_look_into_https_that_the_backend_does_not_know_is_refused_with_the_line_that_needs_it() {
    let rule = "    egress:\n      allowlist: [a.test, 'deny POST a.test/x']\n";
    let all = "    egress: { intercept: all }\n";
    for (bottle, place) in [
        (rule, "bottle dev, ~/claude-bottle.yaml:5: rule `deny POST a.test/x`"),
        (all, "~/claude-bottle.yaml:4: `intercept: all`"),
    ] {
        let home = home(bottle, "");
        for how in ["--dry-run", "--yes"] {
            let output = home.call(&["start", "hello", how]);
            assert_code(&output, 125);
            let told = format!(
                "error: {place} needs a look into HTTPS, and the fake backend makes no bottle trust the guard for that"
            );
            assert_says(&stderr(&output), &[&told, "hint: use another backend"]);
        }
        home.assert_nothing_left();
    }
    let home = home(all, "");
    let output = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_PIPELOCK_IMAGE", "x")]);
    assert_code(&output, 125);
    assert_says(
        &stderr(&output),
        &["makes pipelock this bottle's proxy", "`intercept: all`", "egress.proxy: guard"],
    );
}

#[test]
fn whose_https_is_looked_into_is_said_before_a_start() {
    let home = home(
        "    egress:\n      intercept: needed\n      allowlist: [a.test, 'deny POST a.test/x', b.test]\n",
        "",
    );
    let https = "opened and inspected under this bottle's own authority: that of a.test";
    assert_says(&stdout(&home.call(&["info", "hello"])), &[&format!("https    {https}")]);
    let said = |host| stdout(&home.call(&["policy", "check", "hello", host]));
    assert_says(&said("a.test"), &["https: opened"]);
    assert_says(&said("b.test"), &["https: unopened"]);
    for other in ["a.test:80", "c.test"] {
        assert!(!said(other).contains("https:"), "{}", said(other));
    }
    let view = json(&home.call(&[
        "policy",
        "check",
        "hello",
        "https://a.test/x",
        "--format",
        "json",
        "--method",
        "POST",
    ]));
    assert_eq!((&view["allowed"], &view["rule"]), (&false.into(), &"deny POST a.test/x".into()));
    let view = json(&home.call(&["policy", "check", "hello", "https://a.test/x", "--format", "json"]));
    assert_eq!((&view["allowed"], &view["https"]), (&true.into(), &"opened".into()));
}
