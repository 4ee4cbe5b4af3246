//! Manifest files on disk: found, read within limits, and turned into text. What they mean is not known here.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::check::{open_regular, reason};
use super::mask;
use super::problem::{Problem, ProblemKind, Problems};
use super::source::{FileName, Source, Span};

/// The names a manifest can have; a directory has one of them at most.
pub const FILE_NAMES: &[&str] = &["claude-bottle.yaml", "claude-bottle.yml", "claude-bottle.json"];
/// Largest manifest that is read.
pub const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// A file as it was read: trust is about these bytes.
pub(crate) struct Found {
    pub(crate) content: Vec<u8>,
    pub(crate) source: Source,
}

/// Reads the manifest of a directory, if it has one and nothing is wrong with it as a file.
pub(crate) fn read(directory: &Path, prefix: &str, problems: &mut Problems) -> Option<Found> {
    let present: Vec<&str> = FILE_NAMES
        .iter()
        .copied()
        .filter(|name| fs::symlink_metadata(directory.join(name)).is_ok())
        .collect();
    let file = |name: &str| FileName { path: directory.join(name), shown: format!("{prefix}{name}") };
    let name = match present[..] {
        [] => return None,
        [name] => file(name),
        [first, second, ..] => {
            let message =
                format!("`{prefix}{second}` is in the same directory, and a directory has one manifest");
            let problem = Problem::in_file(ProblemKind::TwoFiles, &file(first), message);
            problems.push(problem.note("keep the one you mean and remove or rename the other"));
            return None;
        }
    };
    accept(content(&name).and_then(|content| found(name, content)), problems)
}

/// Takes content that is not on disk, or not yet, as the manifest at a path.
pub(crate) fn stand_in(path: &Path, prefix: &str, content: &[u8], problems: &mut Problems) -> Option<Found> {
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = FileName { path: path.to_owned(), shown: format!("{prefix}{file_name}") };
    let checked =
        if content.len() as u64 > MAX_FILE_SIZE { Err(too_large(&name)) } else { Ok(content.to_vec()) };
    accept(checked.and_then(|content| found(name, content)), problems)
}

fn accept(found: Result<Found, Box<Problem>>, problems: &mut Problems) -> Option<Found> {
    found.map_err(|problem| problems.push(*problem)).ok()
}

fn found(name: FileName, content: Vec<u8>) -> Result<Found, Box<Problem>> {
    let text = text(&name, &content)?;
    Ok(Found { content, source: Source::new(name, text) })
}

fn too_large(name: &FileName) -> Box<Problem> {
    let message = format!("the manifest is larger than {} KiB", MAX_FILE_SIZE / 1024);
    Box::new(Problem::in_file(ProblemKind::FileTooLarge, name, message))
}

/// Returns a path without symbolic links.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    // The file was read a moment ago; should it be gone, its plain path is as good, since trust will not know it.
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn content(name: &FileName) -> Result<Vec<u8>, Box<Problem>> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the manifest cannot be read: {}", reason(&error));
        Box::new(Problem::in_file(ProblemKind::ReadFile, name, message))
    };
    let (file, size) = open_regular(&name.path).map_err(unreadable)?;
    if size > MAX_FILE_SIZE {
        return Err(too_large(name));
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_FILE_SIZE { Err(too_large(name)) } else { Ok(content) }
}

fn text(name: &FileName, content: &[u8]) -> Result<String, Box<Problem>> {
    let text = match std::str::from_utf8(content) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = content[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("the manifest is not UTF-8 text, line {line} is the first that is not");
            let problem = Problem::in_file(ProblemKind::NotUtf8, name, message);
            let is_utf16 = content.starts_with(&[0xff, 0xfe]) || content.starts_with(&[0xfe, 0xff]);
            let note = if is_utf16 { "it looks like UTF-16; save it as UTF-8" } else { "save it as UTF-8" };
            return Err(Box::new(problem.note(note)));
        }
    };
    if let Some(line) = text.lines().position(|line| line.contains('\0')) {
        let before = text.lines().nth(line).and_then(|line| line.split('\0').next()).unwrap_or_default();
        let span = Span::of_width(line + 1, before.chars().count() + 1, 1);
        let mut source = Source::new(name.clone(), text.to_owned());
        source.set_masks(mask::by_lines(&source));
        let message = "the manifest holds a NUL character";
        let problem = Problem::at(ProblemKind::NulCharacter, &source, span, message);
        return Err(Box::new(problem.illustrated(&source)));
    }
    Ok(text.to_owned())
}
