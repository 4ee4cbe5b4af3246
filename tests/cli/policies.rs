//! The policy of a bottle that runs: shown, changed, and never left unknown. The fake backend keeps what it is given.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::live::wait_for_change;
use crate::support::{Home, Live, assert_code, assert_says, json as read_json, keys, stderr, stdout};

/// Starts an agent that runs until its standard input is closed, and returns its bottle's name as well.
fn running(home: &Home) -> (Live, String) {
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let listed = read_json(&home.call(&["list", "active", "--format", "json"]));
    let name =
        listed.as_array().unwrap().iter().find(|row| row["owner"]["pid"] == run.pid()).unwrap()["name"]
            .as_str()
            .unwrap()
            .to_owned();
    (run, name)
}

/// Returns the rules that the backend was given last, without those of the start.
fn given(home: &Home, name: &str) -> Vec<String> {
    let file = home.path().join(".local/share/claude-bottle/backends/fake/policies").join(name);
    let policy: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let rules = policy["rules"].as_array().unwrap().iter();
    rules
        .filter(|rule| rule["origin"].as_str().unwrap().starts_with("claude-bottle policy"))
        .map(|rule| rule["rule"].as_str().unwrap().to_owned())
        .collect()
}

fn check(home: &Home, asked: &str, host: &str) -> i32 {
    home.call(&["policy", "check", asked, host]).status.code().unwrap()
}

#[test]
fn a_host_is_allowed_and_denied_in_the_running_bottle_alone() {
    let home = Home::new();
    let (run, name) = running(&home);
    assert_eq!(check(&home, "shell", "pypi.org"), 1);
    let allowed = home.call(&["policy", "allow", "shell", "pypi.org", "*.cdn.test:8443"]);
    assert_code(&allowed, 0);
    assert_says(
        &stderr(&allowed),
        &[
            &format!("{name} may reach pypi.org, *.cdn.test:8443 from now on, until it ends"),
            // It is never taken for a wall.
            "warning: the fake backend does not enforce the egress policy: every host may be reached",
        ],
    );
    assert_eq!(given(&home, &name), ["pypi.org", "*.cdn.test:8443"]);
    let answer = home.call(&["policy", "check", &name, "pypi.org"]);
    assert_code(&answer, 0);
    assert_says(
        &stdout(&answer),
        &[
            "rule: pypi.org (claude-bottle policy, while it runs)",
            &format!("bottle: {name}, changed while it runs"),
        ],
    );
    assert_says(
        &stderr(&answer),
        &[&format!(
            "the manifest refuses it by now; a new bottle of `shell` may not, and `{name}` has what it was changed to"
        )],
    );
    // Another agent of the same bottle is answered by the manifest.
    assert_eq!(check(&home, "hello", "pypi.org"), 1);
    let again = home.call(&["policy", "allow", "shell", "pypi.org"]);
    assert_code(&again, 0);
    assert_says(&stderr(&again), &["may reach pypi.org already; nothing was changed"]);
    let denied = home.call(&["policy", "deny", &name, "github.com", "pypi.org"]);
    assert_code(&denied, 0);
    assert_says(&stderr(&denied), &["may not reach github.com, pypi.org any more, until it ends"]);
    assert_eq!(given(&home, &name), ["*.cdn.test:8443", "deny github.com", "deny pypi.org"]);
    assert_eq!((check(&home, "shell", "github.com"), check(&home, "hello", "github.com")), (1, 0));
    assert_code(&home.call(&["policy", "allow", "shell", "github.com"]), 0);
    assert_eq!(check(&home, "shell", "github.com"), 0);
    assert_code(&run.end(), 0);
    // With the bottle it is over.
    assert_eq!(check(&home, "shell", "pypi.org"), 1);
    home.assert_nothing_left();
}

#[test]
fn the_rules_are_shown_with_what_was_changed_and_how_the_manifest_differs() {
    let home = Home::new();
    let of_manifest = stdout(&home.call(&["policy", "show", "shell"]));
    assert_says(&of_manifest, &["RULE", "github.com", "bottle dev, ", "deny gist.github.com", "default"]);
    let (run, name) = running(&home);
    let shown = home.call(&["policy", "show", "shell"]);
    assert_code(&shown, 0);
    assert_says(&stdout(&shown), &[&format!("bottle: {name}\n"), &of_manifest]);
    assert!(!stdout(&shown).contains("changed while it runs") && !stderr(&shown).contains("differs"));
    assert_code(&home.call(&["policy", "allow", "shell", "pypi.org"]), 0);
    let shown = home.call(&["policy", "show", &name]);
    assert_says(&stdout(&shown), &["changed while it runs:\n", "Z  added `pypi.org`"]);
    let differs = "the manifest differs; a new bottle of `shell` would have: removed `pypi.org`";
    assert_says(&stderr(&shown), &[differs]);
    let view = read_json(&home.call(&["policy", "show", "shell", "--format", "json"]));
    assert_eq!(keys(&view), ["agent", "changes", "manifest_change", "rules", "running"]);
    assert_eq!((&view["running"], &view["changes"][0]["change"]), (&json!(name), &json!("added `pypi.org`")));
    assert_eq!(keys(&view["rules"][0]), ["origin", "rule"]);
    assert_code(&run.end(), 0);
    assert_eq!(stdout(&home.call(&["policy", "show", "shell"])), of_manifest);
    assert_code(&home.call(&["policy", "show", "nothing"]), 1);
}

#[test]
fn what_cannot_be_changed_is_said_before_anything_is_sent() {
    let home = Home::new();
    let refused = |arguments: &[&str], code, parts: &[&str]| {
        let output = home.call(&[&["policy"][..], arguments].concat());
        assert_code(&output, code);
        assert_says(&stderr(&output), parts);
    };
    refused(
        &["allow", "shell", "a.test"],
        1,
        &["error: there is no bottle `shell`; none is running", "list active"],
    );
    let (run, name) = running(&home);
    for wrong in ["https://a.test/", "*", "deny a.test"] {
        refused(&["allow", "shell", wrong], 2, &["is not a HOST[:PORT]"]);
        refused(&["deny", "shell", wrong], 2, &["is not a HOST[:PORT]"]);
    }
    // One that is wrong keeps all of them from being sent.
    refused(&["allow", "shell", "a.test", "b test"], 2, &["`b test` is not a HOST[:PORT]"]);
    let denied = "`gist.github.com` stays refused: the rule `deny gist.github.com` (bottle dev, ";
    refused(&["allow", "shell", "a.test", "gist.github.com"], 1, &[denied, "hint: "]);
    assert!(!home.path().join(".local/share/claude-bottle/backends/fake/policies").join(&name).exists());
    let (other, _) = running(&home);
    refused(&["allow", "shell", "a.test"], 1, &["agent `shell` has 2 bottles running", "list active"]);
    refused(&["show", "shell"], 1, &["agent `shell` has 2 bottles running"]);
    for run in [run, other] {
        assert_code(&run.end(), 0);
    }
}

/// Returns where the policy of the only run is kept.
fn policy_file(home: &Home) -> PathBuf {
    let runs = home.names_in(".local/state/claude-bottle/bottles");
    home.run_dir(&runs[0]).join("policy.json")
}

fn is_under_way(file: &std::path::Path) -> bool {
    let text = std::fs::read(file).unwrap_or_default();
    serde_json::from_slice::<Value>(&text).is_ok_and(|policy| policy["is_under_way"] == true)
}

#[test]
fn after_a_kill_in_the_middle_the_old_policy_counts_and_is_what_is_said() {
    let home = Home::new();
    let (run, name) = running(&home);
    assert_code(&home.call(&["policy", "allow", "shell", "first.test"]), 0);
    let file = policy_file(&home);
    let change = || {
        let mut command = home.command(&["policy", "allow", "shell", "second.test"]);
        command.env("CLAUDE_BOTTLE_FAKE_FAULT", "hang:reload");
        let live = Live::start(&mut command);
        wait_for_change(&[file.parent().unwrap()], || is_under_way(&file));
        live.send(Signal::KILL);
        live.end();
    };
    for next in [&["policy", "show", "shell"][..], &["policy", "check", "shell", "first.test"]] {
        change();
        // As if it had been killed after the proxy took it, and before that was noted.
        let given_file = home.path().join(".local/share/claude-bottle/backends/fake/policies").join(&name);
        std::fs::write(given_file, r#"{"rules":[]}"#).unwrap();
        assert_code(&home.call(next), 0);
        assert!(!is_under_way(&file));
        assert_eq!(given(&home, &name), ["first.test"]);
        assert_eq!((check(&home, "shell", "first.test"), check(&home, "shell", "second.test")), (0, 1));
    }
    change();
    assert_code(&home.call(&["policy", "allow", "shell", "third.test"]), 0);
    assert_eq!(given(&home, &name), ["first.test", "third.test"]);
    assert_code(&run.end(), 0);
}

#[test]
fn a_backend_that_fails_leaves_a_policy_that_is_known_by_the_next_command() {
    let home = Home::new();
    let (run, name) = running(&home);
    let fault = [("CLAUDE_BOTTLE_FAKE_FAULT", "error:reload")];
    let output = home.call_with(&["policy", "allow", "shell", "a.test"], &fault);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["error: a fault was asked for in `reload`"]);
    assert_eq!(check(&home, "shell", "a.test"), 1);
    assert_eq!(given(&home, &name), Vec::<String>::new());
    assert_code(&run.end(), 0);
}
