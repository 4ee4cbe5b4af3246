//! What is to know of the agent's commits before they are taken: what in any of them needs a word, and how far the last one is
//! from what was saved.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use claude_bottle_egress_policy::GuardSecrets;
use claude_bottle_plugin_api::{EntryKind, EntryPath};

use super::read::{Sink, read};
use super::{Commit, Commits, CommitsError, Mode, Parent, Step};
use crate::results::hash::{self, hex};
use crate::results::marks::{self, Before};
use crate::results::model::{Change, MarkKind, Side};
use crate::results::secrets::{Found, Search};
use crate::results::text;

/// How many paths are named.
const NAMED: usize = 100;
/// How many paths are remembered of all commits together, to tell the last one from the result.
const REMEMBERED: usize = 2_000_000;
/// The longest target of a link.
const MOST_TARGET: usize = 4096;
/// The mark of what could not be searched because the process that had the values is gone.
const UNCHECKED: &str = "unchecked: it was not searched for the bottle's secrets, whose values are gone";

/// What the commits are held against.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    /// The commit that was copied in.
    pub base: &'a str,
    /// Tells what was copied in.
    pub had: &'a dyn Fn(&Path) -> bool,
    /// What the result has.
    pub files: &'a [Change],
    /// What is known of the directory.
    pub before: &'a Before,
    /// What is searched for; without it everything is marked as unchecked.
    pub secrets: Option<&'a GuardSecrets>,
}

/// Reads the text, and says what is to know of it; `None` if there is no commit in it.
///
/// # Errors
/// Fails if the commits are not taken.
pub fn look(text: &Path, against: Against<'_>) -> Result<Option<Commits>, CommitsError> {
    let Against { base, before, secrets, .. } = against;
    let mut looking = Looking {
        search: Search::new(secrets).map_err(io::Error::other)?,
        is_searched: secrets.is_some(),
        base,
        blobs: HashMap::new(),
        states: HashMap::new(),
        remembered: 0,
        tip: None,
        put: BTreeMap::new(),
        count: 0,
    };
    read(BufReader::new(File::open(text)?), &mut looking)?;
    if looking.count == 0 {
        return Ok(None);
    }
    let apart = looking.tip.as_ref().map(|tip| looking.apart(tip, against));
    let (bytes, sha256) = hash::of(File::open(text)?)?;
    Ok(Some(Commits {
        bytes,
        sha256: hex(sha256),
        count: looking.count,
        apart: apart.iter().flatten().take(NAMED).map(EntryPath::new).collect(),
        apart_count: apart.as_ref().map(|apart| apart.len() as u64),
        marked: looking.marked(before),
    }))
}

/// What is known of contents.
struct Blob {
    sha256: String,
    size: u64,
    /// Where it leads, should it be a link.
    target: EntryPath,
    /// What was found in it.
    found: Option<String>,
}

/// The paths of a commit that are not as in the one that was copied in; `None` if a path is gone.
type State = Rc<BTreeMap<PathBuf, Option<(Mode, u64)>>>;

struct Looking<'a> {
    search: Search,
    is_searched: bool,
    base: &'a str,
    blobs: HashMap<u64, Blob>,
    states: HashMap<u64, State>,
    remembered: usize,
    /// The last commit, as far as that can be told.
    tip: Option<State>,
    /// Each path that any commit has, with what needs a word in any of its versions.
    put: BTreeMap<PathBuf, Change>,
    count: u64,
}

impl Sink for Looking<'_> {
    fn blob(&mut self, mark: u64, bytes: Vec<u8>) -> Result<(), CommitsError> {
        let found = if text::is_binary(&bytes) {
            self.search.binary(&bytes)
        } else {
            let lines = text::lines(&bytes).into_iter().enumerate();
            self.search.lines(lines.map(|(at, line)| (at + 1, line)))
        };
        let target = &bytes[..bytes.len().min(MOST_TARGET)];
        let target = EntryPath::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(target));
        let sha256 = hex(hash::of_bytes(&bytes));
        let found = found.map(|found| said("it has", &found));
        self.blobs.insert(mark, Blob { sha256, size: bytes.len() as u64, target, found });
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), CommitsError> {
        self.count += 1;
        let words = [commit.message.as_bytes(), commit.author.as_bytes(), commit.committer.as_bytes()];
        let mut in_words = None;
        for word in words {
            let lines = text::lines(word).into_iter().enumerate().map(|(at, line)| (at + 1, line));
            in_words = in_words.or(self.search.lines(lines));
        }
        for step in &commit.steps {
            if let Step::Put { path, mode, blob } = step {
                self.note(path, *mode, *blob);
            }
        }
        if let Some(found) = in_words
            && let Some(file) = self.put.values_mut().next()
        {
            marks::add(&mut file.marks, MarkKind::Odd, &said("the message of a commit has", &found));
        }
        self.follow(&commit)
    }
}

fn said(place: &str, found: &Found) -> String {
    let line = found.line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("credential: {place} {}{line}, in one of the commits", found.what)
}

impl Looking<'_> {
    /// Notes a version of a path, and what was found in it.
    fn note(&mut self, path: &Path, mode: Mode, blob: u64) {
        let Some(blob) = self.blobs.get(&blob) else { return };
        let is_link = mode == Mode::Link;
        let side = Side {
            kind: if is_link { EntryKind::Link } else { EntryKind::File },
            executable: mode == Mode::Executable,
            size: if is_link { 0 } else { blob.size },
            sha256: (!is_link).then(|| blob.sha256.clone()),
            target: is_link.then(|| blob.target.clone()),
        };
        let is_known = self.put.contains_key(path);
        let file = self.put.entry(path.to_owned()).or_insert_with(|| Change::new(path, None, None));
        file.new = Some(side);
        if let Some(found) = &blob.found {
            marks::add(&mut file.marks, MarkKind::Odd, found);
        }
        if !self.is_searched {
            marks::add(&mut file.marks, MarkKind::Odd, UNCHECKED);
        }
        // A link in an earlier version is marked by where it led then.
        marks::by_path(std::slice::from_mut(file), &Before::default());
        if !is_known && let Some(found) = self.search.word(path.as_os_str().as_encoded_bytes()) {
            let mark = said("its name has", &found);
            self.put
                .entry(path.to_owned())
                .and_modify(|file| marks::add(&mut file.marks, MarkKind::Odd, &mark));
        }
    }

    /// Returns the paths that need a word, with the marks that the whole of them give.
    fn marked(self, before: &Before) -> Vec<Change> {
        let mut files: Vec<_> = self.put.into_values().collect();
        marks::by_path(&mut files, before);
        files.retain(|file| !file.marks.is_empty());
        files
    }

    /// Works out what is where after a commit, from what was where after the one that it builds on.
    fn follow(&mut self, commit: &Commit) -> Result<(), CommitsError> {
        let first = match &commit.parents[0] {
            Parent::Own(mark) => self.states.get(mark).cloned(),
            Parent::Known(name) if name == self.base => Some(State::default()),
            Parent::Known(_) => None,
        };
        self.tip = first.map(|first| {
            let mut state = (*first).clone();
            commit.steps.iter().for_each(|step| advance(&mut state, step));
            Rc::new(state)
        });
        if let Some(tip) = &self.tip {
            self.remembered += tip.len();
            if self.remembered > REMEMBERED {
                return Err(CommitsError::TooMuch("2,000,000 changed paths, counted in each commit"));
            }
            self.states.insert(commit.mark, Rc::clone(tip));
        }
        Ok(())
    }

    /// Returns the paths that the last commit and the result do not have the same way.
    fn apart(&self, tip: &State, Against { had, files, .. }: Against<'_>) -> Vec<PathBuf> {
        let is_kept = |side: &&Side| matches!(side.kind, EntryKind::File | EntryKind::Link);
        let mut apart = Vec::new();
        let mut expected: BTreeMap<&Path, Option<&Side>> = BTreeMap::new();
        for file in files {
            let (old, new) = (file.old.as_ref().filter(is_kept), file.new.as_ref().filter(is_kept));
            if old.is_some() || new.is_some() {
                expected.insert(file.path.as_path(), new);
            }
        }
        for (path, side) in &expected {
            if !tip.get(*path).is_some_and(|found| self.is_same(found.as_ref(), *side)) {
                apart.push((*path).to_owned());
            }
        }
        // What one commit made and another one took away is as it was.
        let is_change = |(path, found): &(&PathBuf, &Option<_>)| {
            !expected.contains_key(path.as_path()) && (found.is_some() || had(path))
        };
        apart.extend(tip.iter().filter(is_change).map(|(path, _)| path.clone()));
        apart
    }

    fn is_same(&self, found: Option<&(Mode, u64)>, side: Option<&Side>) -> bool {
        let (Some((mode, blob)), Some(side)) = (found, side) else {
            return found.is_none() && side.is_none();
        };
        let Some(blob) = self.blobs.get(blob) else { return false };
        match mode {
            Mode::Link => side.target.as_ref() == Some(&blob.target),
            mode => {
                side.executable == (*mode == Mode::Executable) && side.sha256.as_ref() == Some(&blob.sha256)
            }
        }
    }
}

/// Does what a commit does to a path; what was below it is gone.
fn advance(state: &mut BTreeMap<PathBuf, Option<(Mode, u64)>>, step: &Step) {
    let (path, value) = match step {
        Step::Put { path, mode, blob } => (path, Some((*mode, *blob))),
        Step::Remove(path) => (path, None),
    };
    let below: Vec<PathBuf> = state
        .range(path.clone()..)
        .map(|(below, _)| below)
        .take_while(|below| below.starts_with(path))
        .filter(|below| *below != path)
        .cloned()
        .collect();
    for below in below {
        state.insert(below, None);
    }
    state.insert(path.clone(), value);
}
