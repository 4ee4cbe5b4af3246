//! A server of tools over HTTP with one tool, `look`: what it answers to a message of the protocol. Pure; does no I/O.
//!
//! <https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#streamable-http>

use serde_json::{Value, json};

/// What the tool says.
pub(crate) const SEEN: &str = "seen from elsewhere";

/// Returns the answer to a message; a notification has none.
pub(crate) fn reply(message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let result = match message["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "standin", "version": "1"},
        }),
        "tools/list" => {
            let schema = json!({"type": "object", "properties": {}});
            json!({"tools": [{"name": "look", "description": "Looks", "inputSchema": schema}]})
        }
        "tools/call" => json!({"content": [{"type": "text", "text": SEEN}]}),
        "ping" => json!({}),
        _ => {
            let error = json!({"code": -32601, "message": "the stand-in does not know this method"});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}
