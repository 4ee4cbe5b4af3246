//! What a message is answered with: the Messages API's JSON, whole or as server-sent events. Pure; does no I/O.
//!
//! Format: <https://docs.claude.com/en/api/messages-streaming>.

use serde_json::{Value, json};

/// What the stand-in says, and does, in every conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The answer's text; `{output}` in it becomes what the command printed.
    pub reply: String,
    /// A command that the agent is first told to run with its Bash tool. Its output comes back in a later request.
    pub run: Option<String>,
}

impl Default for Script {
    fn default() -> Self {
        Self { reply: "Hello from the stand-in.".to_owned(), run: None }
    }
}

/// One content block of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    Text(String),
    Bash { command: String },
}

impl Script {
    /// Returns the answer to a request's body, as one JSON document.
    pub(crate) fn whole(&self, request: &Value) -> Value {
        let block = self.block(request);
        let mut message = envelope(request);
        message["content"] = json!([block.content()]);
        message["stop_reason"] = json!(block.stop_reason());
        message
    }

    /// Returns the answer to a request's body, as the events of a stream, each with its empty line.
    pub(crate) fn events(&self, request: &Value) -> Vec<String> {
        let block = self.block(request);
        [
            json!({"type": "message_start", "message": envelope(request)}),
            json!({"type": "content_block_start", "index": 0, "content_block": block.opening()}),
            json!({"type": "content_block_delta", "index": 0, "delta": block.delta()}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({
                "type": "message_delta",
                "delta": {"stop_reason": block.stop_reason(), "stop_sequence": null},
                "usage": {"output_tokens": 8},
            }),
            json!({"type": "message_stop"}),
        ]
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect()
    }

    /// The command is given once a conversation, and only to requests that offer the tool: the CLI also asks for
    /// titles and summaries, without tools.
    fn block(&self, request: &Value) -> Block {
        match &self.run {
            Some(command) if offers_bash(request) && tool_result(request).is_none() => {
                Block::Bash { command: command.clone() }
            }
            _ => Block::Text(self.reply.replace("{output}", &tool_result(request).unwrap_or_default())),
        }
    }
}

impl Block {
    fn content(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text", "text": text}),
            Self::Bash { .. } => {
                json!({"type": "tool_use", "id": "toolu_standin", "name": "Bash", "input": self.input()})
            }
        }
    }

    fn opening(&self) -> Value {
        match self {
            Self::Text(_) => json!({"type": "text", "text": ""}),
            Self::Bash { .. } => {
                json!({"type": "tool_use", "id": "toolu_standin", "name": "Bash", "input": {}})
            }
        }
    }

    fn delta(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text_delta", "text": text}),
            Self::Bash { .. } => {
                json!({"type": "input_json_delta", "partial_json": self.input().to_string()})
            }
        }
    }

    fn input(&self) -> Value {
        match self {
            Self::Text(_) => json!({}),
            Self::Bash { command } => json!({"command": command, "description": "Runs the test's command"}),
        }
    }

    fn stop_reason(&self) -> &'static str {
        match self {
            Self::Text(_) => "end_turn",
            Self::Bash { .. } => "tool_use",
        }
    }
}

fn envelope(request: &Value) -> Value {
    json!({
        "id": "msg_standin",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {"input_tokens": 8, "output_tokens": 1},
    })
}

fn offers_bash(request: &Value) -> bool {
    request["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == "Bash"))
}

/// Returns what the agent's tool printed, when the request brings it back.
fn tool_result(request: &Value) -> Option<String> {
    let messages = request["messages"].as_array()?;
    let mut parts = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    let content = &parts.find(|part| part["type"] == "tool_result")?["content"];
    Some(
        content
            .as_str()
            .map_or_else(|| content[0]["text"].as_str().unwrap_or_default().to_owned(), str::to_owned),
    )
}
