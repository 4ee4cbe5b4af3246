//! Shows changes: marked ones first with the reason, everything an agent wrote escaped.

pub mod patch;
mod summary;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io;

use claude_bottle_plugin_api::EntryKind;
use similar::ChangeTag;

use crate::results::contents::{Bytes, Contents};
use crate::results::escape;
use crate::results::marks;
use crate::results::model::{Change, ChangeKind, Side};
use crate::results::text::{self, Budget, Compared, Lines};

pub use summary::{grouped, left_out, marked, summary};

/// How many lines are shown before and behind a change.
const AROUND: usize = 3;

const BOLD: &str = "1";
const YELLOW: &str = "1;33";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// How text is shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether there is colour.
    pub color: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Returns changes with the marked ones first.
pub fn sorted<'r>(files: &[&'r Change]) -> Vec<&'r Change> {
    let (marked, other): (Vec<_>, Vec<_>) = files.iter().partition(|file| !file.marks.is_empty());
    marked.into_iter().chain(other).collect()
}

/// Shows the changes of text files line by line; hands out one piece a file, until `show` returns `false`.
///
/// # Errors
/// Fails if contents cannot be read.
pub fn text(
    files: &[&Change],
    contents: &Contents,
    style: Style,
    show: &mut dyn FnMut(&str) -> bool,
) -> io::Result<()> {
    let mut budget = Budget::default();
    for file in sorted(files) {
        let mut shown = heading(file, style);
        body(file, contents, style, &mut budget, &mut shown)?;
        if !show(&shown) {
            break;
        }
    }
    Ok(())
}

/// Returns what is said of a change itself: what happened, its name, its lines, its marks.
pub fn heading(file: &Change, style: Style) -> String {
    let mut shown = style.paint(BOLD, &format!("{}  {}", verb(file), escape::name(file.path.as_bytes())));
    if let Some(from) = &file.from {
        let alike = file.alike.map(|percent| format!(", {percent}% alike")).unwrap_or_default();
        let _ = write!(shown, "  (from {}{alike})", escape::name(from.as_bytes()));
    }
    if let Some(target) = file.new.as_ref().and_then(|new| new.target.as_ref()) {
        let _ = write!(shown, " -> {}", escape::name(target.as_bytes()));
    }
    let _ = writeln!(shown, "{}", tags(file));
    for mark in &file.marks {
        let line = format!("  {}: {}", marked(mark.mark), escape::line(mark.why.as_bytes(), false));
        let _ = writeln!(shown, "{}", style.paint(YELLOW, &line));
    }
    shown
}

/// Returns the numbers of a change and what else is to know of it.
fn tags(file: &Change) -> String {
    let mut tags = String::new();
    if let (Some(added), Some(removed)) = (file.added, file.removed) {
        let _ = write!(tags, "  +{added} -{removed}");
    }
    let is_builds = marks::builds(file.path.as_path());
    let said = [
        (file.binary, "binary"),
        (is_builds, "builds"),
        (file.withheld, "withheld: taken only when it is named"),
        (file.ignored_by_agent, "ignored by rules that the agent wrote"),
    ];
    for (_, tag) in said.iter().filter(|(is_said, _)| *is_said) {
        let _ = write!(tags, "  [{tag}]");
    }
    tags
}

fn verb(file: &Change) -> &'static str {
    match (file.change, &file.old, &file.new) {
        (ChangeKind::Added, ..) => "added",
        (ChangeKind::Deleted, ..) => "deleted",
        (ChangeKind::Modified, Some(old), Some(new)) if old.kind != new.kind => "retyped",
        (ChangeKind::Modified, ..) => "modified",
    }
}

fn body(
    file: &Change,
    contents: &Contents,
    style: Style,
    budget: &mut Budget,
    shown: &mut String,
) -> io::Result<()> {
    if let (Some(old), Some(new)) = (&file.old, &file.new)
        && old.kind == EntryKind::File
        && new.kind == EntryKind::File
        && old.executable != new.executable
    {
        let now = if new.executable { "executable" } else { "not executable" };
        let _ = writeln!(shown, "  is {now} now");
    }
    let is_file = |side: &Option<Side>| side.as_ref().is_some_and(|side| side.kind == EntryKind::File);
    let hash = |side: &Option<Side>| side.as_ref().and_then(|side| side.sha256.clone());
    if hash(&file.old) == hash(&file.new) || !is_file(&file.old) && !is_file(&file.new) {
        return Ok(());
    }
    let most = text::MOST_BYTES as u64;
    let old = contents.read(file.old.as_ref(), most)?;
    let new = contents.read(file.new.as_ref(), most)?;
    let (Bytes::Whole(old), Bytes::Whole(new)) = (&old, &new) else {
        let missing = old == Bytes::Missing;
        let why = if missing { "the old contents are not known" } else { "too large to show" };
        return sizes(file, &format!("rewritten: {why}"), shown);
    };
    match text::compare(old, new, budget) {
        Compared::Binary => sizes(file, "binary", shown),
        Compared::Rewritten => sizes(file, "rewritten: too large to compare line by line", shown),
        Compared::Lines(lines) => {
            hunks(&lines, style, shown);
            Ok(())
        }
    }
}

fn sizes(file: &Change, what: &str, shown: &mut String) -> io::Result<()> {
    let size = |side: &Option<Side>| side.as_ref().map_or(0, |side| side.size);
    let _ = writeln!(shown, "  {what}, {} -> {} bytes", size(&file.old), size(&file.new));
    Ok(())
}

fn hunks(lines: &Lines<'_>, style: Style, shown: &mut String) {
    for hunk in lines.hunks(AROUND) {
        let _ = writeln!(shown, "{}", style.paint(CYAN, &range_line(&hunk)));
        for change in hunk.iter().flat_map(|op| op.iter_changes(&lines.old, &lines.new)) {
            let (sign, code) = match change.tag() {
                ChangeTag::Equal => (' ', None),
                ChangeTag::Delete => ('-', Some(RED)),
                ChangeTag::Insert => ('+', Some(GREEN)),
            };
            let line: &[u8] = change.value();
            let (line, has_end) = match line.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (line, false),
            };
            let text = format!("{sign}{}", escape::line(line, style.color));
            let _ = writeln!(shown, "{}", code.map_or_else(|| text.clone(), |code| style.paint(code, &text)));
            if !has_end {
                shown.push_str("\\ No newline at end of file\n");
            }
        }
    }
}

/// Returns the line in front of a hunk, as in any patch.
pub(super) fn range_line(hunk: &[similar::DiffOp]) -> String {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return String::new() };
    let range = |start: usize, end: usize| {
        // Of an empty range, the line before it is named.
        let begin = if start == end { start } else { start + 1 };
        if end - start == 1 { begin.to_string() } else { format!("{begin},{}", end - start) }
    };
    let old = range(first.old_range().start, last.old_range().end);
    let new = range(first.new_range().start, last.new_range().end);
    format!("@@ -{old} +{new} @@")
}
