//! What other agents' requests for a message are answered with: the text of the script, in the forms of their APIs. Pure; does no I/O.
//!
//! Formats: <https://platform.openai.com/docs/api-reference>, <https://ai.google.dev/api/generate-content>.

use serde_json::{Value, json};

/// An answer to a request for a message.
pub(crate) enum Reply {
    /// One document.
    Whole(Value),
    /// Server-sent events, each with its empty line.
    Events(Vec<String>),
}

/// Returns the answer to a request of another API than that of messages; `None` for a path of none.
pub(crate) fn reply(path: &str, request: &Value, text: &str) -> Option<Reply> {
    let is_stream = request["stream"] == true;
    Some(match path.rsplit('/').next()? {
        "responses" => Reply::Events(responses(text)),
        "completions" if is_stream => Reply::Events(chunks(request, text)),
        "completions" => Reply::Whole(completion(request, text)),
        model if model.ends_with(":generateContent") => Reply::Whole(candidate(text)),
        model if model.ends_with(":streamGenerateContent") => {
            Reply::Events(vec![format!("data: {}\n\n", candidate(text))])
        }
        _ => return None,
    })
}

fn responses(text: &str) -> Vec<String> {
    let content = json!([{"type": "output_text", "text": text}]);
    let item = json!({"type": "message", "role": "assistant", "id": "msg_standin", "content": content});
    let usage = json!({
        "input_tokens": 8, "input_tokens_details": null,
        "output_tokens": 8, "output_tokens_details": null, "total_tokens": 16,
    });
    [
        json!({"type": "response.created", "response": {"id": "resp_standin"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "resp_standin", "usage": usage}}),
    ]
    .iter()
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
    .collect()
}

fn usage() -> Value {
    json!({"prompt_tokens": 8, "completion_tokens": 8, "total_tokens": 16})
}

fn completion(request: &Value, text: &str) -> Value {
    json!({
        "id": "chat_standin", "object": "chat.completion", "created": 1, "model": request["model"], "usage": usage(),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    })
}

fn chunks(request: &Value, text: &str) -> Vec<String> {
    let chunk = |delta: Value, reason: Value| {
        json!({
            "id": "chat_standin", "object": "chat.completion.chunk", "created": 1, "model": request["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        })
    };
    let said = chunk(json!({"role": "assistant", "content": text}), Value::Null);
    let mut end = chunk(json!({}), json!("stop"));
    end["usage"] = usage();
    vec![format!("data: {said}\n\n"), format!("data: {end}\n\n"), "data: [DONE]\n\n".to_owned()]
}

fn candidate(text: &str) -> Value {
    json!({
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0,
        }],
        "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 8, "totalTokenCount": 16},
    })
}
