//! A server of tools over HTTPS, called by the real Claude Code through the guard, which alone has the server's secret.

use std::net::SocketAddr;

use claude_bottle_standin::{Config, Script, Standin, Tls, ToolCall};
use serde_json::json;

use crate::intercept::above::{Above, Bottle};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::TOKEN;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(a_server_elsewhere_is_called_by_the_real_cli_with_a_secret_that_the_guard_puts_in);

const API: &str = "api.anthropic.com";
const SERVER: &str = "mcp.test";
const SECRET: &str = "canary-tool-7d1b0e22c9";
/// Looks for the secret inside: in variables and arguments of all processes, and in files. The pattern is not the secret.
const SEARCH: &str = "p='canar[y]-tool-[0-9a-f]{8}'; \
    for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr '\\0' '\\n' 2>/dev/null <$f | grep -qE \"$p\" && echo found in $f; done; \
    grep -rIlE \"$p\" ~ /tmp /run /etc 2>/dev/null | sed 's,^,found in ,'; echo searched";

fn a_server_elsewhere_is_called_by_the_real_cli_with_a_secret_that_the_guard_puts_in(backend: Backend) {
    let agent = &format!("e2e-mcp-http-{}", backend.name());
    let ca = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let look = ToolCall { tool: "mcp__there__look".to_owned(), input: json!({}) };
    let outside = Standin::start(Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        script: Script { reply: "Done.".to_owned(), run: Some(look) },
        more: vec![ToolCall::bash(SEARCH)],
        tls: Some(Tls { names: vec![API.to_owned(), SERVER.to_owned()], ca_file: ca.to_path_buf() }),
        ..Config::default()
    })
    .unwrap();
    let above = Above::default().route(API, outside.address()).route(SERVER, outside.address());
    let home = Bottle::new(above.serve(backend.host_address()), &[&ca], "")
        // It waits for servers before its first request, and names their tools in it.
        .line("env: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', MCP_CONNECTION_NONBLOCKING: '0', ENABLE_TOOL_SEARCH: 'false' }")
        .line(&format!("secrets: {{ TOOL_SECRET: {{ from: '${{MY_TOOL}}', hosts: [{SERVER}], as: [bearer] }} }}"))
        .home_of(&format!(
            "  {agent}:\n    bottle: dev\n    mcp:\n      there: {{ url: 'https://{SERVER}/mcp', \
             headers: {{ Authorization: 'Bearer ${{TOOL_SECRET}}' }} }}\n"
        ));
    let mut start = backend.command(&home, &["start", agent, "--print", "Look"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN).env("MY_TOOL", SECRET));
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), "Done.");

    let calls: Vec<_> = outside.requests().into_iter().filter(|request| request.path == "/mcp").collect();
    let methods: Vec<_> = calls.iter().filter_map(|call| call.body["method"].as_str()).collect();
    for method in ["initialize", "tools/list", "tools/call"] {
        assert!(methods.contains(&method), "{methods:?}");
    }
    let bearer = format!("Bearer {SECRET}");
    assert!(calls.iter().all(|call| call.header("authorization") == Some(bearer.as_str())), "{methods:?}");
    let last = outside.messages().last().expect("the tools' output came back").body.to_string();
    assert!(last.contains("seen from elsewhere"), "{last}");
    assert!(last.contains("searched") && !last.contains("found in /") && !last.contains(SECRET), "{last}");
    let called = |line: &serde_json::Value| {
        line["host"] == SERVER && line["verdict"] == "allow" && line["secrets"] == json!(["TOOL_SECRET"])
    };
    assert!(home.decisions().iter().any(called), "{:#?}", home.decisions());
    let found = run(std::process::Command::new("grep").args(["-rl", SECRET]).arg(home.path()));
    assert_eq!(stdout(&found), "", "the secret is on the disk");
    assert!(!stderr(&output).contains(SECRET));
    backend.assert_nothing_left(&home, agent);
}
