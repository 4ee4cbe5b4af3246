//! What is said of each change when a result is saved: its lines, whether it is text, and its marks.

use std::io;

use claude_bottle_egress_policy::GuardSecrets;
use claude_bottle_plugin_api::EntryKind;

use crate::results::contents::{Bytes, Contents};
use crate::results::marks::{self, Before};
use crate::results::model::{Change, MarkKind};
use crate::results::secrets::{self, Found, Search};
use crate::results::text::{self, Budget, Compared};

/// The mark of what could not be searched because the process that had the values is gone.
const UNCHECKED: &str = "unchecked: it was not searched for the bottle's secrets, whose values are gone";
/// The mark of what is too large.
const UNSEARCHED: &str = "unchecked: it is too large to be searched for secrets";

/// Fills in lines and marks of every change.
///
/// `contents` has the new contents and, as far as they are known, the old ones. `secrets` are the values of the bottle's
/// secrets; without them every new file is marked as unchecked.
///
/// # Errors
/// Fails if contents cannot be read, or if the rules for credentials cannot be used.
pub fn inspect(
    files: &mut [Change],
    contents: &Contents,
    before: &Before,
    secrets: Option<&GuardSecrets>,
) -> io::Result<()> {
    marks::by_path(files, before);
    let search = Search::new(secrets).map_err(io::Error::other)?;
    let mut inspection = Inspection { contents, search, budget: Budget::default() };
    for file in files {
        if secrets.is_none() && file.new.is_some() {
            marks::add(&mut file.marks, MarkKind::Odd, UNCHECKED);
        }
        inspection.change(file)?;
    }
    Ok(())
}

struct Inspection<'a> {
    contents: &'a Contents,
    search: Search,
    budget: Budget,
}

impl Inspection<'_> {
    fn change(&mut self, file: &mut Change) -> io::Result<()> {
        if file.new.is_some() {
            self.note(file, "its name has", |search, file| search.word(file.path.as_bytes()));
        }
        if let Some(target) = file.new.as_ref().and_then(|new| new.target.clone()) {
            self.note(file, "its target has", |search, _| search.word(target.as_bytes()));
        }
        if file.old.as_ref().and_then(|old| old.sha256.as_ref())
            == file.new.as_ref().and_then(|new| new.sha256.as_ref())
        {
            return Ok(());
        }
        let is_file = |side: &Option<_>| {
            side.as_ref().is_some_and(|side: &crate::results::model::Side| side.kind == EntryKind::File)
        };
        if !is_file(&file.old) && !is_file(&file.new) {
            return Ok(());
        }
        self.text(file)
    }

    fn text(&mut self, file: &mut Change) -> io::Result<()> {
        let old = self.contents.read(file.old.as_ref(), secrets::MOST_BYTES)?;
        let new = match self.contents.read(file.new.as_ref(), secrets::MOST_BYTES)? {
            Bytes::Whole(new) => new,
            Bytes::TooLarge | Bytes::Missing => {
                marks::add(&mut file.marks, MarkKind::Odd, UNSEARCHED);
                return Ok(());
            }
        };
        let known = if let Bytes::Whole(old) = &old { Some(old.as_slice()) } else { None };
        match text::compare(known.unwrap_or_default(), &new, &mut self.budget) {
            Compared::Binary => {
                file.binary = true;
                self.note(file, "it has", |search, _| search.binary(&new));
            }
            Compared::Lines(lines) if known.is_some() => {
                let (added, removed) = lines.count();
                (file.added, file.removed) = (Some(added), Some(removed));
                self.lines(file, lines.added(), lines.removed());
            }
            Compared::Lines(_) | Compared::Rewritten => {
                let numbered = text::lines(&new).into_iter().enumerate().map(|(at, line)| (at + 1, line));
                let removed = text::lines(known.unwrap_or_default());
                self.lines(file, numbered, removed.into_iter());
            }
        }
        if file.path.as_path().file_name().is_some_and(|name| name.eq_ignore_ascii_case("package.json"))
            && file.new.is_some()
            && let Some(why) = marks::scripts(known.filter(|old| !old.is_empty()), &new)
        {
            marks::add(&mut file.marks, MarkKind::Runs, &why);
        }
        Ok(())
    }

    fn lines<'t>(
        &mut self,
        file: &mut Change,
        added: impl Iterator<Item = (usize, &'t [u8])> + Clone,
        removed: impl Iterator<Item = &'t [u8]>,
    ) {
        if marks::invisible(added.clone().map(|(_, line)| line), removed) {
            marks::add(&mut file.marks, MarkKind::Odd, "it gains characters that cannot be seen");
        }
        self.note(file, "it has", |search, _| search.lines(added));
    }

    fn note(
        &mut self,
        file: &mut Change,
        place: &str,
        look: impl FnOnce(&mut Search, &Change) -> Option<Found>,
    ) {
        if let Some(found) = look(&mut self.search, file) {
            let line = found.line.map(|line| format!(", line {line}")).unwrap_or_default();
            marks::add(&mut file.marks, MarkKind::Odd, &format!("credential: {place} {}{line}", found.what));
        }
    }
}
