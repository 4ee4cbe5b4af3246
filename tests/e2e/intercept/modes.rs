//! What is promised of HTTPS under each value of `intercept`, and what holds under all of them: one body, on both backends and both links of
//! docker. The suite itself runs under `all`, the default; `make test-intercept` runs it under the others.

use claude_bottle_standin::{Script, Standin};
use serde_json::Value;

use super::above::{Above, Bottle};
use super::secure_standin;
use crate::egress::decisions;
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::{run, stderr, stdout};

on_each_backend!(each_value_of_intercept_opens_what_it_says_and_the_rest_holds_under_all);

const PLAIN: &str = "plain.mode.test";
const NARROW: &str = "narrow.mode.test";
/// What the rules take for a token of a forge.
const TOKEN: &str = "ghp_R7kT2vQ9mX4bN6cJ8wL1pZ3sD5fG0hYaEuVo";

/// A value, and the hosts that are opened under it.
const MODES: [(&str, &[&str]); 3] = [("all", &[PLAIN, NARROW]), ("needed", &[NARROW]), ("none", &[])];

fn each_value_of_intercept_opens_what_it_says_and_the_rest_holds_under_all(backend: Backend) {
    for (mode, opened) in MODES {
        check(backend, backend.name(), "", mode, opened);
    }
}

#[test]
fn each_value_of_intercept_opens_what_it_says_over_a_network_too() {
    for (mode, opened) in MODES {
        check(Backend::Docker, "network", "options: { docker: { link: network } }", mode, opened);
    }
}

fn check(backend: Backend, way: &str, line: &str, mode: &str, opened: &[&str]) {
    let agent = &format!("e2e-mode-{mode}-{way}");
    let ca = tempfile::NamedTempFile::new().unwrap();
    let server = secure_standin(&[PLAIN, NARROW], ca.path(), Script::default());
    let above = Above::default().route(PLAIN, server.address()).route(NARROW, server.address());
    // A rule about requests needs a look, so there is none where nothing is opened.
    let narrow = if mode == "none" { NARROW.to_owned() } else { format!("'GET {NARROW}/**'") };
    let bottle =
        Bottle::new(above.serve(backend.host_address()), &[ca.path()], &format!("{PLAIN}, {narrow}"));
    let home = bottle.egress(&format!("intercept: {mode}")).line(line).home(&[agent]);
    let plan = run(&mut backend.command(&home, &["start", agent, "--dry-run", "--format", "json"]));
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap_or_else(|_| panic!("{}", stderr(&plan)));
    let expected = if mode == "none" { Value::Null } else { mode.into() };
    assert_eq!(plan["egress"]["intercept"]["mode"], expected);
    let mut inside =
        Session::start_by(backend.command(&home, &["--quiet", "start", agent, "--yes"]), &home, agent);
    inside.write("/tmp/own.pem", &std::fs::read_to_string(ca.path()).unwrap());

    let reason = "-o /dev/null -w '%{http_code} %header{x-egress-reason}'";
    let has_come = |server: &Standin, path: &str| server.requests().iter().any(|seen| seen.path == path);
    for (number, host) in [PLAIN, NARROW].into_iter().enumerate() {
        let is_opened = opened.contains(&host);
        let trust = if is_opened { "" } else { "--cacert /tmp/own.pem" };
        let issuer =
            inside.ok(&format!("curl -sS -v {trust} https://{host}/get-{number} 2>&1 | grep 'issuer: '"));
        assert_eq!(issuer.contains("claude-bottle e2e-mode"), is_opened, "{mode} {host}: {issuer}");
        assert!(has_come(&server, &format!("/get-{number}")), "{mode} {host}");
        // A finding within HTTPS is seen where it is opened, and nowhere else.
        let path = format!("/find-{number}?t={TOKEN}");
        let said = inside.ok(&format!("curl -sS {trust} {reason} 'https://{host}{path}'"));
        assert_eq!(said == "403 dlp_rule", is_opened, "{mode} {host}: {said}");
        assert_eq!(has_come(&server, &path), !is_opened, "{mode} {host}");
        let asked = run(&mut backend.command(&home, &["policy", "check", agent, host]));
        let word = if is_opened { "https: opened" } else { "https: unopened" };
        assert!(stdout(&asked).contains(word), "{mode} {host}: {}", stdout(&asked));
    }
    if mode != "none" {
        let said = inside.ok(&format!("curl -sS {reason} -d x https://{NARROW}/post"));
        assert_eq!(said, "403 method_not_allowed");
        assert!(!has_come(&server, "/post"));
    }
    // Whatever is opened: no other name in an allowed tunnel, no other host, no secret in plain HTTP.
    let other = format!(
        "curl -sS -k --proxy $HTTPS_PROXY --connect-to other.test:443:{PLAIN}:443 https://other.test/other"
    );
    inside.fails(&other);
    inside.fails("curl -sS -k https://refused.test/refused");
    assert!(!has_come(&server, "/other") && !has_come(&server, "/refused"));
    let said = inside.ok(&format!("curl -sS {reason} -d token={TOKEN} http://{PLAIN}/plain"));
    assert_eq!(said, "403 dlp_rule", "{mode}");
    inside.end();

    let log = decisions(&home);
    let has = |host: &str, code: &str| log.iter().any(|line| line["host"] == host && line["code"] == code);
    assert!(has("refused.test", "not_in_allowlist") && has(PLAIN, "sni_mismatch"), "{mode}: {log:#?}");
    // What is not opened has a line for its tunnel, without a path.
    for (number, host) in [PLAIN, NARROW].into_iter().enumerate() {
        let has_path =
            log.iter().any(|line| line["host"] == host && line["path"] == format!("/get-{number}"));
        assert_eq!(has_path, opened.contains(&host), "{mode} {host}: {log:#?}");
        assert!(log.iter().any(|line| line["host"] == host && line["verdict"] == "allow"), "{mode} {host}");
    }
    backend.assert_nothing_left(&home, agent);
}
