//! Adding rules to a bottle's allowlist in the text of a manifest: a line is put in, and all else stays as it was, comments included.
//!
//! Where the layout leaves no place for that, nothing is written, and the error names the line.

use std::path::PathBuf;

use super::node::{Key, Node, Value};
use super::problem::Problems;
use super::source::{FileName, Position, Source};
use super::write::{Format, WriteError, read};
use super::{BottleName, json, yaml};

/// Returns a manifest's text with rules at the end of a bottle's allowlist. Those that it has are not added again.
///
/// # Errors
/// Fails when the text is not a manifest with that bottle, and when there is no place that could be filled without changing more.
pub fn add_rules(
    old: &str,
    format: Format,
    bottle: &BottleName,
    rules: &[String],
) -> Result<String, WriteError> {
    let (mut wanted, _) = read(old, format)?;
    let unknown = || WriteError::NoBottle { name: bottle.clone() };
    let allowlist =
        &mut wanted.bottles.get_mut(bottle).ok_or_else(unknown)?.egress.get_or_insert_default().allowlist;
    let new: Vec<&str> = rules.iter().filter(|rule| !allowlist.contains(rule)).map(String::as_str).collect();
    if new.is_empty() {
        return Ok(old.to_owned());
    }
    allowlist.extend(new.iter().map(|rule| (*rule).to_owned()));
    let name = FileName { path: PathBuf::new(), shown: String::new() };
    let source = Source::new(name, old.to_owned());
    let mut problems = Problems::default();
    let root = match format {
        Format::Yaml => yaml::parse(&source, &mut problems),
        Format::Json => json::parse(&source, &mut problems),
    };
    let place = root.as_ref().and_then(|root| find(root, bottle.as_str())).ok_or_else(unknown)?;
    let text = Text { source: &source, format };
    let edited = text.edit(&place, &new);
    // The text was put together line by line; only what reads back as exactly the wanted manifest is used.
    let is_wanted = |text: &String| read(text, format).is_ok_and(|(document, _)| document == wanted);
    edited.filter(is_wanted).ok_or(WriteError::NoPlace { line: place.key().span.start.line })
}

/// Returns a rule as an entry of a list: one that would begin something else in YAML is quoted.
pub fn as_entry(rule: &str) -> String {
    if rule.starts_with(['*', '[']) { format!("\"{rule}\"") } else { rule.to_owned() }
}

/// The innermost of the mappings that lead to the allowlist, as far as they are there.
enum Place<'n> {
    /// The allowlist, and its key.
    Allowlist(&'n Key, &'n Node),
    /// `egress` without one.
    Egress(&'n Key, &'n Node),
    /// A bottle without `egress`.
    Bottle(&'n Key, &'n Node),
}

impl Place<'_> {
    fn key(&self) -> &Key {
        match self {
            Self::Allowlist(key, _) | Self::Egress(key, _) | Self::Bottle(key, _) => key,
        }
    }
}

fn find<'n>(root: &'n Node, bottle: &str) -> Option<Place<'n>> {
    let (_, bottles) = entry(root, "bottles")?;
    let (key, bottle) = entry(bottles, bottle)?;
    let Some((egress_key, egress)) = entry(bottle, "egress") else { return Some(Place::Bottle(key, bottle)) };
    Some(match entry(egress, "allowlist") {
        Some((key, allowlist)) => Place::Allowlist(key, allowlist),
        None => Place::Egress(egress_key, egress),
    })
}

fn entry<'n>(node: &'n Node, wanted: &str) -> Option<(&'n Key, &'n Node)> {
    let Value::Mapping(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.text == wanted).map(|(key, node)| (key, node))
}

/// The text that is edited.
struct Text<'s> {
    source: &'s Source,
    format: Format,
}

impl Text<'_> {
    /// Returns the new text, if a place for the rules is found in it.
    fn edit(&self, place: &Place<'_>, rules: &[&str]) -> Option<String> {
        match *place {
            Place::Allowlist(_, node) if self.source.character(node.span.start) == Some('[') => {
                self.extend_brackets(node, rules)
            }
            Place::Allowlist(key, node) => self.extend_block(key, node, rules),
            Place::Egress(key, node) => {
                let indent = self.indent_below(key, node)?;
                self.below(key, node, &[format!("{indent}allowlist:")], &format!("{indent}  "), rules)
            }
            Place::Bottle(key, node) => {
                let indent = self.indent_below(key, node)?;
                let heads = [format!("{indent}egress:"), format!("{indent}  allowlist:")];
                self.below(key, node, &heads, &format!("{indent}    "), rules)
            }
        }
    }

    /// Puts entries behind the last one of `[a, b]`.
    fn extend_brackets(&self, node: &Node, rules: &[&str]) -> Option<String> {
        let Value::Sequence(items) = &node.value else { return None };
        let last = match items.last() {
            Some(item) => self.offset(item.span.end)?,
            None => self.offset(node.span.start)? + 1,
        };
        let end = last + self.source.text().get(last..)?.find(']')?;
        let before = self.source.text().get(..end)?.trim_end();
        let (before, gap) = match before.strip_suffix(',') {
            Some(rest) => (rest, ", "),
            None => (before, if items.is_empty() { "" } else { ", " }),
        };
        let entries: Vec<_> = rules.iter().map(|rule| self.in_brackets(rule)).collect();
        let rest = &self.source.text()[before.len()..];
        let rest = rest.strip_prefix(',').unwrap_or(rest);
        Some(format!("{before}{gap}{}{rest}", entries.join(", ")))
    }

    fn in_brackets(&self, rule: &str) -> String {
        match self.format {
            Format::Json => format!("\"{rule}\""),
            Format::Yaml => as_entry(rule),
        }
    }

    /// Puts lines behind the last entry of a list of lines, or below the key of an empty one.
    fn extend_block(&self, key: &Key, node: &Node, rules: &[&str]) -> Option<String> {
        match &node.value {
            Value::Sequence(items) => {
                let last = items.last()?.span.start.line;
                let line = self.source.plain_line(last);
                let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
                line.trim_start_matches(' ').starts_with("- ").then(|| self.insert(last, &[], indent, rules))
            }
            Value::Null => {
                let indent = format!("{}  ", self.indent_of(key)?);
                Some(self.insert(key.span.start.line, &[], &indent, rules))
            }
            _ => None,
        }
    }

    /// Puts lines below a key, whose value is a mapping of lines or nothing.
    fn below(
        &self,
        key: &Key,
        node: &Node,
        heads: &[String],
        indent: &str,
        rules: &[&str],
    ) -> Option<String> {
        let line = key.span.start.line;
        let text = self.insert(line, heads, indent, rules);
        let is_braces = self.source.character(node.span.start) == Some('{') && node.span.start.line == line;
        if !is_braces {
            return Some(text);
        }
        // `{}` in the key's line, which an empty bottle is written as. Where a node ends its position does not say: a comment may
        // be behind it.
        let start = self.offset(node.span.start)?;
        let rest = text[start..].strip_prefix("{}")?;
        Some(format!("{}{rest}", text[..start].trim_end()))
    }

    /// Returns how the lines below a key are indented.
    fn indent_below(&self, key: &Key, node: &Node) -> Option<String> {
        match &node.value {
            Value::Mapping(entries) => match entries.first() {
                Some((first, _)) => self.indent_of(first),
                None => Some(format!("{}  ", self.indent_of(key)?)),
            },
            Value::Null => Some(format!("{}  ", self.indent_of(key)?)),
            _ => None,
        }
    }

    /// Returns what stands in front of a key, when that is spaces alone.
    fn indent_of(&self, key: &Key) -> Option<String> {
        let Position { line, column } = key.span.start;
        let before: String = self.source.plain_line(line).chars().take(column - 1).collect();
        before.chars().all(|c| c == ' ').then_some(before)
    }

    /// Returns the text with lines behind one of its own.
    fn insert(&self, behind: usize, heads: &[String], indent: &str, rules: &[&str]) -> String {
        let entries = rules.iter().map(|rule| format!("{indent}- {}", as_entry(rule)));
        let new: Vec<_> = heads.iter().cloned().chain(entries).collect();
        let lines: Vec<&str> = self.source.text().split_inclusive('\n').collect();
        let (before, after) = lines.split_at(behind.min(lines.len()));
        let end = if before.last().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        let before = before.concat();
        let gap = if before.ends_with('\n') { "" } else { end };
        format!("{before}{gap}{}{end}{}", new.join(end), after.concat())
    }

    /// Returns where in the text a position is.
    fn offset(&self, at: Position) -> Option<usize> {
        let start: usize =
            self.source.text().split_inclusive('\n').take(at.line.checked_sub(1)?).map(str::len).sum();
        let rest = self.source.text().get(start..)?;
        let before: usize = rest.chars().take(at.column.checked_sub(1)?).map(char::len_utf8).sum();
        Some(start + before)
    }
}

#[cfg(test)]
#[path = "allow_tests.rs"]
mod tests;
