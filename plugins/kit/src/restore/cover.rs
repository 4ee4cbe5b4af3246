//! Which entries of a stream are sent, when something is laid over them afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tar::Header;

use super::layer::{Kind, Kinds};

/// What covers a working directory in a stream.
///
/// The order of entries decides what an engine makes of a path that is there twice, and of a link in the way of a directory. With
/// this no path is there twice, and nothing is below what is not a directory.
pub(crate) struct Cover {
    root: PathBuf,
    kinds: Kinds,
    removed: BTreeSet<PathBuf>,
    /// Directories that are removed if nothing in them is sent.
    waiting: Vec<(PathBuf, Header)>,
    /// Directories that were sent.
    directories: BTreeSet<PathBuf>,
}

impl Cover {
    pub(super) fn new(root: &Path, kinds: Kinds, removed: BTreeSet<PathBuf>) -> Self {
        let root = root.strip_prefix("/").unwrap_or(root).to_owned();
        Self { root, kinds, removed, waiting: Vec::new(), directories: BTreeSet::new() }
    }

    /// Returns which directories are sent before an entry; `None` if the entry is not sent, or not yet.
    pub(crate) fn admit(&mut self, path: &Path, header: &Header) -> Option<Vec<(PathBuf, Header)>> {
        let is_directory = header.entry_type().is_dir();
        if let Ok(below) = path.strip_prefix(&self.root) {
            if self.is_replaced(below, is_directory) {
                return None;
            }
            if self.removed.contains(below) && !self.kinds.contains_key(below) {
                if is_directory {
                    self.waiting.retain(|(above, _)| path.starts_with(above));
                    self.waiting.push((path.to_owned(), header.clone()));
                }
                return None;
            }
        }
        let waiting: Vec<_> = self.waiting.drain(..).filter(|(above, _)| path.starts_with(above)).collect();
        self.directories.extend(waiting.iter().map(|(path, _)| path.clone()));
        if is_directory {
            self.directories.insert(path.to_owned());
        }
        Some(waiting)
    }

    fn is_replaced(&self, below: &Path, is_directory: bool) -> bool {
        let above = below.ancestors().skip(1).any(|above| self.kinds.get(above) == Some(&Kind::Other));
        above
            || match self.kinds.get(below) {
                Some(Kind::Other) => true,
                Some(Kind::Directory) => !is_directory,
                None => false,
            }
    }

    /// Returns the directories that were sent.
    pub(crate) fn into_directories(self) -> BTreeSet<PathBuf> {
        self.directories
    }
}
