//! Whether a stored result is what was saved: every byte of it, nothing missing, nothing added.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::results::commits;
use crate::results::hash::{self, hex};
use crate::results::model::{Change, SavedResult};
use crate::results::store::{BASE, DOCUMENT, FILES, JOURNAL, REPLACED, SEALED, Saved};

/// What else may be in the directory of a result: the journal of `apply`, and what it writes while it works.
const OTHERS: [&str; 2] = [DOCUMENT, JOURNAL];

/// Compares a result with its document, and returns what is wrong, a line each.
///
/// # Errors
/// Fails if its directory cannot be read.
pub fn verify(saved: &Saved) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    // Byte by byte: a key that is misspelt would be read as one that is not there.
    let is_whole = fs::read(saved.dir.join(DOCUMENT)).is_ok_and(|text| is_same(&text, &saved.result));
    if !is_whole || hash::of_document(&saved.result)? != saved.result.digest {
        wrong.push(format!("{DOCUMENT} is not what was saved"));
    }
    let files = &saved.result.files;
    let new: BTreeMap<_, _> = files.iter().filter_map(|change| content(change, false)).collect();
    let old: BTreeMap<_, _> = files.iter().filter_map(|change| content(change, true)).collect();
    let kept: BTreeSet<_> = files
        .iter()
        .filter(|change| change.base_kept)
        .filter_map(|change| content(change, true).map(|(name, _)| name))
        .collect();
    let sealed: BTreeMap<_, _> =
        saved.result.sealed.iter().map(|sealed| (sealed.name.clone(), sealed.sha256.clone())).collect();
    check(&saved.dir, FILES, &new, |_| true, &mut wrong)?;
    // `apply` keeps old contents too; they are what their names say.
    check(&saved.dir, BASE, &old, |name| kept.contains(name), &mut wrong)?;
    check(&saved.dir, SEALED, &sealed, |_| true, &mut wrong)?;
    check(&saved.dir, REPLACED, &names(&saved.dir.join(REPLACED))?, |_| true, &mut wrong)?;
    if let Some(commits) = &saved.result.commits {
        let found = File::open(saved.dir.join(commits::FILE)).and_then(hash::of);
        if !found.is_ok_and(|(_, sha256)| hex(sha256) == commits.sha256) {
            wrong.push(format!("{} is not what was saved", commits::FILE));
        }
    }
    for entry in fs::read_dir(&saved.dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let may_be = [FILES, BASE, REPLACED, SEALED].contains(&name.as_str())
            || OTHERS.contains(&name.as_str())
            || (name == commits::FILE && saved.result.commits.is_some());
        if !may_be && !is_journal_elsewhere(&name) {
            wrong.push(format!("{} was added", name.escape_default()));
        }
    }
    Ok(wrong)
}

/// Returns what is in a directory whose files are named by their hashes alone.
fn names(dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(|entry| name(entry).map(|name| (name.clone(), name))).collect()
}

/// Returns `true` for the journal of a directory that is not the result's own.
fn is_journal_elsewhere(name: &str) -> bool {
    let digits = name.strip_prefix("applied-").and_then(|rest| rest.strip_suffix(".json"));
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns `true` if a text is the document of a result.
fn is_same(text: &[u8], result: &SavedResult) -> bool {
    serde_json::to_vec(result).is_ok_and(|written| written == text)
}

/// Returns the name and hash of one side's contents.
fn content(change: &Change, is_old: bool) -> Option<(String, String)> {
    let side = if is_old { change.old.as_ref() } else { change.new.as_ref() };
    side?.sha256.clone().map(|sha256| (sha256.clone(), sha256))
}

/// Compares a directory with the names and hashes that may be in it.
fn check(
    dir: &Path,
    place: &str,
    known: &BTreeMap<String, String>,
    must_be_there: impl Fn(&String) -> bool,
    wrong: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut found = BTreeSet::new();
    let entries = match fs::read_dir(dir.join(place)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let shown = format!("{place}/{}", name.escape_default());
        match known.get(&name) {
            None => wrong.push(format!("{shown} was added")),
            Some(_) if !entry.file_type()?.is_file() => wrong.push(format!("{shown} is not a file")),
            Some(sha256) if hex(hash::of(File::open(entry.path())?)?.1) != *sha256 => {
                wrong.push(format!("{shown} is not what was saved"));
            }
            Some(_) => {}
        }
        found.insert(name);
    }
    let missing = known.keys().filter(|name| must_be_there(name) && !found.contains(*name));
    wrong.extend(missing.map(|name| format!("{place}/{name} is missing")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::EntryKind;

    use super::*;
    use crate::results::draft::{Draft, Want};
    use crate::results::model::{ResultState, Side};
    use crate::results::store::{Store, tests::put};

    fn side(text: &[u8]) -> Side {
        let (size, sha256) = hash::of(text).unwrap();
        Side { kind: EntryKind::File, executable: false, size, sha256: Some(hex(sha256)), target: None }
    }

    /// Saves a result with one changed file and a sealed archive.
    fn saved(store: &Store) -> Saved {
        let mut result = put(store, "dev-1", 1, ResultState::New, 0);
        let mut draft = Draft::begin(store, "dev-1", 1 << 20).unwrap();
        let taken = draft.take(&mut &b"new"[..], 3, Want::Contents).unwrap();
        draft.keep(taken).unwrap();
        let old = store.dir("dev-1").with_file_name("host");
        fs::write(&old, "old").unwrap();
        let sha256 = hash::of(&b"old"[..]).unwrap().1;
        assert!(draft.keep_base(File::open(&old).unwrap(), &sha256, 3).unwrap());
        fs::remove_file(old).unwrap();
        let mut git = draft.seal("git.tar").unwrap();
        git.file(Path::new(".git/HEAD"), false, 1, &b"x"[..]).unwrap();
        result.sealed.extend(draft.sealed("git.tar", git).unwrap());
        let change = Change::new("a", Some(side(b"old")), Some(side(b"new")));
        result.files.push(Change { base_kept: true, ..change });
        draft.finish(result).unwrap()
    }

    fn files(dir: &Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
        }
        found
    }

    #[test]
    fn every_flipped_byte_missing_and_added_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let result = saved(&store);
        assert_eq!(verify(&result).unwrap(), Vec::<String>::new());
        let all = files(&result.dir);
        assert_eq!(all.len(), 4, "{all:?}");
        for path in &all {
            let whole = fs::read(path).unwrap();
            // A flipped byte of the document may make it another document, or none at all.
            for at in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                fs::write(path, &flipped).unwrap();
                let is_found =
                    store.get("dev-1").map_or(true, |saved| !verify(&saved.unwrap()).unwrap().is_empty());
                assert!(is_found, "byte {at} of {}", path.display());
            }
            fs::remove_file(path).unwrap();
            match store.get("dev-1").unwrap() {
                Some(saved) => {
                    assert!(verify(&saved).unwrap()[0].contains("is missing"), "{}", path.display())
                }
                None => assert!(path.ends_with(DOCUMENT)),
            }
            fs::write(path, &whole).unwrap();
            assert_eq!(verify(&result).unwrap(), Vec::<String>::new());
        }
        for place in [".", FILES, BASE, SEALED] {
            let added = result.dir.join(place).join("added");
            fs::write(&added, "").unwrap();
            assert!(verify(&result).unwrap()[0].contains("added was added"));
            fs::remove_file(added).unwrap();
        }
    }

    #[test]
    fn old_contents_that_apply_kept_are_not_added() {
        let dir = tempfile::tempdir().unwrap();
        let mut result = saved(&Store::new(dir.path()));
        result.result.files[0].base_kept = false;
        result.result.digest = hash::of_document(&result.result).unwrap();
        fs::write(result.dir.join(DOCUMENT), serde_json::to_vec(&result.result).unwrap()).unwrap();
        assert_eq!(verify(&result).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn no_other_user_can_read_a_result() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let result = saved(&Store::new(dir.path()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for place in ["..", ".", FILES, BASE, SEALED] {
            assert_eq!(mode(&result.dir.join(place)) & 0o077, 0, "{place}");
        }
        assert!(files(&result.dir).iter().all(|path| mode(path) == 0o600));
    }
}
