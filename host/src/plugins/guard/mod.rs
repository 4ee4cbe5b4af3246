//! Opens a plug-in's file, and refuses one that another user could have put there or changed.
//!
//! Every directory a look-up passes through is checked, links followed one by one: it belongs to root or to the
//! user, and nobody else can write to it. A sticky directory such as `/tmp` may be passed through, since only the
//! owner of an entry can replace it, but no plug-in may lie directly in one. The file itself is checked through
//! its open descriptor. Invariant: what passes can be changed by root and the user alone, so that opening it once
//! more by its canonical path finds the same file; the race that such checks suffer elsewhere is closed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use super::shown;

mod identity;

pub use identity::Identity;

const STICKY: u32 = 0o1000;
const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
/// As many links as Linux follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Why a file is refused, or could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A link leads nowhere.
    #[error("it is a link to `{}`, which does not exist", shown(.target))]
    DanglingLink {
        /// Where it leads.
        target: PathBuf,
    },
    /// There is no such file any more.
    #[error("it does not exist")]
    Missing,
    /// It is something else than a file.
    #[error("it is {what}, not a regular file")]
    NotRegular {
        /// What it is.
        what: &'static str,
    },
    /// Somebody else can write to the file.
    #[error("`{}` can be written by {who} (mode {mode:04o})", shown(.path))]
    FileWritable {
        /// The file, resolved.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Who can write to it.
        who: Writers,
    },
    /// The file belongs to another user.
    #[error("`{}` belongs to user {owner}, who is neither root nor you", shown(.path))]
    FileOwner {
        /// The file, resolved.
        path: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// Somebody else can write to a directory on the way.
    #[error("the directory `{}` can be written by {who} (mode {mode:04o})", shown(.path))]
    DirectoryWritable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Who can write to it.
        who: Writers,
    },
    /// A directory on the way belongs to another user.
    #[error("the directory `{}` belongs to user {owner}, who is neither root nor you", shown(.path))]
    DirectoryOwner {
        /// The directory.
        path: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// A link on the way belongs to another user.
    #[error("the link `{}` belongs to user {owner}, who is neither root nor you", shown(.path))]
    LinkOwner {
        /// The link.
        path: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// The links lead in a circle.
    #[error("its links lead in a circle")]
    LinkLoop,
    /// The path is relative.
    #[error("its path is not absolute")]
    NotAbsolute,
    /// The system refused.
    #[error("`{}` cannot be examined", shown(.path))]
    Examine {
        /// What was looked at.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Who besides the owner can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Every user.
    Everybody,
    /// A group which is not the user's private one.
    Group(u32),
}

impl std::fmt::Display for Writers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everybody => f.write_str("every user"),
            Self::Group(group) => write!(f, "group {group}"),
        }
    }
}

impl GuardError {
    /// Returns a short stable name of the case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DanglingLink { .. } => "dangling-link",
            Self::Missing => "missing",
            Self::NotRegular { .. } => "not-a-regular-file",
            Self::FileWritable { .. } => "file-writable",
            Self::FileOwner { .. } => "file-owner",
            Self::DirectoryWritable { .. } => "directory-writable",
            Self::DirectoryOwner { .. } => "directory-owner",
            Self::LinkOwner { .. } => "link-owner",
            Self::LinkLoop => "link-loop",
            Self::NotAbsolute => "not-absolute",
            Self::Examine { .. } => "examine",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::FileWritable { path, .. } | Self::DirectoryWritable { path, .. } => {
                Some(format!("chmod go-w {}", quoted(path)))
            }
            Self::FileOwner { .. } | Self::DirectoryOwner { .. } | Self::LinkOwner { .. } => Some(
                "if you trust the file, copy it to a directory of your own: install -D -m 755 FILE \
                 ~/.local/share/claude-bottle/plugins/"
                    .to_owned(),
            ),
            Self::DanglingLink { .. } | Self::LinkLoop => Some("install the plug-in again".to_owned()),
            _ => None,
        }
    }
}

/// Returns a path for pasting into a shell.
fn quoted(path: &Path) -> String {
    let text = shown(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A file nobody but root and the user can change, open for reading.
#[derive(Debug)]
pub struct Guarded {
    /// The file.
    pub file: File,
    /// Where it is, without links.
    pub path: PathBuf,
}

/// Opens a file when nobody but root and the user can change it.
///
/// # Errors
/// Names the file, directory or link that is at fault.
pub fn open(path: &Path, identity: &Identity) -> Result<Guarded, GuardError> {
    let canonical = resolve(path, identity)?;
    let file = open_regular(&canonical)?;
    let metadata =
        file.metadata().map_err(|source| GuardError::Examine { path: canonical.clone(), source })?;
    if !identity.trusts(metadata.uid()) {
        return Err(GuardError::FileOwner { owner: metadata.uid(), path: canonical });
    }
    if let Some(who) = writers(&canonical, &metadata, identity) {
        return Err(GuardError::FileWritable { mode: metadata.mode() & 0o7777, path: canonical, who });
    }
    Ok(Guarded { file, path: canonical })
}

/// Opens a regular file for reading, and nothing that could block or act: no pipe, no device.
fn open_regular(path: &Path) -> Result<File, GuardError> {
    let examine = |source| GuardError::Examine { path: path.to_owned(), source };
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NOFOLLOW;
    let kind = fs::symlink_metadata(path).map_err(examine)?.file_type();
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if !kind.is_file() {
        "a device"
    } else {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(examine)?;
        let regular = file.metadata().map_err(examine)?.is_file();
        return if regular { Ok(file) } else { Err(GuardError::NotRegular { what: "something else" }) };
    };
    Err(GuardError::NotRegular { what })
}

/// Follows a path to its end, and checks every directory and link on the way.
fn resolve(path: &Path, identity: &Identity) -> Result<PathBuf, GuardError> {
    if !path.is_absolute() {
        return Err(GuardError::NotAbsolute);
    }
    let mut pending = components(path);
    let mut current = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        if name == ".." {
            current.pop();
            continue;
        }
        check_directory(&current, pending.is_empty(), identity)?;
        let next = current.join(&name);
        let metadata = match fs::symlink_metadata(&next) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(if links == 0 {
                    GuardError::Missing
                } else {
                    GuardError::DanglingLink { target: next }
                });
            }
            Err(source) => return Err(GuardError::Examine { path: next, source }),
        };
        if !metadata.is_symlink() {
            current = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(GuardError::LinkLoop);
        }
        if !identity.trusts(metadata.uid()) {
            return Err(GuardError::LinkOwner { owner: metadata.uid(), path: next });
        }
        let target = fs::read_link(&next).map_err(|source| GuardError::Examine { path: next, source })?;
        if target.is_absolute() {
            current = PathBuf::from("/");
        }
        let mut followed = components(&target);
        followed.append(&mut pending);
        pending = followed;
    }
    Ok(current)
}

fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

/// Checks a directory; `last` says that the file itself is looked up in it.
fn check_directory(path: &Path, last: bool, identity: &Identity) -> Result<(), GuardError> {
    let metadata =
        fs::metadata(path).map_err(|source| GuardError::Examine { path: path.to_owned(), source })?;
    if !identity.trusts(metadata.uid()) {
        return Err(GuardError::DirectoryOwner { path: path.to_owned(), owner: metadata.uid() });
    }
    if !last && metadata.mode() & STICKY != 0 {
        return Ok(());
    }
    match writers(path, &metadata, identity) {
        None => Ok(()),
        Some(who) => {
            Err(GuardError::DirectoryWritable { path: path.to_owned(), mode: metadata.mode() & 0o7777, who })
        }
    }
}

/// Returns who besides root and the user can write.
///
/// A group counts as the user's when it is the private one (see [`Identity`]). An access list shows in the group's
/// bits as its mask, and could name anybody, so with one the group does not count as the user's.
fn writers(path: &Path, metadata: &Metadata, identity: &Identity) -> Option<Writers> {
    let mode = metadata.mode();
    if mode & OTHER_WRITE != 0 {
        return Some(Writers::Everybody);
    }
    let own_group = identity.private_group == Some(metadata.gid());
    let group = mode & GROUP_WRITE != 0 && (!own_group || has_access_list(path));
    group.then_some(Writers::Group(metadata.gid()))
}

fn has_access_list(path: &Path) -> bool {
    match rustix::fs::getxattr_query(path, "system.posix_acl_access") {
        Ok(size) => size > 0,
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => false,
        Err(_) => true,
    }
}
