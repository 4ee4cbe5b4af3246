//! A document as the text of a file: as it is, JSON, or TOML.

use claude_bottle_plugin_api::{Failure, FailureKind, FileFormat, HomeFile, Result};
use serde_json::Value;

/// Writes a document in the format of its file.
pub(super) fn written(file: &HomeFile, content: &Value) -> Result<String> {
    let text = match (file.format, content) {
        (FileFormat::Text, Value::String(text)) => Some(text.clone()),
        (FileFormat::Json, Value::Object(_)) => Some(content.to_string()),
        (FileFormat::Toml, Value::Object(fields)) => {
            let lines =
                fields.iter().map(|(key, value)| Some(format!("{} = {}\n", quoted(key), toml(value)?)));
            lines.collect()
        }
        _ => None,
    };
    text.ok_or_else(|| {
        let message =
            format!("the file `{}` of the agent's home cannot be written", file.path.escape_default());
        Failure::new(FailureKind::Invalid, message)
    })
}

/// Writes a value on one line: tables are inline tables. <https://toml.io/en/v1.0.0>
fn toml(value: &Value) -> Option<String> {
    Some(match value {
        // TOML has none.
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| Some(format!("{} = {}", quoted(key), toml(value)?));
            format!("{{{}}}", fields.iter().map(field).collect::<Option<Vec<_>>>()?.join(", "))
        }
    })
}

/// Writes a basic string of TOML. Its escapes are those of JSON, which leaves one control character as it is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
