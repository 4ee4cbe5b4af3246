//! A parsed manifest before anything is known about its meaning: values with their places.

use super::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A number as it was written, so that nothing is lost.
    Number(String),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
    /// Something that was refused and reported already; whoever meets it stays silent.
    Refused,
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) text: String,
}

impl Node {
    /// Returns what the value is, as a person would say it.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Refused => "a refused value",
        }
    }

    /// Tells whether the value was reported already.
    pub(crate) fn is_refused(&self) -> bool {
        self.value == Value::Refused
    }
}

/// Returns the value of a YAML scalar without quotes, by the core schema:
/// <https://yaml.org/spec/1.2.2/#1032-tag-resolution>.
pub(crate) fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::String(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // What is left is decimal: `parse` would accept `inf` and `nan` too, so the characters are checked first.
    unsigned.bytes().any(|b| b.is_ascii_digit())
        && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        && unsigned.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for text in ["0", "12", "-3", "+7", "1.5", ".5", "1.", "1e9", "0x1F", "0o17", ".inf", "-.inf", ".nan"]
        {
            assert_eq!(plain_scalar(text), Value::Number(text.to_owned()), "{text}");
        }
        for text in ["1.2.3.4", "4g", "yes", "no", "on", "inf", "nan", "-", ".", "0x", "0o8", "e5", "1-2"] {
            assert_eq!(plain_scalar(text), Value::String(text.to_owned()), "{text}");
        }
        for text in ["", "~", "null"] {
            assert_eq!(plain_scalar(text), Value::Null, "{text}");
        }
        assert_eq!(plain_scalar("True"), Value::Bool(true));
    }
}
