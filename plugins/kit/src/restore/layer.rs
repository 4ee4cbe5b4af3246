//! Archives that are laid over one place, looked through beforehand: which paths they have, and what each is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_plugin_api::AgentSpec;

use super::archive::{self, Item, ItemKind};
use super::directory::Directory;
use crate::home;
use crate::tree::{Entry, TarWriter, TreeError};
use crate::workspace::Place;

/// What a path becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory: an entry, or what leads to one.
    Directory,
    /// A file or a link.
    Other,
}

/// What is laid by paths.
pub(crate) type Kinds = BTreeMap<PathBuf, Kind>;

/// What each bottle gets in its home by itself, which no history replaces.
const GRANTED: [&str; 3] = [crate::home::PROMPT, crate::git::DIRECTORY, ".ssh"];

/// What is laid over one place.
#[derive(Debug, Default)]
pub(super) struct Layer {
    archives: Vec<PathBuf>,
    kinds: Kinds,
    /// Paths that stay as the bottle has them, with what is below.
    granted: Vec<PathBuf>,
    /// A name that is another in this bottle.
    renamed: Option<(String, String)>,
    is_private: bool,
}

impl Layer {
    /// Makes a layer over the home, where what the bottle is granted stays.
    pub(super) fn of_home(agent: &AgentSpec, place: &Place, home: &str) -> Self {
        let mut granted: Vec<PathBuf> = GRANTED.iter().map(PathBuf::from).collect();
        granted.push(PathBuf::from(home::skills(agent)));
        granted.extend(agent.files.iter().map(|file| PathBuf::from(&file.path)));
        granted.extend(home::paths(agent).map(PathBuf::from));
        granted.extend(Path::new(&place.root).strip_prefix(home).map(Path::to_owned));
        Self { granted, is_private: true, ..Self::default() }
    }

    /// Renames what is named after the directory that programs started in.
    pub(super) fn rename(&mut self, before: &str, now: &str) {
        self.renamed = Some((named_after(before), named_after(now)));
    }

    pub(super) fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Looks through one more archive; of two entries of a path the later one counts.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), TreeError> {
        archive::read(path, &mut |item| {
            let Some(at) = self.place(item.path) else { return Ok(()) };
            for above in at.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                if *self.kinds.entry(above.to_owned()).or_insert(Kind::Directory) == Kind::Other {
                    return Err(TreeError::Restore { path: at, reason: "is below a file or a link" });
                }
            }
            let kind = match item.kind {
                ItemKind::Directory => Kind::Directory,
                _ => Kind::Other,
            };
            match self.kinds.insert(at.clone(), kind) {
                Some(before) if before != kind => {
                    Err(TreeError::Restore { path: at, reason: "is there twice, and not as the same" })
                }
                _ => Ok(()),
            }
        })?;
        self.archives.push(path.to_owned());
        Ok(())
    }

    /// Returns where an entry goes; `None` if what the bottle is granted is there, or below what is not a directory then.
    fn place(&self, path: PathBuf) -> Option<PathBuf> {
        let path = match &self.renamed {
            None => path,
            Some((before, now)) => {
                path.iter().map(|name| if name == before.as_str() { now.as_ref() } else { name }).collect()
            }
        };
        // A directory on the way to it is there in any case.
        let is_granted =
            self.granted.iter().any(|granted| path.starts_with(granted) || granted.starts_with(&path));
        (!is_granted).then_some(path)
    }

    fn each(&self, each: &mut dyn FnMut(Item<'_>) -> Result<(), TreeError>) -> Result<(), TreeError> {
        self.archives.iter().try_for_each(|archive| {
            archive::read(archive, &mut |item| match self.place(item.path) {
                // It was looked through: a file that was exchanged since is not what was looked at.
                Some(path) if !self.kinds.contains_key(&path) => Err(TreeError::Changed { path }),
                Some(path) => each(Item { path, ..item }),
                None => Ok(()),
            })
        })
    }

    fn mode(&self, is_executable: bool) -> u32 {
        match (self.is_private, is_executable) {
            (true, true) => 0o700,
            (true, false) => 0o600,
            (false, true) => 0o755,
            (false, false) => 0o644,
        }
    }

    /// Adds everything to a stream, below `root`; `known` are the directories that it has already.
    pub(super) fn append(
        &self,
        writer: &mut TarWriter<'_>,
        root: &Path,
        owner: (u32, u32),
        known: &mut BTreeSet<PathBuf>,
    ) -> Result<(), TreeError> {
        let root = root.strip_prefix("/").unwrap_or(root);
        // What is new is newer than what was built of it: `make` sees that.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let entry = |mode| Entry { owner, mode, mtime: now };
        self.each(&mut |item| {
            let is_directory = matches!(item.kind, ItemKind::Directory);
            let mut above: Vec<_> = item.path.ancestors().skip(usize::from(!is_directory)).collect();
            above.reverse();
            for directory in above.into_iter().filter(|above| !above.as_os_str().is_empty()) {
                if known.insert(root.join(directory)) {
                    writer.dir(&root.join(directory), entry(self.mode(true)))?;
                }
            }
            let path = root.join(&item.path);
            match item.kind {
                ItemKind::Directory => Ok(()),
                ItemKind::File { size, is_executable, content } => {
                    writer.content(&path, entry(self.mode(is_executable)), size, content)
                }
                ItemKind::Link { target } => writer.link(&path, entry(0o777), &target),
            }
        })
    }

    /// Writes everything into a directory.
    pub(super) fn lay(&self, directory: &Directory<'_>) -> Result<(), TreeError> {
        self.each(&mut |item| match item.kind {
            ItemKind::Directory => directory.directory(&item.path, self.mode(true)),
            ItemKind::File { size, is_executable, content } => {
                let modes = (self.mode(true), self.mode(is_executable));
                directory.file(&item.path, modes, size, content)
            }
            ItemKind::Link { target } => directory.link(&item.path, self.mode(true), &target),
        })
    }
}

/// Returns the name under which Claude Code keeps the sessions of a directory, below `~/.claude/projects`.
/// Measured with Claude Code 2.1: what is not a letter or a digit is a dash.
fn named_after(directory: &str) -> String {
    directory.trim_end_matches('/').chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
