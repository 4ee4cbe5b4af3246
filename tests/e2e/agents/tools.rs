//! Servers of tools and settings, as the real Claude Code reads them in a bottle.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use claude_bottle_standin::{Config, Script, Standin, ToolCall};
use serde_json::json;

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(
    a_server_of_tools_is_called_by_the_real_cli_and_its_secret_is_in_no_file,
    settings_of_the_manifest_reach_the_real_cli_and_ours_win,
);

/// Claude Code waits for servers before its first request, and names their tools in it.
const WAIT: &str = "      MCP_CONNECTION_NONBLOCKING: '0'\n      ENABLE_TOOL_SEARCH: 'false'\n";

const SECRET: &str = "canary-of-a-tool-7d1b";

/// A server by standard streams: <https://modelcontextprotocol.io/specification/2025-06-18/basic/transports>. It is the test's own.
const SERVER: &str = r#"
const lines = require("readline").createInterface({ input: process.stdin });
const answer = (id, result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
lines.on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === "initialize")
    answer(id, { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "t", version: "1" } });
  if (method === "tools/list")
    answer(id, { tools: [{ name: "look", description: "Looks", inputSchema: { type: "object", properties: {} } }] });
  if (method === "tools/call") {
    const secret = process.env.TOOL_SECRET || "";
    answer(id, { content: [{ type: "text", text: `seen-${process.argv[2]}-${secret.length}-${secret.slice(-4)}` }] });
  }
});
"#;

/// A home whose agent has the stand-in for its API, and more.
fn home(agent: &str, api: SocketAddr, more: &str) -> Home {
    let home = Home::with_agent(agent, api, more);
    let path = home.path().join("claude-bottle.yaml");
    let written = fs::read_to_string(&path).unwrap();
    fs::write(
        path,
        written.replace("    env:\n", &format!("    env:\n      TOOL_SECRET: ${{TOOL_SECRET}}\n{WAIT}")),
    )
    .unwrap();
    fs::write(home.work().join("server.js"), SERVER).unwrap();
    home
}

fn standin(backend: Backend, run: ToolCall, more: Vec<ToolCall>) -> Standin {
    let listen = SocketAddr::new(backend.host_address(), 0);
    let script = Script { reply: "Done.".to_owned(), run: Some(run) };
    Standin::start(Config { listen, script, more, ..Config::default() }).expect("start the stand-in API")
}

fn a_server_of_tools_is_called_by_the_real_cli_and_its_secret_is_in_no_file(backend: Backend) {
    let agent = &format!("e2e-mcp-{}", backend.name());
    let look = ToolCall { tool: "mcp__mine__look".to_owned(), input: json!({}) };
    // The secret itself is in no request.
    let search = "grep -rl \"$TOOL_SECRET\" ~ . 2>/dev/null | sed s,^,found-in:,; echo searched";
    let api = standin(backend, look, vec![ToolCall::bash(search)]);
    let more = "    mcp:\n      mine: { command: [node, server.js, here], env: [TOOL_SECRET] }\n      \
                there: { url: 'https://mcp.test/mcp', headers: { Authorization: 'Bearer ${TOOL_SECRET}' } }\n";
    let home = home(agent, api.address(), more);
    let mut start = backend.command(&home, &["start", agent, "--cwd", "--print", "Look"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN).env("TOOL_SECRET", SECRET));
    assert_code(&output, 0);
    let plan = stderr(&output);
    assert!(plan.contains("mine, there") && plan.contains("mcp.test"), "{plan}");
    let last = api.messages().last().expect("the tools' output came back").body.to_string();
    assert!(last.contains(&format!("seen-here-{}-7d1b", SECRET.len())), "{last}");
    assert!(last.contains("searched") && !last.contains("found-in:/"), "{last}");
    assert!(!last.contains(SECRET), "{last}");
    // The server elsewhere is asked for by the guard's rule, and there is none.
    let asked: Vec<_> = home.decisions().into_iter().filter(|line| line["host"] == "mcp.test").collect();
    assert!(asked.iter().all(|line| line["verdict"] != "deny"), "{asked:?}");
    let found = run(Command::new("grep").args(["-rl", SECRET]).arg(home.path()));
    assert_eq!(stdout(&found), "", "the secret is on the disk");
    backend.assert_nothing_left(&home, agent);
}

fn settings_of_the_manifest_reach_the_real_cli_and_ours_win(backend: Backend) {
    let agent = &format!("e2e-settings-{}", backend.name());
    let look = ToolCall::bash("cat ~/.claude/settings.json; env | grep ^DISABLE_AUTOUPDATER");
    let api = standin(backend, look, Vec::new());
    let more = "    settings:\n      skipDangerousModePermissionPrompt: false\n      env: { FROM_SETTINGS: xyzzy-77 }\n      \
                model: claude-of-the-manifest\n";
    let home = home(agent, api.address(), more);
    let mut start = backend.command(&home, &["start", agent, "--print", "Look"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN).env("TOOL_SECRET", SECRET));
    assert_code(&output, 0);
    let said = "`settings`: `skipDangerousModePermissionPrompt` is set by claude-bottle, which wins";
    assert!(stderr(&output).contains(said), "{}", stderr(&output));
    let last = api.messages().last().unwrap().body.clone();
    assert_eq!(last["model"], "claude-of-the-manifest");
    let text = last.to_string();
    assert!(text.contains(r#"\"skipDangerousModePermissionPrompt\":true"#), "{text}");
    assert!(text.contains("xyzzy-77"), "{text}");
    assert!(text.contains("DISABLE_AUTOUPDATER=1"), "it looks for updates: {text}");
    backend.assert_nothing_left(&home, agent);
}
