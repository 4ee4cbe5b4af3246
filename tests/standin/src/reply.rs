//! What a message is answered with: the Messages API's JSON, whole or as server-sent events. Pure; does no I/O.
//!
//! Format: <https://docs.claude.com/en/api/messages-streaming>.

use serde_json::{Value, json};

/// What the stand-in says, and does, in every conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The answer's text; `{output}` in it becomes what the tool printed.
    pub reply: String,
    /// A tool that the agent is first told to call. Its output comes back in a later request.
    pub run: Option<ToolCall>,
}

/// One call of a tool that the agent offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// What it is given.
    pub input: Value,
}

impl ToolCall {
    /// Returns a call of the Bash tool.
    pub fn bash(command: &str) -> Self {
        let input = json!({"command": command, "description": "Runs the test's command"});
        Self { tool: "Bash".to_owned(), input }
    }
}

impl Default for Script {
    fn default() -> Self {
        Self { reply: "Hello from the stand-in.".to_owned(), run: None }
    }
}

/// All that a message may be answered with.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) script: Script,
    /// Calls after that of the script, one a message.
    pub(crate) more: Vec<ToolCall>,
}

/// One content block of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    Text(String),
    /// A call, and its number in the conversation.
    Call(ToolCall, usize),
}

impl Answers {
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

    /// Each call is made once a conversation, and only to requests that offer the tool: the CLI also asks for titles
    /// and summaries, without tools.
    fn block(&self, request: &Value) -> Block {
        let results = tool_results(request);
        let next = self.script.run.iter().chain(&self.more).nth(results.len());
        match next.filter(|call| offers(request, &call.tool)) {
            Some(call) => Block::Call(call.clone(), results.len()),
            None => {
                let output = results.into_iter().next().unwrap_or_default();
                Block::Text(self.script.reply.replace("{output}", &output))
            }
        }
    }
}

impl Block {
    fn content(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text", "text": text}),
            Self::Call(call, number) => tool_use(*number, &call.tool, &call.input),
        }
    }

    fn opening(&self) -> Value {
        match self {
            Self::Text(_) => json!({"type": "text", "text": ""}),
            Self::Call(call, number) => tool_use(*number, &call.tool, &json!({})),
        }
    }

    fn delta(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text_delta", "text": text}),
            Self::Call(call, _) => {
                json!({"type": "input_json_delta", "partial_json": call.input.to_string()})
            }
        }
    }

    fn stop_reason(&self) -> &'static str {
        match self {
            Self::Text(_) => "end_turn",
            Self::Call(..) => "tool_use",
        }
    }
}

fn tool_use(number: usize, name: &str, input: &Value) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_standin_{number}"), "name": name, "input": input})
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

fn offers(request: &Value, name: &str) -> bool {
    request["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == name))
}

/// Returns what the agent's tools printed, as far as the request brings it back.
fn tool_results(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().into_iter().flatten();
    let parts = messages.filter_map(|message| message["content"].as_array()).flatten();
    let results = parts.filter(|part| part["type"] == "tool_result").map(|part| &part["content"]);
    let text = |content: &Value| content[0]["text"].as_str().unwrap_or_default().to_owned();
    results.map(|content| content.as_str().map_or_else(|| text(content), str::to_owned)).collect()
}
