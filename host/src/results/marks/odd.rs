//! What is not what it looks like, or takes something along; and install scripts, which only the contents show.

use std::collections::HashMap;
use std::path::{Component, Path};

use claude_bottle_plugin_api::EntryKind;
use serde_json::Value;

use super::{add, table};
use crate::results::escape;
use crate::results::model::{Change, MarkKind};

/// The scripts that a package manager runs by itself.
const INSTALL: [&str; 5] = ["preinstall", "install", "postinstall", "prepublish", "prepare"];

/// Adds what a change's name, link target and mode say.
pub(super) fn by_kind(file: &mut Change) {
    let mut whys = Vec::new();
    if file.path.as_path().to_string_lossy().chars().any(|c| escape::is_hidden(c) || c == '\n' || c == '\t') {
        whys.push("its name has characters that cannot be seen");
    }
    if let Some(new) = &file.new {
        let old = file.old.as_ref().filter(|old| old.kind == EntryKind::File);
        if new.kind == EntryKind::File && new.executable && old.is_some_and(|old| !old.executable) {
            whys.push("it becomes executable");
        }
        if let Some(target) = new.target.as_ref().map(|target| target.as_path()) {
            if leaves(file.path.as_path(), target) {
                whys.push("it is a link that leads out of the directory");
            }
            if table::folded(target).iter().any(|name| name == ".git") {
                whys.push("it is a link into a repository's own files");
            }
        }
    }
    whys.into_iter().for_each(|why| add(&mut file.marks, MarkKind::Odd, why));
}

/// Returns `true` if a link's target is absolute or goes above the top directory.
fn leaves(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

/// Returns `true` if lines that were added have more characters that cannot be seen than those that were removed.
pub(in crate::results) fn invisible<'a>(
    added: impl Iterator<Item = &'a [u8]>,
    removed: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let mut counts: HashMap<char, i64> = HashMap::new();
    let mut count = |line: &[u8], step: i64| {
        // An escape sequence is nearly always ASCII: the common case is decided by bytes.
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            return;
        }
        for c in line.utf8_chunks().flat_map(|chunk| chunk.valid().chars()).filter(|c| escape::is_hidden(*c))
        {
            *counts.entry(c).or_default() += step;
        }
    };
    added.for_each(|line| count(line, 1));
    removed.for_each(|line| count(line, -1));
    counts.values().any(|count| *count > 0)
}

/// Returns why a `package.json` needs a word, if it does: an install script that was not there.
pub(in crate::results) fn scripts(old: Option<&[u8]>, new: &[u8]) -> Option<String> {
    let Some(wanted) = install_scripts(new) else {
        return Some("npm may run it: its install scripts cannot be read".to_owned());
    };
    let known = old.and_then(install_scripts).unwrap_or_default();
    let fresh: Vec<&str> =
        wanted.iter().filter(|script| !known.contains(script)).map(|(name, _)| *name).collect();
    let why = || format!("npm, pnpm or yarn run its {} at the next install", fresh.join(", "));
    (!fresh.is_empty()).then(why)
}

fn install_scripts(text: &[u8]) -> Option<Vec<(&'static str, Value)>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let document: Value = serde_json::from_slice(text).ok()?;
    let script = |name: &'static str| Some((name, document.get("scripts")?.get(name)?.clone()));
    Some(INSTALL.into_iter().filter_map(script).collect())
}
