//! Which added files were renamed from one that is gone: with the same contents, or with most of them. For show only: what is
//! applied is one file more and one less.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;

use claude_bottle_plugin_api::{EntryKind, EntryPath};

use crate::results::contents::{Bytes, Contents};
use crate::results::model::{Change, ChangeKind, Side};
use crate::results::text;

/// How many pairs are compared. With more, only files of one name are, as git does.
const MOST_PAIRS: usize = 200;
/// How much of the larger file has to be in the other for a rename, in percent.
const LEAST: u64 = 50;

/// Names what was renamed without a change: an added file with the contents of one that is gone.
pub fn find_same(changes: &mut [Change]) {
    let content = |side: &Option<Side>| file(side.as_ref()).and_then(|side| side.sha256.clone());
    let mut gone: HashMap<String, Vec<EntryPath>> = HashMap::new();
    for change in changes.iter().filter(|change| change.change == ChangeKind::Deleted) {
        if let Some(sha256) = content(&change.old) {
            gone.entry(sha256).or_default().push(change.path.clone());
        }
    }
    for change in changes.iter_mut().filter(|change| change.change == ChangeKind::Added) {
        let Some(from) = content(&change.new).and_then(|sha256| gone.get_mut(&sha256)) else { continue };
        let same_name = |path: &EntryPath| path.as_path().file_name() == change.path.as_path().file_name();
        let at = from.iter().position(same_name).or_else(|| (!from.is_empty()).then_some(0));
        change.from = at.map(|at| from.remove(at));
    }
}

/// Names what was renamed and changed, of what [`find_same`] has left.
///
/// # Errors
/// Fails if contents cannot be read.
pub fn find_alike(changes: &mut [Change], contents: &Contents) -> io::Result<()> {
    let mut found = Vec::new();
    for (gone, added) in pairs(changes) {
        let sides = (changes[gone].old.as_ref(), changes[added].new.as_ref());
        if let Some(percent) = alike(sides, contents)?.filter(|percent| *percent >= LEAST) {
            found.push((Reverse(percent), added, gone));
        }
    }
    found.sort_unstable();
    let (mut taken, mut named) = (HashSet::new(), HashSet::new());
    for (Reverse(percent), added, gone) in found {
        if !taken.contains(&gone) && named.insert(added) {
            taken.insert(gone);
            changes[added].from = Some(changes[gone].path.clone());
            changes[added].alike = u8::try_from(percent).ok();
        }
    }
    Ok(())
}

/// Returns a file with something in it.
fn file(side: Option<&Side>) -> Option<&Side> {
    side.filter(|side| side.kind == EntryKind::File && side.size > 0)
}

/// Returns the pairs of a file that is gone and one that was added that are looked at.
fn pairs(changes: &[Change]) -> Vec<(usize, usize)> {
    let renamed: HashSet<&EntryPath> = changes.iter().filter_map(|change| change.from.as_ref()).collect();
    let of = |kind: ChangeKind, is_open: &dyn Fn(&Change) -> bool| -> Vec<usize> {
        let fits = |change: &Change| change.change == kind && is_open(change);
        (0..changes.len()).filter(|at| fits(&changes[*at])).collect()
    };
    let gone = of(ChangeKind::Deleted, &|change| {
        change.base_kept && file(change.old.as_ref()).is_some() && !renamed.contains(&change.path)
    });
    let added = of(ChangeKind::Added, &|change| change.from.is_none() && file(change.new.as_ref()).is_some());
    if gone.len().saturating_mul(added.len()) <= MOST_PAIRS {
        return gone.iter().flat_map(|gone| added.iter().map(|added| (*gone, *added))).collect();
    }
    let name = |at: usize| changes[at].path.as_path().file_name();
    let mut by_name: HashMap<Option<&OsStr>, Vec<usize>> = HashMap::new();
    gone.iter().for_each(|gone| by_name.entry(name(*gone)).or_default().push(*gone));
    let same_name =
        |added: usize| by_name.get(&name(added)).into_iter().flatten().map(move |gone| (*gone, added));
    added.into_iter().flat_map(same_name).take(MOST_PAIRS).collect()
}

/// Returns how much of the larger of two texts is in both, in percent; `None` for what is not text or too large.
fn alike((old, new): (Option<&Side>, Option<&Side>), contents: &Contents) -> io::Result<Option<u64>> {
    let size = |side: Option<&Side>| side.map_or(0, |side| side.size);
    let (less, more) = (size(old).min(size(new)), size(old).max(size(new)));
    if more > text::MOST_BYTES as u64 || less * 100 < more * LEAST {
        return Ok(None);
    }
    let most = text::MOST_BYTES as u64;
    let (Bytes::Whole(old), Bytes::Whole(new)) = (contents.read(old, most)?, contents.read(new, most)?)
    else {
        return Ok(None);
    };
    if text::is_binary(&old) || text::is_binary(&new) {
        return Ok(None);
    }
    let mut lines: HashMap<&[u8], usize> = HashMap::new();
    text::lines(&old).into_iter().for_each(|line| *lines.entry(line).or_default() += 1);
    let mut common = 0;
    for line in text::lines(&new) {
        if let Some(left) = lines.get_mut(line).filter(|left| **left > 0) {
            *left -= 1;
            common += line.len() as u64;
        }
    }
    Ok(Some(common * 100 / more.max(1)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::results::hash::{self, hex};
    use crate::results::made::Made;

    fn change(path: &str, old: Option<&str>, new: Option<&str>) -> Change {
        let side = |text: &str| {
            let (size, sha256) = hash::of(text.as_bytes()).unwrap();
            Side { kind: EntryKind::File, executable: false, size, sha256: Some(hex(sha256)), target: None }
        };
        Change::new(path, old.map(side), new.map(side))
    }

    #[test]
    fn a_file_that_moved_without_a_change_is_said_to_be_renamed() {
        let mut changes = vec![
            change("a/x", Some("one"), None),
            change("b/y", Some("one"), None),
            change("c/y", None, Some("one")),
            change("d/z", None, Some("one")),
            change("e/w", None, Some("one")),
            change("none", None, Some("")),
            change("gone", Some(""), None),
        ];
        find_same(&mut changes);
        let from: Vec<_> =
            changes.iter().map(|change| change.from.as_ref().map(EntryPath::as_path)).collect();
        let (same_name, other) = (Some(Path::new("b/y")), Some(Path::new("a/x")));
        assert_eq!(from, [None, None, same_name, other, None, None, None]);
    }

    /// Returns each added file with what it was renamed from, and how much of that it has.
    fn renamed(made: &Made) -> Vec<(String, String, Option<u8>)> {
        let saved = made.save();
        let mut files = saved.result.files.clone();
        find_same(&mut files);
        find_alike(&mut files, &Contents::new(&saved.dir)).unwrap();
        let text = |path: &EntryPath| path.as_path().display().to_string();
        let from = |file: &Change| Some((text(&file.path), text(file.from.as_ref()?), file.alike));
        files.iter().filter_map(from).collect()
    }

    #[test]
    fn a_file_that_moved_and_changed_is_said_to_be_renamed_from_the_one_it_has_most_of() {
        let lines = |range: std::ops::Range<u32>| range.map(|n| format!("line {n:04}\n")).collect::<String>();
        let made = Made::new();
        made.before("old.rs", lines(0..100)).gone("old.rs").after("new.rs", lines(10..100));
        made.before("near.rs", lines(10..95)).gone("near.rs").after("far.rs", lines(500..600));
        made.before("bin", [0, 1, 2, 3]).gone("bin").after("bin2", [0, 1, 2, 4]);
        let expected = ("new.rs".to_owned(), "near.rs".to_owned(), Some(94));
        assert_eq!(renamed(&made), [expected]);
    }

    #[test]
    fn of_many_files_those_of_one_name_are_compared() {
        let made = Made::new();
        for n in 0..30 {
            let lines = |more: &str| format!("a{n}\nb{n}\nc{n}\nd{n}\n{more}");
            made.before(format!("old/{n}"), lines("")).after(format!("new/{n}"), lines("e\n"));
            made.gone(&format!("old/{n}"));
        }
        let renamed = renamed(&made);
        assert_eq!(renamed.len(), 30, "{renamed:?}");
        assert!(renamed.iter().all(|(new, old, _)| new.replace("new", "old") == *old), "{renamed:?}");
    }
}
