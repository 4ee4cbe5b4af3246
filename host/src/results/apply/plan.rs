//! What applying would do, path by path: B is what was copied in, H what is here now, N what the agent made of it.
//!
//! H = B: N is written. H = N: nothing to do. Otherwise a conflict, and then nothing at all is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Dir;

use super::case;
use super::found::Found;
use super::journal::Step;
use super::order::{self, is_leaf};
use super::tree::{PlaceError, Seen, Tree};
use crate::results::model::Change;

/// Why a path cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path.
    pub path: PathBuf,
    /// Why, as a user reads it.
    pub why: String,
    /// `true` if the contents here differ, and a merge could help.
    pub contents: bool,
}

/// What would be done.
#[derive(Debug, Default)]
pub struct Plan {
    /// What is written, in this order.
    pub steps: Vec<Step>,
    /// How many paths are already as the agent left them.
    pub already: usize,
    /// Why nothing is written.
    pub conflicts: Vec<Conflict>,
}

/// A change that is wanted; `withheld` ones may only be added.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The change.
    pub change: &'a Change,
}

/// Looks at every path.
pub(in crate::results) fn plan(tree: &Tree, wanted: &[Wanted<'_>]) -> Plan {
    let mut plan = Plan::default();
    let retyped: BTreeSet<&Path> = wanted.iter().filter_map(|wanted| retyped(wanted.change)).collect();
    for wanted in wanted {
        let change = wanted.change;
        let path = change.path.as_path();
        let (Some(from), Some(to)) = (Found::of(change.old.as_ref()), Found::of(change.new.as_ref())) else {
            plan.conflict(path, "it is of a kind that this version does not know");
            continue;
        };
        let seen = if path.ancestors().skip(1).any(|above| retyped.contains(above)) {
            // Below what is a file here, until it is made a directory, or already.
            tree.look(path).or_else(|error| match error {
                PlaceError::Link(_) | PlaceError::NotADirectory(_) => {
                    Ok(Seen { found: Found::Absent, identity: None })
                }
                other => Err(other),
            })
        } else {
            tree.look(path)
        };
        match seen {
            Err(error) => plan.conflict(path, &describe(&error)),
            Ok(seen) => plan.decide(change, from, to, &seen),
        }
    }
    let mut steps = std::mem::take(&mut plan.steps);
    add_parents(tree, &mut steps, &mut plan);
    order::sort(&mut steps);
    plan.steps = steps;
    plan.check_directories(tree);
    plan.check_case(tree);
    plan.conflicts.sort_by(|a, b| a.path.cmp(&b.path));
    plan
}

fn describe(error: &PlaceError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Returns the path of a change from a directory to something else, or the other way round.
fn retyped(change: &Change) -> Option<&Path> {
    let (old, new) = (Found::of(change.old.as_ref())?, Found::of(change.new.as_ref())?);
    let is_directory = |found: &Found| *found == Found::Directory;
    let is_retyped = is_leaf(&old) && is_directory(&new) || is_directory(&old) && is_leaf(&new);
    is_retyped.then(|| change.path.as_path())
}

impl Plan {
    fn conflict(&mut self, path: &Path, why: &str) {
        self.conflicts.push(Conflict { path: path.to_owned(), why: why.to_owned(), contents: false });
    }

    fn decide(&mut self, change: &Change, from: Found, to: Found, seen: &Seen) {
        let path = change.path.as_path();
        if seen.found == to {
            self.already += 1;
        } else if seen.found != from || is_leaf(&from) && seen.identity.is_none() {
            let contents = matches!(
                (&from, &seen.found, &to),
                (Found::File { .. }, Found::File { .. }, Found::File { .. })
            );
            let why = differs(&from, &seen.found);
            self.conflicts.push(Conflict { path: path.to_owned(), why, contents });
        } else if change.withheld && from != Found::Absent {
            self.conflict(
                path,
                "it is a file that the copy leaves out, and one that is here is never replaced",
            );
        } else {
            let from_mode = seen.identity.as_ref().map(|identity| identity.mode & 0o777);
            let to_mode = match (&from, &to) {
                (Found::File { .. }, Found::File { executable, .. }) => {
                    from_mode.map(|mode| with_executable(mode, *executable))
                }
                _ => None,
            };
            let from_mode = from_mode.filter(|_| matches!(from, Found::File { .. }));
            self.steps.push(Step { path: change.path.clone(), from, to, from_mode, to_mode });
        }
    }

    /// A directory makes room for a file only if all that is in it goes too.
    fn check_directories(&mut self, tree: &Tree) {
        let goes: BTreeSet<PathBuf> = self
            .steps
            .iter()
            .filter(|step| step.to == Found::Absent)
            .map(|step| step.path.as_path().to_owned())
            .collect();
        let make_room: Vec<PathBuf> = self
            .steps
            .iter()
            .filter(|step| step.from == Found::Directory && is_leaf(&step.to))
            .map(|step| step.path.as_path().to_owned())
            .collect();
        for directory in make_room {
            if let Some(other) = stays(tree, &directory, &goes) {
                let why = format!("`{}` is in this directory here", other.display());
                self.conflict(&directory, &why);
            }
        }
    }

    fn check_case(&mut self, tree: &Tree) {
        let mut spellings: HashMap<String, BTreeSet<PathBuf>> = HashMap::new();
        for step in &self.steps {
            let path = step.path.as_path();
            spellings.entry(case::fold(path)).or_default().insert(path.to_owned());
        }
        let twins: Vec<_> = spellings.into_values().filter(|paths| paths.len() > 1).collect();
        if !twins.is_empty() && case::folds(tree) {
            for path in twins.into_iter().flatten() {
                self.conflict(&path, "this file system takes it and another path of the result for the same");
            }
        }
    }
}

/// Returns a file's bits with those for executing as wanted, as wide as those for reading.
pub(super) fn with_executable(mode: u32, executable: bool) -> u32 {
    if executable { mode | (mode & 0o444) >> 2 } else { mode & !0o111 }
}

fn differs(from: &Found, here: &Found) -> String {
    match (from, here) {
        (_, Found::Absent) => "it was removed here since".to_owned(),
        (Found::Absent, other) => format!("{} of that name is here now", other.describe()),
        (Found::File { sha256: then, .. }, Found::File { sha256: now, .. }) if then == now => {
            "its executable bit was changed here since".to_owned()
        }
        (Found::File { .. }, Found::File { .. }) | (Found::Link { .. }, Found::Link { .. }) => {
            "it was changed here since".to_owned()
        }
        (_, other) => format!("it is {} here now", other.describe()),
    }
}

/// Adds the directories that paths need and that are not here.
pub(in crate::results) fn add_parents(tree: &Tree, steps: &mut Vec<Step>, plan: &mut Plan) {
    let known: BTreeMap<PathBuf, Found> =
        steps.iter().map(|step| (step.path.as_path().to_owned(), step.to.clone())).collect();
    let mut missing = BTreeSet::new();
    for step in steps.iter().filter(|step| step.to != Found::Absent) {
        let above = step.path.as_path().ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        for above in above {
            if missing.contains(above) {
                break;
            }
            match known.get(above) {
                Some(Found::Directory) => {}
                Some(_) => plan.conflict(step.path.as_path(), "the directory that it is in goes"),
                None => match tree.look(above) {
                    Ok(Seen { found: Found::Absent, .. }) => {
                        missing.insert(above.to_owned());
                    }
                    Ok(_) => break,
                    // A path above this one becomes a directory only now.
                    Err(_) => {
                        missing.insert(above.to_owned());
                    }
                },
            }
        }
    }
    steps.extend(missing.into_iter().map(|path| Step {
        path: claude_bottle_plugin_api::EntryPath::new(path),
        from: Found::Absent,
        to: Found::Directory,
        from_mode: None,
        to_mode: None,
    }));
}

/// Returns something in a directory here that does not go.
fn stays(tree: &Tree, directory: &Path, goes: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let inside = directory.join("x");
    let place = tree.place(&inside).ok()?;
    for entry in Dir::read_from(&place.dir).ok()?.flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let path = directory.join(name);
        if !goes.contains(&path) {
            return Some(path);
        }
        if entry.file_type().is_dir()
            && let Some(other) = stays(tree, &path, goes)
        {
            return Some(other);
        }
    }
    None
}
