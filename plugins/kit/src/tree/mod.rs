//! Copies a directory of the host, in one pass, trusting nothing it finds there: into a tar stream, or into a directory.
//!
//! Invariant: no symbolic link is ever followed, unless that is asked for by [`Links::Follow`]; every directory and file is opened by descriptor from its parent,
//! and its kind is asked of the open descriptor, so that a swap during the copy cannot lead elsewhere.
//! Devices, FIFOs and sockets have no content and are left out, set-id bits are dropped, owner and mode are set here.

mod baseline;
mod closed;
mod directory;
mod error;
mod export;
mod index;
mod remove;
mod rules;
mod secrets;
mod single;
mod stream;
mod trail;
mod walk;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, Timespec};

pub use baseline::{Baseline, Record};
pub use error::TreeError;
pub use export::{Below, export, export_file, open_below};
pub use index::tracked;
pub use remove::remove;
pub use rules::{IGNORE_FILE, Withheld, names};
pub use secrets::BY_NAME;
pub use single::read_file;
pub use stream::{Entry, TarWriter, append_link};

/// Which symbolic links are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// All, as links, wherever they point.
    Keep,
    /// Those which point to something inside the tree; another is an error.
    Inside,
    /// Those too; in place of another, the file or directory it leads to, unless that holds a secret.
    Follow,
}

/// Which files are left out, in addition to those that are excluded by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rules {
    /// None.
    #[default]
    All,
    /// What [`IGNORE_FILE`] in the tree's root says, and what usually holds secrets unless it says otherwise.
    Workspace {
        /// The index of the repository that comes along. What it tracks is copied too, since it is in the history anyway.
        index: Option<PathBuf>,
        /// Where in the tree its data is, when that is not `.git`.
        data: Option<PathBuf>,
    },
}

/// What is taken from a tree, and how it arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The numeric owner and group there, if that is not this process's user.
    pub owner: Option<(u32, u32)>,
    /// Which symbolic links are taken.
    pub links: Links,
    /// Paths relative to the source that are left out, with all below them.
    pub exclude: BTreeSet<PathBuf>,
    /// Which others are left out.
    pub rules: Rules,
    /// How many bytes of content may come together.
    pub max_bytes: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of content, holes counted.
    pub bytes: u64,
}

/// Paths of a kind: how many, and the first few, relative to the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many; a directory with all below it counts once.
    pub count: u64,
    /// The first of them.
    pub first: Vec<PathBuf>,
}

/// What a walk came across.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// What is taken.
    pub amount: Amount,
    /// What [`Rules`] left out.
    pub left_out: Found,
    /// What has no content that could be copied: sockets, FIFOs, devices.
    pub special: Found,
    /// What is usually left out, and was asked for.
    pub asked_for: Found,
    /// What is usually left out, and is tracked.
    pub tracked: Found,
    /// What is nested too deep, which ends a copy and is left out of an export.
    pub too_deep: Found,
}

/// Receives what a walk finds, each directory before and after what is in it.
trait Visitor {
    fn enter(&mut self, path: &Path, stat: &Stat) -> Result<(), TreeError>;
    fn file(&mut self, path: &Path, stat: &Stat, file: OwnedFd) -> Result<(), TreeError>;
    fn link(&mut self, path: &Path, stat: &Stat, target: &Path) -> Result<(), TreeError>;
    fn leave(&mut self, path: &Path, stat: &Stat) -> Result<(), TreeError>;
}

/// Returns when something was last changed.
fn changed(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0) }
}

/// Walks the tree without copying anything: refuses what a copy would refuse, and says how much there is.
///
/// # Errors
/// The same as [`append`], but for those of the receiving side.
pub fn survey(source: &Path, options: &Options) -> Result<Survey, TreeError> {
    struct Nothing;
    impl Visitor for Nothing {
        fn enter(&mut self, _: &Path, _: &Stat) -> Result<(), TreeError> {
            Ok(())
        }
        fn file(&mut self, _: &Path, _: &Stat, _: OwnedFd) -> Result<(), TreeError> {
            Ok(())
        }
        fn link(&mut self, _: &Path, _: &Stat, _: &Path) -> Result<(), TreeError> {
            Ok(())
        }
        fn leave(&mut self, _: &Path, _: &Stat) -> Result<(), TreeError> {
            Ok(())
        }
    }
    walk::walk(source, options, &mut Nothing)
}

/// Copies the content of `source` to the path `target` in the tar stream; the directory `target` comes with it. What was
/// copied is told to `record`.
///
/// # Errors
/// Fails on a link that leaves the tree when that is asked for, on too
/// much content, on what cannot be read, and when the stream cannot be written.
pub fn append(
    writer: &mut TarWriter<'_>,
    source: &Path,
    target: &Path,
    options: &Options,
    record: Option<Record<'_>>,
) -> Result<Survey, TreeError> {
    let mut visitor = stream::IntoStream::new(writer, source, target, options.owner).told_to(record);
    walk::walk(source, options, &mut visitor)
}

/// Copies the content of `source` to the directory `target`, which is made when it is not there; what is in the way of
/// a file or a link is replaced. Contents are shared with the source where the file system can, and holes stay holes. What was
/// copied is told to `record`.
///
/// `go_on` is told now and then how many bytes have been copied, and ends the copy by returning false.
///
/// # Errors
/// The same as [`append`], and [`TreeError::Stopped`].
pub fn copy(
    source: &Path,
    target: &Path,
    options: &Options,
    record: Option<Record<'_>>,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Survey, TreeError> {
    let mut visitor = directory::IntoDirectory::new(source, target, options.owner, go_on).told_to(record);
    walk::walk(source, options, &mut visitor)
}

#[cfg(test)]
mod baseline_tests;
#[cfg(test)]
mod tests;
