//! The staging directory: new files before they have their place, and old ones until all is done.
//!
//! It is below the user's directory and on its file system, so that giving a file its place is one rename, and a disk that is
//! full says so before a file of the user's is touched.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, fchmod, linkat, mkdirat, openat, renameat, renameat_with, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::ApplyError;
use super::found::Found;
use super::journal::Step;
use super::tree::{self, Identity, Place, Tree};
use crate::results::contents::Contents;
use crate::results::hash;

/// The beginning of its name; the rest is random.
const PREFIX: &str = ".claude-bottle-apply-";

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The staging directory of one apply.
pub(in crate::results) struct Stage {
    pub(in crate::results) dir: OwnedFd,
    pub(in crate::results) name: String,
}

/// What is there once every staged entry is whole; before, nothing was given its place.
const READY: &str = "ready";

/// Returns a fresh name for a staging directory.
pub(in crate::results) fn fresh_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(PREFIX.to_owned() + &hash::hex(bytes))
}

/// Returns the name of what a step puts in place, and afterwards of what was there.
pub(in crate::results) fn staged(index: usize) -> String {
    index.to_string()
}

/// Returns the name of what a step took away.
pub(in crate::results) fn taken(index: usize) -> String {
    format!("o{index}")
}

impl Stage {
    /// Makes the staging directory.
    pub(in crate::results) fn make(tree: &Tree, name: &str) -> io::Result<Self> {
        mkdirat(tree.root(), name, Mode::RWXU)?;
        Ok(Self { dir: openat(tree.root(), name, DIRECTORY, Mode::empty())?, name: name.to_owned() })
    }

    /// Opens the staging directory of an earlier process; `None` if it is gone.
    pub(in crate::results) fn reopen(tree: &Tree, name: &str) -> io::Result<Option<Self>> {
        if !name.starts_with(PREFIX) || name.contains('/') {
            return Ok(None);
        }
        match openat(tree.root(), name, DIRECTORY, Mode::empty()) {
            Ok(dir) => Ok(Some(Self { dir, name: name.to_owned() })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that every staged entry is whole.
    pub(in crate::results) fn make_ready(&self) -> io::Result<()> {
        Ok(mkdirat(&self.dir, READY, Mode::RWXU)?)
    }

    /// Returns `true` if every staged entry is whole.
    pub(in crate::results) fn is_ready(&self) -> io::Result<bool> {
        Ok(self.look(READY)? == Found::Directory)
    }

    /// Makes the file or link that a step puts in place.
    pub(in crate::results) fn fill(
        &self,
        index: usize,
        step: &Step,
        contents: &Contents,
        tree: &Tree,
    ) -> Result<(), ApplyError> {
        let failed = |source: io::Error| ApplyError::Write { path: step.path.as_path().to_owned(), source };
        match &step.to {
            Found::File { executable, sha256 } => {
                let from = match contents.open(sha256).map_err(failed)? {
                    Some(file) => file,
                    // A file of which only the executable bit changes.
                    None => {
                        let place = tree.place(step.path.as_path())?;
                        tree::open_file(&place.dir, place.name).map_err(failed)?
                    }
                };
                let got = self.file(index, from, *executable, step.to_mode).map_err(failed)?;
                if got == *sha256 { Ok(()) } else { Err(ApplyError::Damaged(step.path.as_path().to_owned())) }
            }
            Found::Link { target } => {
                let target = OsStr::from_bytes(target.as_bytes());
                symlinkat(target, &self.dir, staged(index)).map_err(|error| failed(error.into()))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, index: usize, mut from: File, executable: bool, mode: Option<u32>) -> io::Result<String> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let usual = Mode::from_raw_mode(if executable { 0o777 } else { 0o666 });
        let mut to = File::from(openat(&self.dir, staged(index), flags, usual)?);
        let (_, got) = hash::of_parts(&mut from, &mut |part| to.write_all(part))?;
        if let Some(mode) = mode {
            fchmod(&to, Mode::from_raw_mode(mode & 0o777))?;
        }
        Ok(hash::hex(got))
    }

    /// Swaps a staged entry with what is at a place. Where the file system cannot, what is there is taken away first.
    pub(in crate::results) fn exchange(&self, index: usize, place: &Place<'_>) -> io::Result<()> {
        let (staged, taken) = (staged(index), taken(index));
        match renameat_with(&self.dir, &staged, &place.dir, place.name, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                self.take(index, place)?;
                if let Err(error) = self.put(index, place) {
                    give_back(&self.dir, &taken, place)?;
                    return Err(error);
                }
                // From now on it is as after an exchange.
                Ok(renameat(&self.dir, &taken, &self.dir, &staged)?)
            }
            other => Ok(other?),
        }
    }

    /// Gives a staged entry its place, where nothing is.
    pub(in crate::results) fn put(&self, index: usize, place: &Place<'_>) -> io::Result<()> {
        give_back(&self.dir, &staged(index), place)
    }

    /// Takes what is at a place away.
    pub(in crate::results) fn take(&self, index: usize, place: &Place<'_>) -> io::Result<()> {
        let stage = Place { dir: self.dir.try_clone()?, name: OsStr::new("") };
        let name = taken(index);
        move_new(&place.dir, place.name, &Place { name: OsStr::new(&name), ..stage })
    }

    /// Puts what was taken away back, where nothing is.
    pub(in crate::results) fn put_back(&self, index: usize, place: &Place<'_>) -> io::Result<()> {
        give_back(&self.dir, &taken(index), place)
    }

    /// Takes what a step put in place back into the stage.
    pub(in crate::results) fn withdraw(&self, index: usize, place: &Place<'_>) -> io::Result<()> {
        let name = staged(index);
        let stage = Place { dir: self.dir.try_clone()?, name: OsStr::new(&name) };
        move_new(&place.dir, place.name, &stage)
    }

    /// Returns what identifies an entry of the stage.
    pub(in crate::results) fn identity(&self, name: &str) -> io::Result<Identity> {
        Ok(Identity::of(&statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Returns what an entry of the stage is.
    pub(in crate::results) fn look(&self, name: &str) -> io::Result<Found> {
        Ok(tree::look(&self.dir, OsStr::new(name))?.found)
    }

    /// Removes an entry of the stage.
    pub(in crate::results) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the staging directory; `false` if something is still in it.
    pub(in crate::results) fn close(&self, tree: &Tree) -> io::Result<bool> {
        match unlinkat(&self.dir, READY, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match unlinkat(tree.root(), &self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn give_back(stage: &OwnedFd, name: &str, place: &Place<'_>) -> io::Result<()> {
    move_new(stage, OsStr::new(name), place)
}

/// Moves an entry to where nothing is.
fn move_new(dir: &OwnedFd, name: &OsStr, to: &Place<'_>) -> io::Result<()> {
    match renameat_with(dir, name, &to.dir, to.name, RenameFlags::NOREPLACE) {
        // Some network file systems cannot; a hard link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            match linkat(dir, name, &to.dir, to.name, AtFlags::empty()) {
                Ok(()) => Ok(unlinkat(dir, name, AtFlags::empty())?),
                // Without hard links, or for a directory, a look before is all that there is.
                Err(Errno::PERM | Errno::NOSYS | Errno::NOTSUP) => move_after_look(dir, name, to),
                Err(error) => Err(error.into()),
            }
        }
        other => Ok(other?),
    }
}

/// Moves an entry to where nothing was a moment ago.
fn move_after_look(dir: &OwnedFd, name: &OsStr, to: &Place<'_>) -> io::Result<()> {
    match statat(&to.dir, to.name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(renameat(dir, name, &to.dir, to.name)?),
        Ok(_) => Err(Errno::EXIST.into()),
        Err(error) => Err(error.into()),
    }
}
