//! The user's word: for each kind of mark, for merges with conflict markers, and for writing at all.

use super::super::App;
use super::{Accept, Args};
use crate::error::{CliError, CliResult, Exit};
use crate::results::apply::three_way::MergedFile;
use crate::results::contents::Contents;
use crate::results::escape;
use crate::results::model::{Change, MarkKind};
use crate::results::render::{self, Style};
use crate::results::store::Saved;
use crate::ui::interrupt::Interrupt;

/// Asks for a word for each kind of mark.
pub(super) fn agree_to_marks(app: &App, args: &Args, saved: &Saved, written: &[&Change]) -> CliResult {
    let interrupt = Interrupt::install()?;
    let contents = Contents::new(&saved.dir);
    for kind in [MarkKind::Runs, MarkKind::Steers, MarkKind::Odd] {
        let has = |file: &&&Change| file.marks.iter().any(|mark| mark.mark == kind);
        let marked: Vec<_> = written.iter().filter(has).copied().collect();
        if marked.is_empty() || args.accept.iter().any(|accept| accept.mark() == Some(kind)) {
            continue;
        }
        if args.yes || !app.ui.interactive {
            return Err(unaccepted(kind, written, saved));
        }
        let style = Style { color: app.ui.data_color };
        let shown = render::text(&marked, &contents, style, &mut |piece| {
            app.ui.text(piece);
            true
        });
        shown.map_err(anyhow::Error::from)?;
        let question =
            format!("{}; take {}?", why(kind, marked.len()), if marked.len() == 1 { "it" } else { "them" });
        if !app.confirm(&question, "", &interrupt)? {
            return Err(unaccepted(kind, written, saved));
        }
    }
    Ok(())
}

/// Asks for a word for files that have conflict markers.
pub(super) fn agree_to_merges(app: &App, args: &Args, saved: &Saved, merged: &[MergedFile]) -> CliResult {
    let marked: Vec<_> = merged.iter().filter(|file| file.conflicts > 0).collect();
    if marked.is_empty() || args.accept.contains(&Accept::Conflicts) {
        return Ok(());
    }
    let name = |file: &&MergedFile| format!("  {}", escape::name(file.path.as_os_str().as_encoded_bytes()));
    let names = marked.iter().map(name).collect::<Vec<_>>().join("\n");
    let noun = if marked.len() == 1 { "1 file has" } else { &format!("{} files have", marked.len()) };
    let why = format!("{noun} conflict markers when merged");
    if !args.yes && app.ui.interactive {
        app.ui.say(&names);
        let interrupt = Interrupt::install()?;
        if app.confirm(&format!("{why}; write them with the markers?"), "", &interrupt)? {
            return Ok(());
        }
    }
    let mut error = CliError::new(Exit::Failed, format!("{why}; nothing was written"));
    error.details = Some(names);
    let run = &saved.result.run;
    Err(error
        .hint(format!("write them with the markers: claude-bottle apply {run} --3way --accept conflicts")))
}

/// Asks whether to go on at all.
pub(super) fn agree(app: &App, args: &Args, saved: &Saved, written: &[&Change], question: &str) -> CliResult {
    if args.yes {
        return Ok(());
    }
    let interrupt = Interrupt::install()?;
    if !written.is_empty() {
        app.ui.say(&render::summary(written));
    }
    let hint = format!("to write without a question: claude-bottle apply {} -y", saved.result.run);
    if app.confirm(question, &hint, &interrupt)? {
        return Ok(());
    }
    Err(CliError::new(Exit::Failed, "nothing was written"))
}

pub(super) fn count(files: usize) -> String {
    if files == 1 { "1 change".to_owned() } else { format!("{files} changes") }
}

pub(super) fn why(kind: MarkKind, files: usize) -> String {
    let (one, many) = match kind {
        MarkKind::Runs => ("would run on this machine by itself", "would run on this machine by themselves"),
        MarkKind::Steers => (
            "is read by agents on this machine as instructions",
            "are read by agents on this machine as instructions",
        ),
        MarkKind::Odd => (
            "is not what it looks like, or takes something along",
            "are not what they look like, or take something along",
        ),
    };
    format!("{} {}", count(files), if files == 1 { one } else { many })
}

/// Names what needs a word, and how to give it.
pub(super) fn unaccepted(kind: MarkKind, written: &[&Change], saved: &Saved) -> CliError {
    let has = |file: &&&Change| file.marks.iter().any(|mark| mark.mark == kind);
    let marked: Vec<_> = written.iter().filter(has).copied().collect();
    let lines: String = marked.iter().map(|file| render::heading(file, Style { color: false })).collect();
    let run = &saved.result.run;
    let mut error = CliError::new(Exit::Failed, format!("{}; nothing was written", why(kind, marked.len())));
    error.details = Some(lines.trim_end().to_owned());
    error
        .hint(format!("look: claude-bottle diff {run}"))
        .hint(format!("take them too: claude-bottle apply {run} --accept {}", render::marked(kind)))
        .hint(format!("take the others alone: claude-bottle apply {run} --unmarked"))
}
