//! A result in one line, and what it leaves out.

use crate::results::escape;
use crate::results::model::{Change, LeftOut, MarkKind};

/// Returns the word of a mark, as `--accept` takes it.
pub fn marked(mark: MarkKind) -> &'static str {
    match mark {
        MarkKind::Runs => "runs",
        MarkKind::Steers => "steers",
        MarkKind::Odd => "odd",
    }
}

/// Says how many files changed, by how many lines, and which need a word.
pub fn summary(files: &[&Change]) -> String {
    let noun = if files.len() == 1 { "file" } else { "files" };
    let mut text = format!("{} {noun} changed", grouped(files.len() as u64));
    let sum = |of: fn(&Change) -> Option<u64>| {
        let known: Vec<_> = files.iter().filter_map(|file| of(file)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<u64>())
    };
    if let (Some(added), Some(removed)) = (sum(|file| file.added), sum(|file| file.removed)) {
        text.push_str(&format!(", +{} -{}", grouped(added), grouped(removed)));
    }
    let kinds = [
        (MarkKind::Runs, "would run on this machine by itself"),
        (MarkKind::Steers, "would steer an agent on this machine"),
        (MarkKind::Odd, "to look at closely"),
    ];
    for (kind, words) in kinds {
        let mut marked = files.iter().filter(|file| file.marks.iter().any(|mark| mark.mark == kind));
        let Some(first) = marked.next() else { continue };
        let (name, more) = (escape::name(first.path.as_bytes()), marked.count());
        let others = if more == 0 { "" } else { ", …" };
        text.push_str(&format!("; {} {words} ({name}{others})", more + 1));
    }
    text
}

/// Writes a number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Says what is not part of a result, one line each.
pub fn left_out(left_out: &LeftOut, files: &[Change]) -> Vec<String> {
    let mut lines = Vec::new();
    let refused = left_out.refused.iter().map(|path| ("has a name that is not taken along", path));
    let worktrees = left_out.worktrees.iter().map(|path| ("is a work tree of the agent's own", path));
    for (why, path) in refused.chain(worktrees) {
        lines.push(format!("{}: it {why}", escape::name(path.as_bytes())));
    }
    let withheld = files.iter().filter(|file| file.withheld);
    lines.extend(withheld.map(|file| {
        format!(
            "{}: the copy leaves it out, so it is taken only when it is named",
            escape::name(file.path.as_bytes())
        )
    }));
    if left_out.ignored.files > 0 {
        lines.push(format!(
            "{} files that git ignores ({} bytes)",
            left_out.ignored.files, left_out.ignored.bytes
        ));
    }
    if left_out.special > 0 {
        lines.push(format!("{} devices, sockets and FIFOs", left_out.special));
    }
    lines
}
