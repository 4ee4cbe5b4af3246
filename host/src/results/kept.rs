//! Out of a bottle that is kept: what git ignores there, which no result has, goes into a later bottle as well.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use claude_bottle_plugin_api::{Bottle, EntryKind, ExportRequest};

use crate::results::archive::Archive;
use crate::results::baseline::Baseline;
use crate::results::copied_in::{self, CopiedIn};
use crate::results::export::{ExportError, export};
use crate::results::ignored::Ignored;
use crate::results::model::{Count, SavedResult};
use crate::results::stream::{Content, Place, Sink};
use crate::run::backend::Backend;

/// A bottle that is kept.
pub struct Kept<'a> {
    /// Its backend.
    pub backend: &'a Backend,
    /// The bottle.
    pub bottle: &'a Bottle,
    /// The directory of its run.
    pub run_dir: &'a Path,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Added {
    /// How much of it there is.
    pub count: Count,
    /// What was copied in of it, and is gone.
    pub gone: Vec<PathBuf>,
}

impl Kept<'_> {
    /// Adds to an archive what git ignores and the result does not have; `scratch` is a directory for a moment's files.
    ///
    /// # Errors
    /// Fails if not all of it could be read.
    pub fn add(&self, result: &SavedResult, archive: &mut Archive, scratch: &Path) -> anyhow::Result<Added> {
        let Some(copied) = CopiedIn::read(self.run_dir)? else { bail!("it is not known what was copied in") };
        let baseline = Baseline::read(&copied_in::index(self.run_dir))?;
        let known = Known {
            ignored: copied.ignored(),
            tracked: copied_in::tracked(self.run_dir),
            saved: result.files.iter().map(|file| file.path.as_path()).collect(),
        };
        let mut seen = HashSet::new();
        let (added, names) = {
            let mut taking = Taking {
                known: &known,
                archive,
                seen: &mut seen,
                added: Added::default(),
                names: Vec::new(),
            };
            self.export(&mut taking)?;
            (taking.added, taking.names)
        };
        if !names.is_empty() {
            self.add_names(names, archive, scratch)?;
        }
        let is_gone = |path: &&Path| !seen.contains(*path);
        let paths = (0..baseline.len()).map(|at| (baseline.path(at), baseline.side(at).kind));
        let ignored = paths.filter(|(path, kind)| known.has(path, *kind == EntryKind::Directory));
        let gone = ignored.map(|(path, _)| path).filter(is_gone).map(Path::to_owned).collect();
        Ok(Added { gone, ..added })
    }

    /// Adds files that are second names of others, whose contents are read once more.
    fn add_names(
        &self,
        names: Vec<(PathBuf, PathBuf)>,
        archive: &mut Archive,
        scratch: &Path,
    ) -> anyhow::Result<()> {
        let first: HashMap<_, _> = names.iter().cloned().collect();
        let mut wanted: HashMap<PathBuf, Vec<PathBuf>> = HashMap::new();
        for (path, earlier) in names {
            // A name may be of a name.
            let mut at = &earlier;
            while let Some(before) = first.get(at) {
                at = before;
            }
            wanted.entry(at.clone()).or_default().push(path);
        }
        let mut naming = Naming { wanted, archive, scratch };
        self.export(&mut naming)?;
        match naming.wanted.keys().next() {
            Some(path) => bail!("`{}` has a second name and cannot be read", path.display()),
            None => Ok(()),
        }
    }

    fn export(&self, sink: &mut (dyn Sink + Send)) -> anyhow::Result<()> {
        let exported = export(self.backend, self.bottle, ExportRequest::workspace, sink);
        exported.map(drop).map_err(ExportError::into_error)
    }
}

/// What decides whether a path is taken.
struct Known<'a> {
    ignored: Ignored,
    tracked: HashSet<PathBuf>,
    saved: HashSet<&'a Path>,
}

impl Known<'_> {
    fn has(&self, path: &Path, is_directory: bool) -> bool {
        !self.saved.contains(path) && !self.tracked.contains(path) && self.ignored.has(path, is_directory)
    }
}

/// Takes what git ignores, and notes second names.
struct Taking<'a> {
    known: &'a Known<'a>,
    archive: &'a mut Archive,
    seen: &'a mut HashSet<PathBuf>,
    added: Added,
    names: Vec<(PathBuf, PathBuf)>,
}

impl Sink for Taking<'_> {
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()> {
        let Place::Tree(path) = place else { return Ok(()) };
        if !self.known.has(&path, content == Content::Directory) {
            return Ok(());
        }
        match content {
            Content::Directory => self.archive.directory(&path),
            Content::Link { target } => self.archive.link(&path, &target),
            Content::File { size, executable } => {
                let count = &mut self.added.count;
                (count.files, count.bytes) = (count.files + 1, count.bytes + size);
                self.archive.file(&path, executable, size, contents)
            }
            Content::Same { earlier } => {
                self.added.count.files += 1;
                self.names.push((path.clone(), earlier));
                Ok(())
            }
            Content::Special => return Ok(()),
        }
        .context("write what git ignores")?;
        self.seen.insert(path);
        Ok(())
    }
}

/// Gives contents to second names.
struct Naming<'a> {
    wanted: HashMap<PathBuf, Vec<PathBuf>>,
    archive: &'a mut Archive,
    scratch: &'a Path,
}

impl Sink for Naming<'_> {
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()> {
        let Content::File { size, executable } = content else { return Ok(()) };
        let Some(names) = self.wanted.remove(place.path()) else { return Ok(()) };
        let mut file = tempfile::tempfile_in(self.scratch).context("make a file for contents")?;
        io::copy(contents, &mut file).context("keep contents for a moment")?;
        for name in names {
            io::Seek::rewind(&mut file).context("read contents again")?;
            self.archive.file(&name, executable, size, &file as &File).context("write what git ignores")?;
        }
        Ok(())
    }
}
