//! Where a credential ends in a request, which the rules' source does not say: it reads files, where a quote, a blank or
//! the end of the line stands behind a value. In a request there is `&`, `/`, `,` and whatever else parts its fields.

/// The end of a value as most patterns of the source have it.
pub(super) const SOURCE_END: &str = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;

/// Behind a value that has a form of its own, any byte that is not a letter or digit ends it.
pub(super) const END: &str = "(?:[^0-9A-Za-z]|$)";

/// A value that only a word in front of it makes a credential may be the first part of something longer with a hyphen.
const NAMED_END: &str = "(?:[^0-9A-Za-z_-]|$)";

/// How patterns begin that know a value by the word in front of it alone.
const NAMED: &str = r"[\w.-]{0,50}?";

/// Beginnings and ends of single patterns, and what stands in their place.
pub(super) const ODD: &[(&str, &str)] = &[
    (r#"(?:^|[\\'"\x60\s>=:(,)])"#, "(?:^|[^0-9A-Za-z])"),
    (r#"(?:$|[\\'"\x60\s<),])"#, END),
    (r"(?:[^a-zA-Z0-9+/]|\z)", END),
    // Near the word alone, every commit id of a URL would be a token.
    ("|[a-fA-F0-9]{40})", ")"),
];

/// Returns the pattern as it is used on requests.
pub(super) fn for_requests(pattern: &str) -> String {
    let end = if is_named(pattern) { NAMED_END } else { END };
    let odd = ODD.iter().fold(pattern.to_owned(), |text, (source, here)| text.replace(source, here));
    odd.replace(SOURCE_END, end)
}

/// Returns `true` if the pattern knows its value by a word in front of it alone.
pub(super) fn is_named(pattern: &str) -> bool {
    pattern.trim_start_matches("(?i)").starts_with(NAMED)
}

#[cfg(test)]
#[path = "ends_tests.rs"]
mod tests;
