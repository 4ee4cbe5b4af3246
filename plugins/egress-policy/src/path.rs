//! The one reading of a path, and the patterns that rules compare with it.
//!
//! Servers differ in what they make of dots, empty segments, backslashes and escapes. A path in which they could differ is
//! refused where a rule is about paths; any other has one reading: its segments, with every escape taken off.

use std::fmt;

/// Why a path has no single reading, or a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Something else in front.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// Segments that stand for others.
    #[error("the path has a `.` or `..` segment")]
    Dots,
    /// Two slashes in a row.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A slash or backslash that is not a plain slash.
    #[error("the path has a backslash, or an escaped slash or backslash")]
    Separator,
    /// A percent sign without two hexadecimal digits, or an escape within an escape.
    #[error("the path has a `%` that is not one plain escape")]
    Escape,
    /// Control characters, plain or escaped.
    #[error("the path has a control character")]
    Control,
    /// Bytes that are not text.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// A fragment, or a query in a pattern.
    #[error("the path has a query or a fragment")]
    Query,
    /// `*` within a segment.
    #[error(
        "in a path `*` stands for one whole segment and `**` for any number of them; write `%2A` for the character"
    )]
    Wildcard,
}

/// A path in its one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath(Vec<String>);

impl RequestPath {
    /// Reads the path of a request target in origin form; a query behind it is not looked at.
    ///
    /// # Errors
    /// Fails when servers could read it in different ways.
    pub fn read(target: &str) -> Result<Self, PathError> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let segments = raw_segments(path)?;
        segments.into_iter().map(decoded).collect::<Result<_, _>>().map(Self)
    }
}

/// Splits a path at its slashes. Only the last segment may be empty.
fn raw_segments(path: &str) -> Result<Vec<&str>, PathError> {
    let rest = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    if rest.contains('#') {
        return Err(PathError::Query);
    }
    let segments: Vec<&str> = rest.split('/').collect();
    let (_, inner) = segments.split_last().unwrap_or((&"", &[]));
    if inner.iter().any(|segment| segment.is_empty()) {
        return Err(PathError::EmptySegment);
    }
    Ok(segments)
}

/// Takes the escapes off a segment.
fn decoded(segment: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = behind;
            continue;
        }
        let (digits, behind) = behind.split_first_chunk::<2>().ok_or(PathError::Escape)?;
        bytes.push(byte(*digits).ok_or(PathError::Escape)?);
        rest = behind;
    }
    let text = String::from_utf8(bytes).map_err(|_| PathError::NotUtf8)?;
    check(&text)?;
    Ok(text)
}

fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// Refuses what a server could take for something else than this segment.
fn check(text: &str) -> Result<(), PathError> {
    if text.contains(['/', '\\']) {
        return Err(PathError::Separator);
    }
    if text.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    let is_escape = |at: &[u8]| matches!(at, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if text.as_bytes().windows(3).any(is_escape) {
        return Err(PathError::Escape);
    }
    // Java servers cut parameters off a segment, and Windows blanks, before they look for dots.
    if matches!(without_parameters(text).trim_matches(' '), "." | "..") {
        return Err(PathError::Dots);
    }
    Ok(())
}

fn without_parameters(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(name, _)| name)
}

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Exactly this segment.
    Segment(String),
    /// One segment, `*`.
    One,
    /// Any number of segments, `**`.
    Any,
}

/// Which paths a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(Vec<Part>);

/// How closely a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As it is written.
    Exact,
    /// As widely as a server may read it: in any case, with parameters, with a slash at the end or without.
    Wide,
}

impl PathPattern {
    /// Reads `/a/*/b/**`.
    ///
    /// # Errors
    /// Fails for what no request could be compared with.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.contains('?') {
            return Err(PathError::Query);
        }
        let part = |segment: &str| match segment {
            "*" => Ok(Part::One),
            "**" => Ok(Part::Any),
            other if other.contains('*') => Err(PathError::Wildcard),
            other => decoded(other).map(Part::Segment),
        };
        raw_segments(text)?.into_iter().map(part).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn matches(&self, path: &RequestPath, reading: Reading) -> bool {
        let segments = path.0.as_slice();
        match reading {
            Reading::Exact => fits(&self.0, segments, reading),
            Reading::Wide => {
                let (parts, open) = (without_end(&self.0), without_slash(segments));
                fits(&self.0, segments, reading) || fits(parts, open, reading)
            }
        }
    }
}

fn without_end(parts: &[Part]) -> &[Part] {
    match parts.split_last() {
        Some((Part::Segment(last), rest)) if last.is_empty() => rest,
        _ => parts,
    }
}

fn without_slash(segments: &[String]) -> &[String] {
    match segments.split_last() {
        Some((last, rest)) if last.is_empty() => rest,
        _ => segments,
    }
}

/// Compares from the left; where it fails, the last `**` takes one segment more.
fn fits(parts: &[Part], segments: &[String], reading: Reading) -> bool {
    let (mut part, mut segment) = (0, 0);
    let mut retry = None;
    while segment < segments.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                part += 1;
                retry = Some((part, segment));
            }
            Some(one) if fits_one(one, &segments[segment], reading) => {
                part += 1;
                segment += 1;
            }
            _ => {
                let Some((after, taken)) = retry else { return false };
                (part, segment) = (after, taken + 1);
                retry = Some((part, segment));
            }
        }
    }
    parts[part..].iter().all(|part| *part == Part::Any)
}

fn fits_one(part: &Part, segment: &str, reading: Reading) -> bool {
    match (part, reading) {
        (Part::Any, _) => false,
        (Part::One, Reading::Exact) => !segment.is_empty(),
        (Part::One, Reading::Wide) => true,
        (Part::Segment(wanted), Reading::Exact) => wanted == segment,
        (Part::Segment(wanted), Reading::Wide) => [segment, without_parameters(segment)]
            .iter()
            .any(|read| wanted.eq_ignore_ascii_case(read.trim_end_matches(' '))),
    }
}

/// Writes the canonical text, which parses to an equal pattern.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            f.write_str("/")?;
            match part {
                Part::One => f.write_str("*")?,
                Part::Any => f.write_str("**")?,
                Part::Segment(text) => write_segment(f, text)?,
            }
        }
        Ok(())
    }
}

/// The `pchar` of <https://www.rfc-editor.org/rfc/rfc3986#section-3.3> without `*`; everything else is escaped.
fn write_segment(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&byte) {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
