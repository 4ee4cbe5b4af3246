//! Options for backends: where they come from, and that none is ever silently without effect.

use serde_json::json;

use crate::support::{Home, assert_code, assert_says, json as parsed, stderr, stdout};

const MANIFEST: &str = "\
bottles:
  dev:
    options:
      docker:
        pull: true
        allow_missing: [seccomp]
      fake:
        size: 2
  plain: {}
agents:
  hello: { bottle: dev, command: [echo, hello] }
  plain: { bottle: plain, command: [echo, hello] }
";

#[test]
fn a_backend_that_takes_none_refuses_with_the_place() {
    let home = Home::with(MANIFEST);
    let check = |arguments: &[&str], place: &str| {
        let output = home.call(arguments);
        assert_code(&output, 125);
        let name = place.split('`').nth(1).unwrap();
        let expected = format!(
            "error: {place}: the fake backend takes no options\n\n\
             hint: leave `{name}` out, or name a backend that has it: --backend NAME\n"
        );
        assert_eq!(stderr(&output), expected, "{arguments:?}");
        home.assert_nothing_left();
    };
    check(&["start", "hello", "--yes"], "~/claude-bottle.yaml:8: the option `size`");
    check(&["start", "hello", "--dry-run"], "~/claude-bottle.yaml:8: the option `size`");
    check(&["start", "plain", "--yes", "--pull"], "--pull: the option `pull`");
    check(&["start", "plain", "--yes", "--rebuild"], "--rebuild: the option `rebuild`");
}

#[test]
fn options_of_another_backend_have_no_effect() {
    let home = Home::with(&MANIFEST.replace("      fake:\n        size: 2\n", ""));
    let output = home.call(&["start", "hello", "--yes"]);
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "hello\n");
    let plan = parsed(&home.call(&["start", "hello", "--dry-run", "--format", "json"]));
    assert_eq!(plan["options"], json!(null));
}

#[test]
fn a_misspelt_backend_is_warned_of() {
    let home = Home::with(&MANIFEST.replace("      fake:", "      fkae:"));
    let output = home.call(&["start", "hello", "--dry-run"]);
    assert_code(&output, 0);
    let warning = "warning: options for `fkae` have no effect: no such backend; did you mean `fake`?\n";
    assert!(stderr(&output).starts_with(warning), "{}", stderr(&output));
}

#[test]
fn info_and_trust_say_what_a_bottle_sets() {
    let home = Home::with(MANIFEST);
    let info = home.call(&["info", "hello"]);
    assert_says(
        &stdout(&info),
        &["BACKEND  OPTION", r#"docker   allow_missing  ["seccomp"]  ~/claude-bottle.yaml:6"#],
    );
    let info = parsed(&home.call(&["info", "hello", "--format", "json"]));
    let first =
        json!({ "backend": "docker", "name": "pull", "value": true, "defined": "~/claude-bottle.yaml:5" });
    assert_eq!(info["options"][0], first);

    home.write("work/claude-bottle.yaml", MANIFEST);
    let said = stderr(&home.call(&["trust"]));
    assert_says(
        &said,
        &[r#"options pull of docker: true, allow_missing of docker: ["seccomp"], size of fake: 2"#],
    );
}

#[test]
fn tools_that_a_backend_cannot_show_are_refused_with_the_place() {
    let home = Home::with(
        "bottles:\n  dev:\n    tools: [~/tools]\nagents:\n  hello: { bottle: dev, command: [echo, hello] }\n",
    );
    home.write("tools/bin/x", "");
    let output = home.call(&["start", "hello", "--yes"]);
    assert_code(&output, 125);
    let said = stderr(&output);
    assert_says(
        &said,
        &[
            "error: ~/claude-bottle.yaml:3: `tools` of bottle `dev`: the fake backend cannot show directories of this machine",
            "hint: put the tools into an image and name it in bottles.dev.image",
            "CLAUDE_BOTTLE_BACKEND=bubblewrap",
        ],
    );
    home.assert_nothing_left();
    let info = home.call(&["info", "hello"]);
    assert_says(&stdout(&info), &[&format!("tools    {}", home.path().join("tools").display())]);
}
