//! The terminal's name inside a bottle: programs draw by its description, which has to be there.

use std::path::Path;

/// The name that is used for a terminal which the bottle does not know: most are near enough to it, and every system has it.
const FALLBACK: &str = "xterm-256color";

/// Where descriptions are. <https://invisible-island.net/ncurses/man/terminfo.5.html>
const DIRECTORIES: [&str; 3] = ["/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo"];

/// Returns the name, or another when there is no description of it below a bottle's root.
pub fn known<'n>(name: &'n str, root: &Path) -> &'n str {
    let is_plain = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
    let first: String = name.chars().take(1).collect();
    let is_in =
        |directory: &&str| root.join(directory.trim_start_matches('/')).join(&first).join(name).exists();
    if is_plain && DIRECTORIES.iter().any(is_in) { name } else { FALLBACK }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        assert_eq!(known(name, Path::new("/")), expected);
    }

    #[test]
    fn a_terminal_without_a_description_gets_another_name() {
        for known in ["xterm-256color", "xterm", "linux", "vt100", "screen-256color"] {
            check(known, known);
        }
        for unknown in
            ["xterm-ghostty", "xterm-kitty-of-tomorrow", "", ".", "..", "../x/xterm", "x/xterm", "é"]
        {
            check(unknown, FALLBACK);
        }
        assert_eq!(known("xterm", Path::new("/nowhere")), FALLBACK);
    }
}
