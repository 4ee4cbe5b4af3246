//! Where in a document of JSON a text stands, byte for byte, so that nothing else of the document changes.

use std::ops::Range;

use serde::de::IgnoredAny;

/// A key on the way is there more than once, and readers differ in which of them counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Twice;

/// Returns where the text at a pointer stands, with its quotes, and what it says. What is not JSON, or has no text there, has none.
pub(super) fn find(text: &str, pointer: &str) -> Result<Option<(Range<usize>, String)>, Twice> {
    // All that follows reads what is known to be whole.
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Ok(None);
    }
    let mut at = 0;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        match step(text, blank(text, at), &token)? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    let at = blank(text, at);
    let span = at..skip(text, at);
    Ok(serde_json::from_str::<String>(&text[span.clone()]).ok().map(|value| (span, value)))
}

/// Returns where the part of a value begins that a token names.
fn step(text: &str, at: usize, token: &str) -> Result<Option<usize>, Twice> {
    match byte(text, at) {
        b'{' => member(text, at, token),
        b'[' => Ok(token.parse().ok().and_then(|index| element(text, at, index))),
        _ => Ok(None),
    }
}

fn member(text: &str, at: usize, key: &str) -> Result<Option<usize>, Twice> {
    let (mut found, mut at) = (None, blank(text, at + 1));
    while byte(text, at) == b'"' {
        let end = skip(text, at);
        let is_it = serde_json::from_str::<String>(&text[at..end]).is_ok_and(|name| name == key);
        // Behind the colon.
        let value = blank(text, blank(text, end) + 1);
        if is_it && found.replace(value).is_some() {
            return Err(Twice);
        }
        // Behind the comma, or the end.
        at = blank(text, blank(text, skip(text, value)) + 1);
    }
    Ok(found)
}

fn element(text: &str, at: usize, index: usize) -> Option<usize> {
    let mut at = blank(text, at + 1);
    for _ in 0..index {
        at = blank(text, skip(text, at));
        if byte(text, at) != b',' {
            return None;
        }
        at = blank(text, at + 1);
    }
    (byte(text, at) != b']').then_some(at)
}

/// Returns the end of the value that begins here.
fn skip(text: &str, at: usize) -> usize {
    let bytes = &text.as_bytes()[at..];
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => {
                in_text = !in_text;
                if !in_text && depth == 0 {
                    return at + index + 1;
                }
            }
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at + index,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + index + 1;
                }
            }
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at + index,
            _ => {}
        }
    }
    text.len()
}

/// Returns the next place that is not blank.
fn blank(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| b" \t\r\n".contains(byte)).count()
}

/// Returns the byte at a place; nothing of JSON is the one that stands for the end.
fn byte(text: &str, at: usize) -> u8 {
    text.as_bytes().get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_text_is_found_where_it_stands() {
        let text =
            r#" { "a" : [ 1, {"b/c": "x\"y", "~": {"": "deep"}}, [], "last" ] , "d":"e", "n": null } "#;
        let check = |pointer: &str, expected: Option<(&str, &str)>| {
            let found = find(text, pointer).unwrap();
            let found = found.as_ref().map(|(span, value)| (&text[span.clone()], value.as_str()));
            assert_eq!(found, expected, "{pointer}");
        };
        check("/a/1/b~1c", Some((r#""x\"y""#, "x\"y")));
        check("/a/1/~0/", Some((r#""deep""#, "deep")));
        check("/a/3", Some((r#""last""#, "last")));
        check("/d", Some((r#""e""#, "e")));
        for nothing in ["/a", "/a/0", "/a/4", "/a/2/0", "/a/x", "/d/e", "/n", "/x", "/a/1/b"] {
            check(nothing, None);
        }
        assert_eq!(find(r#"["x"]"#, "/0").unwrap().unwrap().0, 1..4);
        for broken in ["", "{", r#"{"d":"e""#, r#"{"d":"e"} x"#, r#"{'d':"e"}"#] {
            assert_eq!(find(broken, "/d"), Ok(None), "{broken}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_has_no_reading() {
        assert_eq!(find(r#"{"a":"x","a":"y"}"#, "/a"), Err(Twice));
        assert_eq!(find(r#"{"a":{"b":"x"},"\u0061":{"b":"y"}}"#, "/a/b"), Err(Twice));
        assert!(find(r#"{"a":"x","b":1,"b":2}"#, "/a").unwrap().is_some());
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<i32>().prop_map(Value::from), ".*".prop_map(Value::from), Just(Value::Null)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c~/\"]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Returns the pointers of every part of a document.
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match value {
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), all));
            }
            Value::Object(members) => members.iter().for_each(|(key, item)| {
                let token = key.replace('~', "~0").replace('/', "~1");
                pointers(item, &format!("{at}/{token}"), all);
            }),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_the_library_finds(document in document(), is_pretty in any::<bool>()) {
            let text = if is_pretty { format!("{document:#}") } else { document.to_string() };
            let mut all = Vec::new();
            pointers(&document, "", &mut all);
            for pointer in all.iter().filter(|pointer| !pointer.is_empty()) {
                let expected = document.pointer(pointer).and_then(Value::as_str);
                let found = find(&text, pointer).unwrap();
                prop_assert_eq!(found.as_ref().map(|(_, value)| value.as_str()), expected);
                if let Some((span, value)) = found {
                    prop_assert_eq!(serde_json::from_str::<String>(&text[span]).unwrap(), value);
                }
            }
        }
    }
}
