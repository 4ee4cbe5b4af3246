//! What the guard has seen, as an HTTP archive: readers of the format take it, and no secret is in it.

use std::path::Path;
use std::process::Command;

use claude_bottle_standin::Script;
use serde_json::Value;

use super::secrets::{assert_nowhere, outside};
use crate::egress::session::Session;
use crate::intercept::above::Bottle;
use crate::support::backend::{Backend, on_each_backend_and_podman};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend_and_podman!(what_was_seen_is_an_archive_that_readers_take_and_no_secret_is_in_it);

const FORGE: &str = "api.forge.test";
const OTHER: &str = "other.forge.test";
const VALUE: &str = "canary-forge-4a1b9c20";

/// What the stand-in says to paths that it does not know.
const STATUS: u16 = 404;

/// Says with the format's own schema whether an archive is one.
const VALIDATE: &str = "const { har } = require('har-validator/lib/promise'); \
    har(JSON.parse(require('fs').readFileSync(0))).then(() => console.log('valid'), error => { console.log(JSON.stringify(error.errors)); process.exit(1); })";

fn what_was_seen_is_an_archive_that_readers_take_and_no_secret_is_in_it(backend: Backend) {
    let agent = &format!("e2e-har-{}", backend.name());
    let (_server, above, ca) = outside(backend, &[FORGE, OTHER], Script::default());
    let secrets = format!("secrets: {{ FORGE_KEY: {{ from: '${{MY_KEY}}', hosts: [{FORGE}] }} }}");
    let bottle = Bottle::new(above, &[&ca], OTHER).line(&secrets).egress("capture: true");
    let home = bottle.home(&[agent]);
    let plan = run(backend.command(&home, &["start", agent, "--dry-run", "-v"]).env("MY_KEY", VALUE));
    assert!((stdout(&plan) + &stderr(&plan)).contains("requests and answers are kept in the log"));
    let mut start = backend.command(&home, &["--quiet", "start", agent, "--yes"]);
    start.env("MY_KEY", VALUE);
    let mut inside = Session::start_by(start, &home, agent);
    let bearer = "-H \"Authorization: Bearer $FORGE_KEY\" -H 'Cookie: canary-cookie=1'";
    inside.ok(&format!("curl -sS {bearer} --http2 'https://{FORGE}/one?canary-query=1'"));
    inside.ok(&format!("curl -sS {bearer} --http1.1 -d canary-body https://{OTHER}/two"));
    inside.fails("curl -sS -f https://refused.forge.test/three");
    inside.end();

    let output = run(&mut backend.command(&home, &["logs", agent, "--har"]));
    assert_code(&output, 0);
    let text = stdout(&output);
    let readers = readers();
    let said = fed(
        Command::new("node").args(["-e", VALIDATE]).env("NODE_PATH", format!("{readers}/node_modules")),
        &text,
    );
    assert_eq!(said.trim(), "valid");
    let python = format!("{readers}/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/intercept/read-har.py");
    let said = fed(Command::new("/usr/bin/python3").arg(script).env("PYTHONPATH", python), &text);
    let read: Value = serde_json::from_str(&said).unwrap();
    let one = serde_json::json!(["GET", format!("https://{FORGE}/one"), STATUS]);
    // It is another host's placeholder there, which the guard has answered.
    let two = serde_json::json!(["POST", format!("https://{OTHER}/two"), 403]);
    assert_eq!(read, serde_json::json!([one, two]));

    let archive: Value = serde_json::from_str(&text).unwrap();
    let entries = archive["log"]["entries"].as_array().unwrap();
    let headers = entries[0]["request"]["headers"].as_array().unwrap();
    let shown = |name: &str| {
        headers.iter().find(|header| header["name"] == name).map(|header| header["value"].clone())
    };
    assert_eq!((shown("authorization"), shown("cookie")), (Some("***".into()), Some("***".into())));
    assert_eq!(shown("accept"), Some("*/*".into()));
    assert_eq!(entries[0]["_secrets"], serde_json::json!(["FORGE_KEY"]));
    assert_eq!(entries[1]["_code"], "secret_wrong_host");
    assert!(!text.contains("canary") && !text.contains("placeholder-for-"), "{text}");
    assert_nowhere(&home, text.as_bytes(), VALUE);
    backend.assert_nothing_left(&home, agent);
}

/// Returns where the readers are.
fn readers() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/setup/har-readers.sh");
    let output = run(&mut Command::new(script));
    assert_code(&output, 0);
    stdout(&output).trim().to_owned()
}

/// Runs a program that reads this, and returns what it said.
fn fed(command: &mut Command, text: &str) -> String {
    use std::io::Write as _;
    use std::process::Stdio;
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}
