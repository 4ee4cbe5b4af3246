//! Where a walk is, as far as links lead it astray.

use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use super::{TreeError, secrets};

/// How many links are followed; the directories they lead to may hold more of them.
const MAX_FOLLOWED: usize = 10_000;

/// The way of a walk.
#[derive(Default)]
pub(super) struct Trail {
    /// The directories on the way, by device and number.
    open: Vec<(u64, u64)>,
    /// The links on the way that were followed, and what they lead to.
    beyond: Vec<(PathBuf, PathBuf)>,
    followed: usize,
    names: Option<secrets::Names>,
}

impl Trail {
    /// Begins in a directory.
    pub(super) fn at(stat: &Stat) -> Self {
        Self { open: vec![(stat.st_dev, stat.st_ino)], ..Self::default() }
    }

    /// Takes a source that is a link itself for one that was followed.
    pub(super) fn begin(&mut self, source: &Path) -> rustix::io::Result<()> {
        if source.is_symlink() {
            let real = source.canonicalize();
            let real = real.map_err(|error| {
                error.raw_os_error().map_or(rustix::io::Errno::IO, rustix::io::Errno::from_raw_os_error)
            })?;
            self.follow(Path::new(""), real);
        }
        Ok(())
    }

    pub(super) fn enter(&mut self, stat: &Stat) {
        self.open.push((stat.st_dev, stat.st_ino));
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// Returns `true` if a directory is one of those on the way.
    pub(super) fn is_in(&self, stat: &Stat) -> bool {
        self.open.contains(&(stat.st_dev, stat.st_ino))
    }

    /// Counts a link that is to be followed.
    pub(super) fn count(&mut self, link: &Path) -> Result<(), TreeError> {
        self.followed += 1;
        if self.followed > MAX_FOLLOWED {
            return Err(TreeError::TooManyLinks { path: link.to_owned(), limit: MAX_FOLLOWED });
        }
        Ok(())
    }

    /// Goes over a link.
    pub(super) fn follow(&mut self, link: &Path, real: PathBuf) {
        self.beyond.push((link.to_owned(), real));
    }

    /// Comes back from where the last link led to.
    pub(super) fn back(&mut self) {
        self.beyond.pop();
    }

    /// Returns where a path really is, when it was reached over a link.
    pub(super) fn beyond(&self, path: &Path) -> Option<PathBuf> {
        let (link, real) = self.beyond.last()?;
        let rest = path.strip_prefix(link).ok()?;
        Some(if rest.as_os_str().is_empty() { real.clone() } else { real.join(rest) })
    }

    /// Returns `true` if a file is a secret by its name or by what is in it.
    pub(super) fn is_secret(&mut self, path: &Path, file: secrets::File<'_>) -> rustix::io::Result<bool> {
        if self.names.is_none() {
            self.names = secrets::Names::new().ok();
        }
        // Without the names nothing is known, and so nothing is taken.
        let Some(names) = &self.names else { return Ok(true) };
        Ok(names.is_secret(path) || names.holds_secret(path, file)?)
    }
}

/// Returns `true` if a path is the kernel's account of this machine.
pub(super) fn is_machines(path: &Path) -> bool {
    ["/proc", "/sys", "/dev"].iter().any(|place| path.starts_with(place))
}
