//! Secrets that the guard holds, from inside a live bottle: they are used, and they are nowhere.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claude_bottle_standin::{Recorded, Script, Standin, ToolCall};

use super::above::{Above, Bottle};
use super::secure_standin;
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(
    the_real_cli_works_with_a_placeholder_and_the_token_is_nowhere_inside,
    the_real_cli_works_with_the_placeholder_of_an_api_key,
    secrets_of_files_commands_and_variables_go_to_their_hosts_in_their_places,
);

const API: &str = "api.anthropic.com";
const FORGE: &str = "api.forge.test";
const FORGE_KEY: &str = "canary-forge-1f0c8e7d55aa";
const API_KEY: &str = "canary-key-0b7d1f6e22c4";
const PYPI_TOKEN: &str = "canary-pypi-2c9e11d7";
const NPM_TOKEN: &str = "canary-npm-77d2b0c4e9";

/// Serves these names, and returns the server, a bottle whose guard finds it, and the file of its authority.
pub(super) fn outside(
    backend: Backend,
    names: &[&str],
    script: Script,
) -> (Standin, std::net::SocketAddr, tempfile::TempPath) {
    let ca = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let server = secure_standin(names, &ca, script);
    let above = names.iter().fold(Above::default(), |above, name| above.route(name, server.address()));
    let place = above.serve(backend.host_address());
    (server, place, ca)
}

/// Looks for the values of these tests in the environment, in what the kernel shows of all processes, and in all files inside.
///
/// They are named by a pattern: a guard finds a value in a request however it is cut in two.
pub(super) const SEARCH: &str = "p='canar[y]-(token|key|forge|npm|pypi|github)-[0-9a-f]{8}'; env | grep -E \"$p\"; \
    for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do cat $f 2>/dev/null | tr '\\0' '\\n' | grep -E \"$p\" && echo found in $f; done; \
    grep -rIlE \"$p\" /home /tmp /run /etc /root /var/tmp 2>/dev/null; echo searched";

fn the_real_cli_works_with_a_placeholder_and_the_token_is_nowhere_inside(backend: Backend) {
    let agent = &format!("e2e-held-{}", backend.name());
    let command = format!("env; {SEARCH}");
    let script = Script { reply: "done".to_owned(), run: Some(ToolCall::bash(&command)) };
    let (api, above, ca) = outside(backend, &[API], script);
    let home = Bottle::new(above, &[&ca], "").line("env: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' }");
    let home = home.home_of(&format!("  {agent}: {{ bottle: dev }}\n"));
    let mut start = backend.command(&home, &["start", agent, "--print", "Look around"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), "done");
    assert!(
        stderr(&output).contains(&format!("CLAUDE_CODE_OAUTH_TOKEN \u{2192} {API} (bearer)")),
        "{}",
        stderr(&output)
    );

    let messages = api.messages();
    assert!(messages.len() >= 2, "the request after the tool has arrived");
    let bearer = format!("Bearer {TOKEN}");
    assert!(messages.iter().all(|message| message.header("authorization") == Some(bearer.as_str())));
    let seen = messages.last().unwrap().body.to_string();
    // Claude Code takes the variable away from its programs; what it has itself is in its process, which is searched.
    assert!(seen.contains("HOME=/home/node") && seen.contains("\\nsearched"), "the tool has not run");
    assert!(!seen.contains(TOKEN) && !seen.contains("found in /"), "the token is inside");
    assert_nowhere(&home, &output.stderr, TOKEN);
    backend.assert_nothing_left(&home, agent);
}

fn the_real_cli_works_with_the_placeholder_of_an_api_key(backend: Backend) {
    let agent = &format!("e2e-held-key-{}", backend.name());
    let script = Script { reply: "done".to_owned(), run: Some(ToolCall::bash(&format!("env; {SEARCH}"))) };
    let (api, above, ca) = outside(backend, &[API], script);
    let home = Bottle::new(above, &[&ca], "").line("env: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' }");
    let home = home.line("secrets: { ANTHROPIC_API_KEY: '${MY_KEY}' }");
    let home = home.home_of(&format!("  {agent}: {{ bottle: dev }}\n"));
    let mut start = backend.command(&home, &["start", agent, "--print", "Look around"]);
    let output = run(start.env("MY_KEY", API_KEY));
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), "done");
    let messages = api.messages();
    assert!(messages.len() >= 2, "the request after the tool has arrived");
    assert!(messages.iter().all(|message| message.header("x-api-key") == Some(API_KEY)));
    let seen = messages.last().unwrap().body.to_string();
    assert!(seen.contains("\\nsearched"), "the tool has not run");
    assert!(!seen.contains(API_KEY) && !seen.contains("found in /"), "the key is inside");
    assert_nowhere(&home, &output.stderr, API_KEY);
    backend.assert_nothing_left(&home, agent);
}

fn secrets_of_files_commands_and_variables_go_to_their_hosts_in_their_places(backend: Backend) {
    let agent = &format!("e2e-secrets-{}", backend.name());
    let (server, above, ca) =
        outside(backend, &[FORGE, "registry.npmjs.org", "pypi.org", "other.forge.test"], Script::default());
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), format!("{FORGE_KEY}\n")).unwrap();
    let secrets = format!(
        "secrets: {{ NPM_TOKEN: {{ from: {{ command: [printenv, MY_NPM] }} }}, PYPI_TOKEN: '${{MY_PYPI}}', GITHUB_TOKEN: '${{MY_GITHUB}}', \
         FORGE_KEY: {{ from: {{ file: {} }}, hosts: [{FORGE}], as: ['header: X-Api-Key'] }} }}",
        key.path().display()
    );
    let home = Bottle::new(above, &[&ca], "'GET other.forge.test'").line(&secrets).home(&[agent]);
    let mut start = backend.command(&home, &["--quiet", "start", agent, "--yes"]);
    start.env("MY_NPM", NPM_TOKEN).env("MY_PYPI", PYPI_TOKEN).env("MY_GITHUB", "canary-github-5d0a7e21");
    let mut inside = Session::start_by(start, &home, agent);
    let arrived = |path: &str| {
        let found = server.wait_for(Duration::from_secs(20), |request: &Recorded| request.path == path);
        found.unwrap_or_else(|| panic!("{path} has not arrived"))
    };
    inside.ok(&format!("curl -sS -H \"X-Api-Key: $FORGE_KEY\" https://{FORGE}/one"));
    assert_eq!(arrived("/one").header("x-api-key"), Some(FORGE_KEY));
    inside.ok("curl -sS -H \"Authorization: Bearer $NPM_TOKEN\" https://registry.npmjs.org/two");
    assert_eq!(arrived("/two").header("authorization"), Some(format!("Bearer {NPM_TOKEN}").as_str()));
    // npm, and what reads a netrc, find the placeholder in a file without a word.
    inside.run("timeout 60 npm --cache /tmp/npm --fetch-retries 0 view claude-bottle-nothing");
    assert_eq!(
        arrived("/claude-bottle-nothing").header("authorization"),
        Some(format!("Bearer {NPM_TOKEN}").as_str())
    );
    inside.ok("curl -sS --netrc https://pypi.org/simple/");
    let basic = STANDARD.encode(format!("__token__:{PYPI_TOKEN}"));
    assert_eq!(arrived("/simple/").header("authorization"), Some(format!("Basic {basic}").as_str()));
    assert_eq!(
        inside.ok(
            "echo $TWINE_USERNAME; grep -c placeholder-for- ~/.npmrc ~/.netrc | cut -d: -f2 | tr '\\n' ' '"
        ),
        "__token__\n1 2"
    );
    // What is no credential's place is text.
    inside.ok(&format!("curl -sS -d \"$FORGE_KEY\" https://{FORGE}/three"));
    assert!(arrived("/three").body.to_string().contains("placeholder-for-FORGE_KEY-"));
    let asked = |header: &str, url: &str| {
        format!("curl -sS -o /dev/null -w '%{{http_code}} %header{{x-egress-reason}}' -H \"{header}\" {url}")
    };
    let refused = [
        ("X-Api-Key: $FORGE_KEY", "https://other.forge.test/", "403 secret_wrong_host"),
        ("Authorization: Bearer $FORGE_KEY", "https://api.forge.test/", "403 secret_wrong_place"),
        ("X-Api-Key: $FORGE_KEY", "http://api.forge.test/", "403 secret_needs_tls"),
    ];
    for (header, url, expected) in refused {
        assert_eq!(inside.ok(&asked(header, url)), expected, "{header} {url}");
    }
    assert_eq!(inside.ok("git config --get-all credential.https://github.com.helper | grep -c placeholder-for-GITHUB_TOKEN-"), "1");
    assert_eq!(inside.ok(SEARCH), "searched");
    // The search finds what is there.
    assert!(inside.ok(&format!("echo {FORGE_KEY} >/tmp/x; {SEARCH}")).contains("/tmp/x"));
    inside.ok("rm /tmp/x");
    // A changed policy keeps the secrets.
    assert_code(&run(&mut backend.command(&home, &["policy", "allow", agent, "further.fixture.test"])), 0);
    inside.ok(&format!("curl -sS -H \"X-Api-Key: $FORGE_KEY\" https://{FORGE}/four"));
    assert_eq!(arrived("/four").header("x-api-key"), Some(FORGE_KEY));
    inside.end();
    for value in [FORGE_KEY, NPM_TOKEN, PYPI_TOKEN] {
        assert_nowhere(&home, b"", value);
    }
    backend.assert_nothing_left(&home, agent);
}

/// Searches the home, which holds the records, and what the program said.
pub(super) fn assert_nowhere(home: &Home, said: &[u8], value: &str) {
    let found = std::process::Command::new("grep").args(["-rl", value]).arg(home.path()).output().unwrap();
    assert_eq!(stdout(&found), "", "the value is on the disk");
    assert!(!String::from_utf8_lossy(said).contains(value));
}
