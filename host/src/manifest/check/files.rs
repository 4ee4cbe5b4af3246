//! Files and directories that a manifest names: found, and readable, before anything is asked or made.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Checker;
use crate::manifest::node::Node;
use crate::manifest::problem::{Problem, ProblemKind};
use crate::manifest::suggest::{listed, nearest};

/// Largest prompt that is read.
const MAX_PROMPT: u64 = 1024 * 1024;

/// Returns the absolute path for what the manifest says: `~/` is the home directory, the rest begins at the manifest.
pub(super) fn expand(checker: &mut Checker<'_>, node: &Node, text: &str) -> Option<PathBuf> {
    if let Some(rest) = text.strip_prefix("~/") {
        return Some(checker.home.join(rest));
    }
    if text.starts_with('~') {
        let message = format!("`{text}`: only `~/` is understood, as the home directory");
        checker.report(ProblemKind::MissingFile, node.span, message);
        return None;
    }
    Some(checker.directory.join(text))
}

/// Reports why a named file cannot be used.
pub(super) fn missing(checker: &mut Checker<'_>, node: &Node, what: &str, text: &str, error: &io::Error) {
    let message = format!("{what} `{text}` cannot be read: {}", reason(error));
    checker.report(ProblemKind::MissingFile, node.span, message);
}

/// Returns the system's words without the number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Opens a regular file. Nothing else is opened, since a FIFO would wait and a device would act.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok((File::open(path)?, metadata.len()))
}

/// Returns the private key's path.
pub(super) fn identity(checker: &mut Checker<'_>, node: &Node, text: &str) -> Option<PathBuf> {
    let path = expand(checker, node, text)?;
    if let Err(error) = open_regular(&path) {
        missing(checker, node, "IdentityFile", text, &error);
        return None;
    }
    if path.extension().is_some_and(|extension| extension == "pub") {
        let message = format!("IdentityFile `{text}` is a public key by its name");
        checker.report_with(ProblemKind::BadValue, node.span, message, "name the private key next to it");
        return None;
    }
    Some(path)
}

/// Returns the prompt and the path of its file.
pub(super) fn prompt(checker: &mut Checker<'_>, node: &Node, text: &str) -> Option<(String, PathBuf)> {
    let path = expand(checker, node, text)?;
    if checker.confined && !lies_within(&path, checker.directory) {
        let message = format!("prompt_file `{text}` lies outside the project's directory");
        let problem = Problem::at(ProblemKind::OutsideProject, checker.source, node.span, message)
            .note("an agent of a manifest that is not trusted reads prompts from its own directory only")
            .hint("run `claude-bottle trust` once you have read the project's manifest");
        checker.problems.push(problem);
        return None;
    }
    match read_text(&path) {
        Ok(prompt) => Some((prompt, path)),
        Err(error) => {
            missing(checker, node, "prompt_file", text, &error);
            None
        }
    }
}

/// Tells whether what a path leads to lies in a directory. What does not exist is left for the reading to refuse.
fn lies_within(path: &Path, directory: &Path) -> bool {
    match (fs::canonicalize(path), fs::canonicalize(directory)) {
        (Ok(path), Ok(directory)) => path.starts_with(directory),
        (Err(error), Ok(_)) => error.kind() == io::ErrorKind::NotFound && path.starts_with(directory),
        _ => false,
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let (file, size) = open_regular(path)?;
    if size > MAX_PROMPT {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_PROMPT).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))?;
    if text.contains('\0') {
        return Err(io::Error::other("it holds a NUL character"));
    }
    Ok(text)
}

/// Returns a skill's directory.
pub(super) fn skill(checker: &mut Checker<'_>, node: &Node, name: &str) -> Option<PathBuf> {
    let skills = checker.home.join(".claude").join("skills");
    let directory = skills.join(name);
    if directory.is_dir() {
        return Some(directory);
    }
    if checker.problems.is_full() {
        return None;
    }
    let installed = installed_skills(&skills);
    let names = || installed.iter().map(String::as_str);
    let what = if directory.exists() { "is not a directory" } else { "is not installed" };
    let message = format!("the skill `{name}` {what}");
    let problem = Problem::at(ProblemKind::MissingSkill, checker.source, node.span, message)
        .did_you_mean(nearest(name, names()))
        .note(format!("skills are directories in ~/.claude/skills; there: {}", listed(names())));
    checker.problems.push(problem);
    None
}

fn installed_skills(directory: &Path) -> Vec<String> {
    // The list is a courtesy: a directory that cannot be read has nothing to offer.
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let directories = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
