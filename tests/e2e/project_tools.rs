//! What a project brings for its agent: a tool server that speaks over its standard streams.

use claude_bottle_standin::{Script, ToolCall};
use serde_json::json;

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, standin, stdout};

on_each_backend!(a_tool_server_of_the_project_is_started_and_called_inside);

/// A server of one tool: <https://modelcontextprotocol.io/specification/2025-06-18/basic/transports>, "stdio".
const SERVER: &str = r#"
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case $line in
    *'"initialize"'*)
      version=$(printf '%s' "$line" | sed -n 's/.*"protocolVersion":"\([^"]*\)".*/\1/p')
      result='{"protocolVersion":"'$version'","capabilities":{"tools":{}},"serverInfo":{"name":"greeter","version":"1"}}' ;;
    *'"tools/list"'*)
      result='{"tools":[{"name":"greet","description":"Greets somebody","inputSchema":{"type":"object","properties":{"name":{"type":"string"}}}}]}' ;;
    *'"tools/call"'*)
      name=$(printf '%s' "$line" | sed -n 's/.*"name":"\(Ada\)".*/\1/p')
      result='{"content":[{"type":"text","text":"greetings to '$name' by '$(id -un)' from '$(cat place.txt)'"}]}' ;;
    *) result='{}' ;;
  esac
  [ -z "$id" ] || printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
"#;

fn a_tool_server_of_the_project_is_started_and_called_inside(backend: Backend) {
    let agent = &format!("e2e-mcp-{}", backend.name());
    let call = ToolCall { tool: "mcp__greeter__greet".to_owned(), input: json!({ "name": "Ada" }) };
    let api = standin(backend, Script { reply: "done".to_owned(), run: Some(call) });
    let home = Home::with_agent(agent, api.address(), "");
    let servers = json!({ "mcpServers": { "greeter": { "command": "sh", "args": ["server.sh"] } } });
    for (name, text) in
        [(".mcp.json", &*servers.to_string()), ("server.sh", SERVER), ("place.txt", "the workspace")]
    {
        std::fs::write(home.work().join(name), text).unwrap();
    }
    // Without this the CLI offers its tools by name alone, to be searched for.
    let settings = r#"{"env":{"ENABLE_TOOL_SEARCH":"false"}}"#;
    let words = [
        "start",
        agent,
        "--cwd",
        "--print",
        "Greet Ada",
        "--",
        "--mcp-config",
        ".mcp.json",
        "--settings",
        settings,
    ];
    let output = run(backend.command(&home, &words).env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), "done");
    let messages = api.messages();
    let offered =
        |tool: &str| messages.iter().any(|request| request.body["tools"].to_string().contains(tool));
    assert!(offered("mcp__greeter__greet"), "the tool was not offered");
    let last = messages.last().unwrap().body["messages"].to_string();
    assert!(last.contains("greetings to Ada by node from the workspace"), "{last}");
    backend.assert_nothing_left(&home, agent);
}
