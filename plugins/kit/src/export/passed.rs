//! The answer to `export`, for a backend whose engine has archives of its own: they are passed on entry by entry.
//!
//! The engine is trusted with the form of its archives, and an agent with nothing that they say: owners and set-id bits go, and
//! devices are left out.

use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Call, ExportRequest, ExportWhat, Exported, Result};
use tar::EntryType;

use super::{Archive, BUFFER, Stream, TOP, failure, replaced};
use crate::tree::{Entry, Found, Survey, TreeError};

/// An archive of an engine's, and where below the top directory its own top goes; empty for that directory itself.
#[derive(Debug)]
pub struct Part<R> {
    /// The archive.
    pub content: R,
    /// The place.
    pub place: PathBuf,
}

/// Writes all entries of the parts to the request's stream, as they come.
///
/// # Errors
/// Fails when the agent has put something else in the place of its working directory, when a part breaks off, and when the
/// reader ends it.
pub fn pass<R: Read>(
    call: &Call,
    request: &ExportRequest,
    parts: impl IntoIterator<Item = Result<Part<R>>>,
) -> Result<Exported> {
    let mut sink = BufWriter::with_capacity(BUFFER, Stream { call, file: request.stream()? });
    let mut archive = Archive::new(call, &mut sink);
    if request.what == ExportWhat::History {
        archive.add_dir(Path::new(""))?;
    }
    for part in parts {
        archive.pass(part?)?;
    }
    archive.finish()
}

impl Archive<'_> {
    fn pass<R: Read>(&mut self, part: Part<R>) -> Result<()> {
        let (mut survey, mut is_first) = (Survey::default(), true);
        let broken = |source| TreeError::Read { path: PathBuf::from("the engine's archive"), source };
        let mut from = tar::Archive::new(part.content);
        for entry in from.entries().map_err(|error| self.failure(broken(error)))? {
            let mut entry = entry.map_err(|error| self.failure(broken(error)))?;
            let kind = entry.header().entry_type();
            if is_first && !self.begins(&part.place, kind)? {
                return Ok(());
            }
            let below: PathBuf = below_top(&path_of(&entry.path_bytes()));
            let target = Path::new(TOP).join(&part.place).join(&below);
            let given = Entry {
                owner: (0, 0),
                mode: entry.header().mode().unwrap_or(0),
                mtime: entry.header().mtime().unwrap_or(0),
            };
            let link = entry.link_name_bytes().map(|target| path_of(&target)).unwrap_or_default();
            let written = match kind {
                EntryType::Regular | EntryType::Continuous => {
                    survey.amount.bytes += entry.size();
                    let size = entry.size();
                    self.writer.content(&target, given, size, &mut entry)
                }
                EntryType::Directory => self.writer.dir(&target, given),
                EntryType::Symlink => self.writer.link(&target, given, &link),
                EntryType::Link => {
                    let link = Path::new(TOP).join(&part.place).join(below_top(&link));
                    self.writer.hard_link(&target, given, &link)
                }
                _ => {
                    note(&mut survey.special, &part.place.join(below));
                    continue;
                }
            };
            written.map_err(|error| failure(self.call, error))?;
            // The top of all is not counted.
            survey.amount.entries += u64::from(!is_first || !part.place.as_os_str().is_empty());
            is_first = false;
        }
        self.count(&survey, survey.amount.entries);
        Ok(())
    }

    /// Looks at the first entry of a part: a directory, or a file of the history. Returns whether the part is passed on.
    fn begins(&mut self, place: &Path, kind: EntryType) -> Result<bool> {
        match kind {
            EntryType::Directory => {}
            _ if place.as_os_str().is_empty() => return Err(replaced()),
            EntryType::Regular => {}
            _ => return Ok(false),
        }
        self.lead_to(place.parent().unwrap_or(place))?;
        Ok(true)
    }
}

/// Notes what is left out.
fn note(found: &mut Found, path: &Path) {
    found.count += 1;
    if found.first.len() < 3 {
        found.first.push(path.to_owned());
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Returns a path without its first name, which the engine takes from what was asked for.
fn below_top(path: &Path) -> PathBuf {
    path.components().skip(1).collect()
}
