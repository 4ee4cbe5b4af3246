//! JSON text to nodes. `serde_json` decides whether the text is JSON; a walk over what it accepted adds the places.
//!
//! A YAML parser would take most JSON too, and comments, single quotes and trailing commas with it, and it refuses
//! the surrogate escapes that JSON writers make.

use serde::de::IgnoredAny;

use super::node::{Key, Node, Value};
use super::problem::{Problem, ProblemKind, Problems};
use super::source::{Position, Source, Span};
use super::yaml::MAX_DEPTH;

/// Parses a JSON manifest. `None` means that there is nothing to go on with; why is among the problems.
pub(crate) fn parse(source: &Source, problems: &mut Problems) -> Option<Node> {
    if source.text().trim().is_empty() {
        return None;
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(source.text()) {
        problems.push(syntax(source, &error));
        return None;
    }
    let mut walk = Walk { rest: source.text(), at: Position { line: 1, column: 1 } };
    match walk.value(0) {
        Ok(node) => Some(node),
        Err(fault) => {
            problems.push(Problem::at(fault.kind, source, fault.span, fault.message));
            None
        }
    }
}

fn syntax(source: &Source, error: &serde_json::Error) -> Problem {
    // serde_json counts columns in bytes; places here are counted in characters.
    let line = source.plain_line(error.line());
    let bytes = error.column().saturating_sub(1).min(line.len());
    let column = line.char_indices().filter(|(at, _)| *at < bytes).count() + 1;
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    let span = Span::of_width(error.line().max(1), column, 1);
    let problem = Problem::at(ProblemKind::Syntax, source, span, format!("this is not JSON: {message}"));
    let note = match source.character(span.start) {
        Some('}' | ']')
            if ["trailing comma", "key must be a string", "expected value"].contains(&message) =>
        {
            "JSON has no comma after the last entry; a YAML manifest may"
        }
        Some('/' | '#') => "JSON has no comments; a YAML manifest may",
        Some('\'') => "JSON has texts in double quotes only",
        _ => return problem,
    };
    problem.note(note)
}

struct Fault {
    kind: ProblemKind,
    span: Span,
    message: &'static str,
}

/// A walk over text that is known to be JSON.
struct Walk<'s> {
    rest: &'s str,
    at: Position,
}

impl<'s> Walk<'s> {
    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        self.skip_space();
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(self.fault(ProblemKind::TooDeep, "values are nested too deeply for a manifest"));
        }
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"') => Value::String(self.string()?.text),
            _ => match self.take_while(|c| !matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r')) {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                number => Value::Number(number.to_owned()),
            },
        };
        Ok(Node { span: Span { start, end: self.at }, value })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries = Vec::new();
        self.bump();
        loop {
            self.skip_separators();
            match self.peek() {
                Some('"') => {
                    let key = self.string()?;
                    self.skip_separators();
                    entries.push((key, self.value(depth + 1)?));
                }
                _ => {
                    self.bump();
                    return Ok(Value::Mapping(entries));
                }
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.bump();
        loop {
            self.skip_separators();
            match self.peek() {
                Some(']') | None => {
                    self.bump();
                    return Ok(Value::Sequence(items));
                }
                Some(_) => items.push(self.value(depth + 1)?),
            }
        }
    }

    fn string(&mut self) -> Result<Key, Fault> {
        let (start, text) = (self.at, self.rest);
        self.bump();
        loop {
            match self.bump() {
                Some('\\') => drop(self.bump()),
                Some('"') | None => break,
                Some(_) => {}
            }
        }
        let quoted = &text[..text.len() - self.rest.len()];
        let span = Span { start, end: self.at };
        // What is left to refuse is a lone surrogate, which is no character.
        let text = serde_json::from_str(quoted).map_err(|_| Fault {
            kind: ProblemKind::Syntax,
            span,
            message: "this text has an escape that is not a valid character",
        })?;
        Ok(Key { span, text })
    }

    fn fault(&self, kind: ProblemKind, message: &'static str) -> Fault {
        Fault { kind, span: Span { start: self.at, end: self.at }, message }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next()?;
        self.rest = characters.as_str();
        match character {
            '\n' => self.at = Position { line: self.at.line + 1, column: 1 },
            _ => self.at.column += 1,
        }
        Some(character)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let text = self.rest;
        while self.peek().is_some_and(&wanted) {
            self.bump();
        }
        &text[..text.len() - self.rest.len()]
    }

    fn skip_space(&mut self) {
        self.take_while(|c| c.is_ascii_whitespace());
    }

    fn skip_separators(&mut self) {
        self.take_while(|c| c.is_ascii_whitespace() || matches!(c, ',' | ':'));
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::FileName;
    use super::*;

    fn parsed(text: &str) -> Result<Node, String> {
        let source = Source::new(FileName { path: "f".into(), shown: "f".to_owned() }, text.to_owned());
        let mut problems = Problems::default();
        let node = parse(&source, &mut problems);
        problems.into_result(()).map_err(|errors| errors.report())?;
        node.ok_or_else(|| "empty".to_owned())
    }

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null | Value::Refused => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => serde_json::from_str(text).unwrap(),
            Value::String(text) => text.clone().into(),
            Value::Sequence(items) => items.iter().map(plain).collect(),
            Value::Mapping(entries) => {
                entries.iter().map(|(key, value)| (key.text.clone(), plain(value))).collect()
            }
        }
    }

    #[test]
    fn agrees_with_serde_json() {
        for text in [
            "{}",
            " [ ] ",
            "{\n\t\"a\": \"x\\/y \\u00e9 \\uD83D\\uDE00 \\\" \\\\\",\n\t\"b\":[1,\n\t2.5e-3,-0],\"c\":{\"d\":null}}\n",
            "[true,false,null,\"\",\"a,b:c]}\"]",
        ] {
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(plain(&parsed(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn is_as_strict_as_json() {
        for text in [
            "{'a': 1}",
            "{a: 1}",
            "{\"a\": 1,}",
            "{} {}",
            "// c\n{}",
            "{\"a\": 01}",
            "[\"\\uD83D\"]",
            "\u{feff}{}",
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains("[syntax]"), "{text}: {error}");
        }
        assert!(parsed(&"[".repeat(200)).unwrap_err().contains("JSON"));
        assert!(parsed(&format!("{}{}", "[".repeat(40), "]".repeat(40))).unwrap_err().contains("[too-deep]"));
    }

    #[test]
    fn places_count_characters() {
        let node = parsed("{\"é\": [\n  \"ü\", 7]}").unwrap();
        let Value::Mapping(entries) = &node.value else { panic!() };
        let Value::Sequence(items) = &entries[0].1.value else { panic!() };
        assert_eq!(entries[0].0.span, Span::of_width(1, 2, 3));
        assert_eq!(items[1].span, Span::of_width(2, 8, 1));
    }
}
