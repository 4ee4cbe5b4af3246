//! `edit`: a copy is edited and judged; a wrong one never takes the manifest's place, and is never lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use crate::support::home::MANIFEST;
use crate::support::{Home, Terminal, assert_code, assert_says, stderr, stdout};

/// Makes an editor that runs a script on its file.
fn editor(home: &Home, script: &str) -> String {
    let path = home.write("bin/editor", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(home: &Home) -> String {
    fs::read_to_string(home.manifest()).unwrap()
}

fn left_beside(home: &Home) -> Vec<String> {
    home.names_in("").into_iter().filter(|name| name.contains("edit")).collect()
}

#[test]
fn a_good_manifest_is_saved() {
    let home = Home::new();
    let editor = editor(&home, "echo '# edited' >> \"$1\"");
    assert_snapshot!(home.shown_with(&["edit"], &[("EDITOR", &editor)]), @"
    exit 0
    --- stderr
    saved [HOME]/claude-bottle.yaml
    ");
    assert_eq!(text(&home), format!("{MANIFEST}# edited\n"));
    assert_eq!(left_beside(&home), Vec::<String>::new());
}

#[test]
fn visual_wins_and_may_have_arguments() {
    let home = Home::new();
    let editor = editor(&home, "echo \"# $1\" >> \"$2\"");
    let visual = format!("{editor} --wait");
    assert_code(&home.call_with(&["edit"], &[("VISUAL", &visual), ("EDITOR", "false")]), 0);
    assert_eq!(text(&home), format!("{MANIFEST}# --wait\n"));
}

#[test]
fn a_wrong_manifest_is_refused_and_kept() {
    let home = Home::new();
    let editor = editor(&home, "echo 'agent: {}' >> \"$1\"");
    assert_snapshot!(home.shown_with(&["edit"], &[("EDITOR", &editor)]), @"
    exit 1
    --- stderr
    error: the manifest has a problem

    ~/claude-bottle.yaml:17:1: unknown key `agent` in the manifest [unknown-key]
       17 | agent: {}
          | ^^^^^
        = did you mean `agents`?
        = known keys: agents, bottles

    hint: `[HOME]/claude-bottle.yaml` is as it was
    hint: what you wrote is in `[HOME]/.claude-bottle-edit-[RANDOM].yaml`
    ");
    assert_eq!(text(&home), MANIFEST);
    let [kept] = &left_beside(&home)[..] else { panic!("{:?}", left_beside(&home)) };
    assert_eq!(fs::read_to_string(home.path().join(kept)).unwrap(), format!("{MANIFEST}agent: {{}}\n"));
    let mode = fs::metadata(home.path().join(kept)).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn nothing_changed_is_nothing_saved() {
    let home = Home::new();
    assert_snapshot!(home.shown_with(&["edit"], &[("EDITOR", "true")]), @"
    exit 0
    --- stderr
    nothing was changed
    ");
    assert_snapshot!(home.shown_with(&["edit"], &[("EDITOR", "false")]), @"
    exit 1
    --- stderr
    error: the editor `false` failed (exit status: 1); nothing was changed

    hint: choose another: export EDITOR=nano
    ");
    assert_snapshot!(home.shown_with(&["edit"], &[("EDITOR", "no-such-editor")]), @"
    exit 1
    --- stderr
    no-such-editor: 1: no-such-editor: not found
    error: the editor `no-such-editor` failed (exit status: 127); nothing was changed

    hint: choose another: export EDITOR=nano
    ");
    assert_eq!(text(&home), MANIFEST);
    assert_eq!(left_beside(&home), Vec::<String>::new());
}

#[test]
fn a_manifest_that_changed_meanwhile_is_not_overwritten() {
    let home = Home::new();
    let script = format!("echo '# mine' >> \"$1\"; echo '# theirs' >> {}", home.manifest().display());
    let editor = editor(&home, &script);
    assert_snapshot!(home.shown_with(&["edit"], &[("EDITOR", &editor)]), @"
    exit 1
    --- stderr
    error: `[HOME]/claude-bottle.yaml` was changed by another program meanwhile; nothing was saved

    hint: edit it again: claude-bottle edit
    hint: what you wrote is in `[HOME]/.claude-bottle-edit-[RANDOM].yaml`
    ");
    assert_eq!(text(&home), format!("{MANIFEST}# theirs\n"));
    assert_eq!(left_beside(&home).len(), 1);
}

#[test]
fn there_is_no_manifest() {
    assert_snapshot!(Home::empty().shown(&["edit"]), @"
    exit 1
    --- stderr
    error: there is no manifest in the home directory

    hint: write one first: claude-bottle init AGENT
    ");
    assert_snapshot!(Home::empty().shown(&["edit", "--here"]), @"
    exit 1
    --- stderr
    error: there is no manifest in the working directory

    hint: write one first: claude-bottle init AGENT --here
    ");
}

#[test]
fn a_projects_manifest_needs_trust_afterwards() {
    let home = Home::new();
    home.write("work/claude-bottle.yaml", "agents: { here: { bottle: dev } }\n");
    let editor = editor(&home, "echo 'bottles: { mine: {} }' >> \"$1\"");
    let output = home.call_with(&["edit", "--here"], &[("EDITOR", &editor)]);
    assert_code(&output, 0);
    assert_says(
        &stderr(&output),
        &["saved ", "hint: its bottles count once you trust what it says now: claude-bottle trust"],
    );
    assert_says(&stderr(&home.call(&["list"])), &["is not trusted"]);
}

/// The editor that is used when none was chosen needs a terminal.
#[test]
fn without_a_terminal_the_usual_editor_is_not_started() {
    let home = Home::new();
    let output = home.call_with(&["edit"], &[("EDITOR", ""), ("VISUAL", "")]);
    assert_code(&output, 1);
    assert_eq!(stdout(&output), "");
    let told = "error: `vi` needs a terminal, and standard input is not one";
    assert_says(&stderr(&output), &[told, "choose an editor that needs none: export EDITOR="]);
}

#[test]
fn a_terminal_is_asked_to_edit_again() {
    let home = Home::new();
    // Wrong the first time, right the second.
    let editor = editor(
        &home,
        "if grep -q agent: \"$1\"; then sed -i /^agent:/d \"$1\"; echo '# fixed' >> \"$1\"; else echo 'agent: {}' >> \"$1\"; fi",
    );
    let mut terminal = Terminal::start(home.command(&["edit"]).env("EDITOR", &editor));
    terminal.wait_for("edit again? [y/N]");
    terminal.wait_for("did you mean `agents`?");
    terminal.type_keys("y\r");
    terminal.ends_with(0);
    assert_eq!(text(&home), format!("{MANIFEST}# fixed\n"));

    let broken = self::editor(&home, "echo 'agent: {}' >> \"$1\"");
    let mut terminal = Terminal::start(home.command(&["edit"]).env("EDITOR", &broken));
    terminal.wait_for("edit again? [y/N]");
    terminal.type_keys("\r");
    terminal.ends_with(1);
    assert_eq!(left_beside(&home).len(), 1);
}
