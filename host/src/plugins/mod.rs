//! Finding, judging and loading backend plug-ins.
//!
//! The way of a file: [`find`] names candidates in the search order, [`guard`] opens one and refuses what another
//! user could have written, [`preflight`] reads its ELF headers and its note, [`pin`] compares its hash, and only
//! then [`load`] maps it. [`registry`] puts these together. Up to and including the pin no code of the file runs;
//! the loaded library is never unmapped (`docs/decisions/0001-plugin-abi.md`).

mod elf;
mod error;
pub mod find;
pub mod guard;
pub mod load;
pub mod pin;
pub mod preflight;
pub mod registry;
pub mod scaffold;

use std::path::Path;

pub use error::PluginError;
pub use find::{Origin, SearchInputs, SearchPath};
pub use guard::Identity;
pub use load::Loaded;
pub use pin::Pins;
pub use registry::{Entry, Status};
pub use scaffold::scaffold;

/// Returns a path as a message may show it: a control character in a file's name never reaches a terminal raw.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// Returns a text with everything that is not printable escaped.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\\' | '\'' | '"' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(printable("a\x1b[31m\u{202e}ü'\"\\"), "a\\u{1b}[31m\\u{202e}ü'\"\\");
    }
}
