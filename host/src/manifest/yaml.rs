//! YAML text to nodes. Anchors, aliases, merge keys and tags are refused: a manifest says what it means, and an
//! alias is how a small file becomes a huge one.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::node::{Key, Node, Value, plain_scalar};
use super::problem::{Problem, ProblemKind, Problems};
use super::source::{Position, Source, Span};

/// Levels of nesting; the deepest manifest that means something has six.
pub(crate) const MAX_DEPTH: usize = 16;

/// Parses a YAML manifest. `None` means that there is nothing to go on with; why is among the problems.
pub(crate) fn parse(source: &Source, problems: &mut Problems) -> Option<Node> {
    let events = Parser::new_from_str(source.text());
    let mut reader = Reader { events, source, problems, open: Vec::new() };
    match reader.document() {
        Ok(node) => node,
        Err(problem) => {
            reader.problems.push(*problem);
            None
        }
    }
}

/// What ends the reading of a file.
type Fatal = Box<Problem>;

struct Reader<'s, 'p> {
    events: Parser<'s, StrInput<'s>>,
    source: &'s Source,
    problems: &'p mut Problems,
    /// Where the collections begin that have not ended.
    open: Vec<Span>,
}

impl<'s> Reader<'s, '_> {
    fn document(&mut self) -> Result<Option<Node>, Fatal> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), span) if root.is_some() => {
                    let message = "a manifest is one YAML document, and here a second one begins";
                    return Err(self.fatal(ProblemKind::SeveralDocuments, self.span(span), message));
                }
                (Event::DocumentStart(_), _) => {
                    let first = self.next()?;
                    root = Some(self.node(first, 0)?);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'s>, saphyr_parser::Span), Fatal> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, saphyr_parser::Span::default())),
        }
    }

    fn node(&mut self, (event, span): (Event<'s>, saphyr_parser::Span), depth: usize) -> Result<Node, Fatal> {
        let here = self.span(span);
        if depth > MAX_DEPTH {
            return Err(self.fatal(
                ProblemKind::TooDeep,
                here,
                "values are nested too deeply for a manifest",
            ));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        if anchor > 0 {
            self.alias(here, "anchors are not accepted in a manifest");
        }
        if tag {
            self.report(ProblemKind::Tag, here, "tags are not accepted in a manifest");
        }
        let value = match event {
            Event::Scalar(text, style, _, _) => scalar(&text, style),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                self.open.push(here);
                let is_sequence = matches!(event, Event::SequenceStart(..));
                let node = if is_sequence { self.sequence(here, depth)? } else { self.mapping(here, depth)? };
                self.open.pop();
                return Ok(node);
            }
            Event::Alias(_) => {
                self.alias(here, "aliases are not accepted in a manifest");
                Value::Refused
            }
            _ => Value::Null,
        };
        Ok(Node { span: here, value })
    }

    fn sequence(&mut self, start: Span, depth: usize) -> Result<Node, Fatal> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    let span = Span { start: start.start, end: self.span(end).end };
                    return Ok(Node { span, value: Value::Sequence(items) });
                }
                first => items.push(self.node(first, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Result<Node, Fatal> {
        let mut entries = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingEnd, end) => {
                    let span = Span { start: start.start, end: self.span(end).end };
                    return Ok(Node { span, value: Value::Mapping(entries) });
                }
                (Event::Scalar(text, style, anchor, tag), span) => {
                    let key = Key { span: self.span(span), text: text.clone().into_owned() };
                    let merge = text == "<<" && style == ScalarStyle::Plain;
                    // An anchor or a tag of a key is reported as that of any node.
                    self.node((Event::Scalar(text, style, anchor, tag), span), depth + 1)?;
                    let first = self.next()?;
                    let value = self.node(first, depth + 1)?;
                    if merge {
                        self.alias(key.span, "merge keys are not accepted in a manifest");
                    } else {
                        entries.push((key, value));
                    }
                }
                (_, span) => {
                    return Err(self.fatal(
                        ProblemKind::Syntax,
                        self.span(span),
                        "a key has to be a plain word",
                    ));
                }
            }
        }
    }

    fn report(&mut self, kind: ProblemKind, span: Span, message: &str) {
        self.problems.push(Problem::at(kind, self.source, span, message));
    }

    fn alias(&mut self, span: Span, message: &str) {
        let problem = Problem::at(ProblemKind::Alias, self.source, span, message);
        let character = self.source.character(span.start);
        self.problems.push(match character {
            Some('*' | '&') => problem.note("write the value out, or quote it if it is meant as text"),
            _ => problem.note("write the value out"),
        });
    }

    fn fatal(&self, kind: ProblemKind, span: Span, message: &str) -> Fatal {
        Box::new(Problem::at(kind, self.source, span, message))
    }

    fn syntax(&self, error: &ScanError) -> Fatal {
        let at = position(error.marker());
        let span = Span { start: at, end: Position { line: at.line, column: at.column + 1 } };
        let deep = error.info().contains("recursion limit");
        let kind = if deep { ProblemKind::TooDeep } else { ProblemKind::Syntax };
        if let Some(problem) = self.unclosed(at).filter(|_| !deep) {
            return Box::new(problem);
        }
        let problem = Problem::at(kind, self.source, span, format!("this is not YAML: {}", error.info()));
        Box::new(match advice(self.source, at) {
            Some(advice) => problem.note(advice),
            None => problem,
        })
    }

    /// Returns the problem of a bracket that is not closed in its line, where a later line makes no sense.
    fn unclosed(&self, at: Position) -> Option<Problem> {
        let start = self.open.last().filter(|span| span.start.line < at.line)?.start;
        let (opens, closes) = match self.source.character(start)? {
            opens @ '{' => (opens, '}'),
            opens @ '[' => (opens, ']'),
            _ => return None,
        };
        let span = Span { start, end: Position { line: start.line, column: start.column + 1 } };
        let message = format!("this is not YAML: the `{opens}` that begins here is not closed");
        let problem = Problem::at(ProblemKind::Syntax, self.source, span, message);
        Some(
            problem.note(format!(
                "add `{closes}`, or quotes if it is text; line {} cannot be part of it",
                at.line
            )),
        )
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let mut span = Span { start: position(&span.start), end: position(&span.end) };
        // A block scalar or a mapping ends where the next token begins, which may be on a later line.
        span.end = span.end.max(span.start);
        span
    }
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match style {
        ScalarStyle::Plain => plain_scalar(text),
        _ => Value::String(text.to_owned()),
    }
}

/// Returns what usually mends a syntax error, by the character it is at.
fn advice(source: &Source, at: Position) -> Option<&'static str> {
    match source.character(at)? {
        '*' => Some("a text that begins with `*` needs quotes: \"*.example.com\""),
        '?' => Some("a text that is `?` or begins with `? ` needs quotes: \"?\""),
        '{' if source.plain_line(at.line).contains("${") => {
            Some("inside braces, `${NAME}` needs quotes: \"${NAME}\"")
        }
        '%' | '@' | '`' | '&' | '!' | '|' | '>' => {
            Some("a text that begins with this character needs quotes")
        }
        ':' => Some("a text that holds `: ` needs quotes; otherwise a line may be indented wrongly"),
        _ if source.plain_line(at.line).trim_start_matches(' ').starts_with('\t') => {
            Some("indent with spaces; YAML does not accept tabs there")
        }
        _ => None,
    }
}

/// Reports every key that stands twice in one mapping, and drops all but the first.
pub(crate) fn drop_duplicates(node: &mut Node, source: &Source, problems: &mut Problems) {
    match &mut node.value {
        Value::Sequence(items) => items.iter_mut().for_each(|item| drop_duplicates(item, source, problems)),
        Value::Mapping(entries) => {
            let mut seen: HashMap<String, usize> = HashMap::new();
            entries.retain(|(key, _)| match seen.get(&key.text) {
                Some(line) => {
                    let message = format!("the key `{}` stands twice", key.text);
                    let problem = Problem::at(ProblemKind::DuplicateKey, source, key.span, message);
                    problems.push(problem.note(format!("it was given first in line {line}")));
                    false
                }
                None => seen.insert(key.text.clone(), key.span.start.line).is_none(),
            });
            entries.iter_mut().for_each(|(_, value)| drop_duplicates(value, source, problems));
        }
        _ => {}
    }
}
