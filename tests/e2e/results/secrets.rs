//! A secret of the bottle that comes out in its files: marked by name in every place, and its value in nothing that is said or
//! written about it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{PATIENCE, document, home, results, start};
use crate::failure::run::{Run, reapers};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(
    a_secret_is_marked_wherever_the_agent_put_it_and_its_value_is_in_no_document,
    what_nothing_could_search_is_marked_and_only_then,
);

/// The value of a variable that the manifest wants from the host.
const CANARY: &str = "canary-Zx81-Value_0123456789-q";

/// What an agent does with a value: into a file, a line in base64, a name, a link's target, a binary.
const LEAK: &str = "leak() { printf 'a\\nkey = %s\\n' \"$2\" >\"$1-file\"; \
     printf 'x\\n%s\\n' \"$(printf %s \"$2\" | base64 -w0)\" >\"$1-base64\"; : >\"$1-name-$2\"; \
     ln -s \"to/$2\" \"$1-link\"; printf '\\0\\1%s\\0' \"$2\" >\"$1-binary\"; printf 'nothing\\n' >\"$1-clean\"; }";

/// A home whose bottle has a variable from the host, the token where the agent reads it, and a private key's text in its reach.
fn with_secrets(agent: &str) -> Home {
    let home = home(agent);
    let file = home.path().join("claude-bottle.yaml");
    let manifest = fs::read_to_string(&file).unwrap();
    let with_env = manifest.replace(
        "allowlist: [] }",
        "allowlist: [] }, env: { API_KEY: \"${API_KEY}\", \
         CLAUDE_CODE_OAUTH_TOKEN: \"${CLAUDE_BOTTLE_OAUTH_TOKEN}\" }",
    );
    fs::write(file, with_env).unwrap();
    home.env("API_KEY", CANARY).env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN)
}

/// Returns the marks of each file, by its path.
fn marks(document: &Value) -> Vec<(String, String)> {
    let of = |file: &Value| {
        let whys = file["marks"].as_array().unwrap().iter().map(|mark| mark["why"].as_str().unwrap());
        (file["path"].as_str().unwrap().to_owned(), whys.collect::<Vec<_>>().join("; "))
    };
    document["files"].as_array().unwrap().iter().map(of).collect()
}

fn a_secret_is_marked_wherever_the_agent_put_it_and_its_value_is_in_no_document(backend: Backend) {
    let agent = &format!("e2e-canary-{}", backend.name());
    let home = with_secrets(agent);
    let key = home.path().join("key");
    let mut keygen = Command::new("ssh-keygen");
    assert_code(&run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)), 0);
    let key = fs::read_to_string(key).unwrap();
    let script = format!(
        "{LEAK}; leak env \"$API_KEY\"; leak token \"$CLAUDE_CODE_OAUTH_TOKEN\"; cat >key-file; exit 4"
    );
    let command = very_verbose(backend, &home, agent, &script);
    let output = fed(command, &key);
    assert_code(&output, 4);
    let name = results(&home)[0]["run"].as_str().unwrap().to_owned();
    let document = document(&home, &name);
    assert_eq!(document["secrets_checked"], true);
    let marks = marks(&document);
    let why = |path: &str| {
        let found = marks.iter().find(|(found, _)| found.starts_with(path));
        found.unwrap_or_else(|| panic!("{path} is not among {marks:?}")).1.clone()
    };
    for (prefix, secret) in [("env", "`API_KEY`"), ("token", "`CLAUDE_CODE_OAUTH_TOKEN`")] {
        for (place, said) in [
            ("file", "line 2"),
            ("base64", "line 2"),
            ("name", "its name has"),
            ("link", "its target has"),
            ("binary", "it has"),
        ] {
            let why = why(&format!("{prefix}-{place}"));
            assert!(why.contains(secret) && why.contains(said), "{prefix}-{place}: {why}");
        }
        assert_eq!(why(&format!("{prefix}-clean")), "");
    }
    assert!(why("key-file").contains("credential: it has"), "{}", why("key-file"));
    let run_of = |arguments: &[&str]| {
        let output = run(&mut backend.command(&home, arguments));
        stdout(&output) + &stderr(&output)
    };
    // What a name and a target are, they are; the value is nowhere else.
    let without_names = |text: String| {
        let names = [("name-", CANARY), ("name-", TOKEN), ("to/", CANARY), ("to/", TOKEN)];
        names.iter().fold(text, |text, (before, value)| text.replace(&format!("{before}{value}"), before))
    };
    let said = [
        stderr(&output),
        run_of(&["results"]),
        run_of(&["logs", &name]),
        run_of(&["apply", &name, "--dry-run"]),
        run_of(&["apply", &name, "-y"]),
        fs::read_to_string(home.state().join("results").join(&name).join("result.json")).unwrap(),
    ];
    let encoded = "Y2FuYXJ5LVp4ODEtVmFsdWVfMDEyMzQ1Njc4OS1x";
    for said in said {
        let said = without_names(said);
        for value in [CANARY, TOKEN, encoded, key.lines().nth(1).unwrap()] {
            assert!(!said.contains(value), "the value is in:\n{said}");
        }
    }
    assert_no_file_has(&home.state().join("bottles"), &[CANARY, TOKEN, encoded]);
    backend.assert_nothing_left(&home, agent);
}

fn very_verbose(backend: Backend, home: &Home, agent: &str, script: &str) -> Command {
    backend.command(home, &["-vv", "start", agent, "--cwd", "--yes", "--", script])
}

/// Runs a command with a text on its standard input.
fn fed(mut command: Command, text: &str) -> std::process::Output {
    use std::io::Write;
    use std::process::Stdio;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn assert_no_file_has(directory: &Path, values: &[&str]) {
    for value in values {
        let found = run(Command::new("grep").args(["-rl", "--", value]).arg(directory));
        assert_eq!(stdout(&found), "", "a value is on the disk");
    }
}

/// Only the process of a run has the values of its secrets; what another one saves could not be searched for them.
fn what_nothing_could_search_is_marked_and_only_then(backend: Backend) {
    for has_secrets in [true, false] {
        let agent = &format!("e2e-unchecked-{has_secrets}-{}", backend.name());
        let home = if has_secrets { with_secrets(agent) } else { home(agent) };
        let script = "echo \"$API_KEY\" >leak; echo ready; cat";
        let mut live = Run::start(&mut start(backend, &home, agent, script));
        live.wait_for("ready");
        let watching = reapers(&home, None);
        live.kill();
        assert!(watching[0].ends_within(PATIENCE));
        let name = results(&home)[0]["run"].as_str().unwrap().to_owned();
        let document = document(&home, &name);
        assert_eq!(document["secrets_checked"], !has_secrets);
        let (path, why) = marks(&document).remove(0);
        assert_eq!((path.as_str(), why.contains("unchecked")), ("leak", has_secrets), "{why}");
        let code = if has_secrets { 1 } else { 0 };
        assert_code(&run(&mut backend.command(&home, &["apply", &name, "-y"])), code);
        backend.assert_nothing_left(&home, agent);
    }
}
