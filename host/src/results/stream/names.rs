//! Names in an export: which are a broken plug-in's, which a result does not carry, and what was there already.
//!
//! An agent chooses names, and must not be able to make its own save fail: a name that is odd is left out, and listed. An
//! absolute path, `..` and a path twice come from a broken plug-in alone, and do fail the save.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gix_validate::path::component::{Mode, Options};

use super::StreamError;
use crate::results::hash;

/// The longest path that a result carries, in bytes.
const MAX_PATH: usize = 4096;
/// The longest part of a path.
const MAX_PART: usize = 255;
/// How deep a path may be.
const MAX_DEPTH: usize = 200;
/// The repository's data, which is sealed and never opened on the host.
const DOT_GIT: &[u8] = b".git";
/// What git takes for its own whatever the file system: every spelling of `.git`, and a `.gitmodules` that is a link.
const PROTECT: Options = Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };

/// Where in a result an entry belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// To the changes.
    Tree(PathBuf),
    /// To the sealed repository: below `.git` at the top.
    Git(PathBuf),
    /// Nowhere: it or a directory that it is in has a name that a result does not carry.
    Refused {
        /// The path.
        path: PathBuf,
        /// The part of it that has such a name.
        top: PathBuf,
    },
}

impl Place {
    /// Finds out where a path belongs.
    pub fn of(path: &Path, is_link: bool) -> Self {
        let bytes = path.as_os_str().as_bytes();
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
        if parts[0] == DOT_GIT {
            return Self::Git(path.to_owned());
        }
        let refused = |depth: usize| Self::Refused { path: path.to_owned(), top: joined(&parts[..=depth]) };
        for (depth, part) in parts.iter().enumerate() {
            let mode = (is_link && depth + 1 == parts.len()).then_some(Mode::Symlink);
            let is_fine = depth < MAX_DEPTH
                && part.len() <= MAX_PART
                && gix_validate::path::component(bstr(part), mode, PROTECT).is_ok();
            if !is_fine {
                return refused(depth);
            }
        }
        if bytes.len() > MAX_PATH { refused(parts.len() - 1) } else { Self::Tree(path.to_owned()) }
    }

    /// Returns the path, wherever it belongs.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tree(path) | Self::Git(path) | Self::Refused { path, .. } => path,
        }
    }
}

fn bstr(part: &[u8]) -> &bstr::BStr {
    part.into()
}

fn joined(parts: &[&[u8]]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&parts.join(&b'/')))
}

/// What a path of the archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory that something was in, and that has not come itself.
    Implied,
    /// A directory.
    Directory,
    /// A file, which a hard link may name.
    File,
    /// Something else, in which nothing can be.
    Other,
}

/// The paths that were seen, each by a part of its SHA-256: two million take little memory, and no two can be made to clash.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<[u8; 16], Kind>);

impl Seen {
    /// Notes a path, and the directories that it is in.
    pub(super) fn note(&mut self, path: &Path, kind: Kind) -> Result<(), StreamError> {
        let refused = |reason| Err(StreamError::Path { path: path.to_owned(), reason });
        for parent in path.ancestors().skip(1).take_while(|parent| !parent.as_os_str().is_empty()) {
            match self.0.entry(key(parent)).or_insert(Kind::Implied) {
                // What is above a known directory is known.
                Kind::Directory => break,
                Kind::Implied => {}
                Kind::File | Kind::Other => return refused("it is below something that is not a directory"),
            }
        }
        match (self.0.insert(key(path), kind), kind) {
            (None, _) | (Some(Kind::Implied), Kind::Directory) => Ok(()),
            (Some(Kind::Implied), _) => refused("it is not a directory, and something is below it"),
            _ => refused("it is there twice"),
        }
    }

    /// Returns `true` if a file of this path was there.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.0.get(&key(path)) == Some(&Kind::File)
    }
}

/// Returns what stands for a path.
fn key(path: &Path) -> [u8; 16] {
    let digest = hash::of_bytes(path.as_os_str().as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

/// Takes the top directory off a path of the archive; `None` for the top directory itself.
pub(super) fn below_top(raw: &[u8], top: &mut Option<Vec<u8>>) -> Result<Option<PathBuf>, StreamError> {
    let refused = |reason| StreamError::Path { path: PathBuf::from(OsStr::from_bytes(raw)), reason };
    // A directory's name may end with one slash.
    let trimmed = raw.strip_suffix(b"/").unwrap_or(raw);
    let mut parts = trimmed.split(|byte| *byte == b'/');
    for part in parts.clone() {
        match part {
            b"" => return Err(refused("it is absolute, or has an empty part")),
            b"." | b".." => return Err(refused("it has a part `.` or `..`")),
            part if part.contains(&0) => return Err(refused("it has a NUL")),
            _ => {}
        }
    }
    let first = parts.next().unwrap_or_default();
    let top = top.get_or_insert_with(|| first.to_owned());
    if top.as_slice() != first {
        return Err(refused("it is not below the one top directory"));
    }
    let rest = trimmed.get(first.len() + 1..);
    Ok(rest.map(|rest| PathBuf::from(OsStr::from_bytes(rest))))
}
