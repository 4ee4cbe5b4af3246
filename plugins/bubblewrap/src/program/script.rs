//! Scripts: their interpreter, and the files that a shell script names.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use claude_bottle_plugin_api::Result;

use claude_bottle_kit::paths::PathExt;

/// A shell script that starts another program is short; no more is looked at.
const LARGEST: u64 = 64 << 10;

/// The first line of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interpreter {
    /// An absolute path.
    Path(PathBuf),
    /// A name that `env` looks up.
    Name(String),
}

/// Returns what the first line of a file names, if it is a script.
pub(super) fn interpreter(file: &Path) -> Result<Option<Interpreter>> {
    let mut head = Vec::new();
    // The kernel looks at 256 bytes.
    File::open(file).and_then(|file| file.take(256).read_to_end(&mut head)).at("read", file)?;
    Ok(first_line(&head))
}

fn first_line(head: &[u8]) -> Option<Interpreter> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let program = words.next()?;
    if !program.ends_with("/env") {
        return Some(Interpreter::Path(PathBuf::from(program)));
    }
    // `env -S NAME`, and variables in front of it.
    let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    Some(Interpreter::Name(name.to_owned()))
}

/// Returns `true` if an interpreter is a shell, whose scripts can be followed.
pub(super) fn is_shell(interpreter: &Path) -> bool {
    ["sh", "bash", "dash", "zsh", "ksh"].iter().any(|shell| interpreter.ends_with(shell))
}

/// Returns the files and directories of this machine that a shell script names. Words that begin with a variable are
/// tried from the script's own directory and from the home, which is what such variables usually are.
pub(super) fn references(script: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let mut text = String::new();
    let read = File::open(script).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let dir = script.parent().unwrap_or(script);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut found: Vec<PathBuf> = Vec::new();
    for word in lines.flat_map(words).filter(|word| word.contains('/')) {
        let paths = candidates(&word, dir, home);
        let there = paths.into_iter().map(|path| clean(&path)).find(|path| path.exists());
        found.extend(there.filter(|path| path != script));
    }
    found.sort();
    found.dedup();
    found
}

/// Splits a line as far as it matters here: quotes join, and lists of paths are taken apart.
fn words(line: &str) -> Vec<String> {
    let line = line.replace(['"', '\''], "").replace("$(dirname $0)", "$0").replace("$(dirname -- $0)", "$0");
    let ends =
        |c: char| c.is_whitespace() || matches!(c, ';' | '|' | '&' | '(' | ')' | '<' | '>' | '`' | ':' | '=');
    line.split(ends).map(str::to_owned).collect()
}

fn candidates(word: &str, dir: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    if word.starts_with('/') {
        return vec![PathBuf::from(word)];
    }
    let Some((first, rest)) = word.split_once('/') else { return Vec::new() };
    let home = home.map(|home| home.join(rest));
    match first {
        "~" | "$HOME" | "${HOME}" => home.into_iter().collect(),
        "." | ".." => vec![dir.join(word)],
        _ if first.starts_with('$') => [Some(dir.join(rest)), home].into_iter().flatten().collect(),
        _ => Vec::new(),
    }
}

/// Takes `..` out of a path by its text, as a shell does with what it was given.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(cleaned.pop()),
            Component::CurDir => {}
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_names_its_interpreter() {
        let check = |head: &str, expected: Option<Interpreter>| {
            assert_eq!(first_line(head.as_bytes()), expected, "{head}");
        };
        let path = |path: &str| Some(Interpreter::Path(path.into()));
        let name = |name: &str| Some(Interpreter::Name(name.into()));
        check("#!/h/venv/bin/python -E\nx", path("/h/venv/bin/python"));
        check("#! /usr/bin/env node\n", name("node"));
        check("#!/usr/bin/env -S A=1 node --flag\n", name("node"));
        check("\x7fELF", None);
        check("#!\n", None);
    }

    #[test]
    fn a_shell_script_names_files() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for name in ["bin", "global", "home", "home/.asdf"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        for name in ["bin/x", "global/cli.js", "home/.asdf/asdf.sh", "absolute"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let script = dir.join("bin/x");
        let text = format!(
            "#!/bin/sh\n# {0}/absent {0}/bin\nbasedir=$(dirname \"$0\")\n. ~/.asdf/asdf.sh\nNODE_PATH='{0}/global:/none'\n\
             exec node \"$basedir\"/'../global/cli.js' \"$@\"; exec \"{0}/absolute\"\n",
            dir.display()
        );
        std::fs::write(&script, text).unwrap();
        let expected =
            ["absolute", "global", "global/cli.js", "home/.asdf/asdf.sh"].map(|name| dir.join(name));
        assert_eq!(references(&script, Some(&dir.join("home"))), expected);
    }
}
