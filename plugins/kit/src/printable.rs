//! Words of programs in messages: readable, and unable to drive a terminal.

/// Returns the text with what a terminal or a reader would take for something else escaped. Quotes stay as they are.
pub fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\'' | '"' | '\\' => c.to_string(),
        other => other.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stay_and_controls_do_not() {
        let check = |text: &str, expected: &str| assert_eq!(printable(text), expected);
        check("bwrap: Can't mount proc on \"/newroot\"", "bwrap: Can't mount proc on \"/newroot\"");
        check("\u{1b}[2J\r\u{202e}x", "\\u{1b}[2J\\r\\u{202e}x");
    }
}
