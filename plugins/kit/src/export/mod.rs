//! The answer to `export`, for a backend whose bottles are directories of this machine.

mod passed;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use claude_bottle_plugin_api::{
    Call, ExportRequest, ExportWhat, Exported, Fact, Failure, FailureKind, Result,
};

use crate::tree::{self, Entry, Survey, TarWriter, TreeError};
use crate::workspace::named;

pub use passed::{Part, pass};

/// How much is collected before it goes to the stream.
const BUFFER: usize = 256 << 10;
/// The top directory of an archive.
const TOP: &str = "bottle";
/// What a directory is given that only leads to another.
const LEADING: Entry = Entry { owner: (0, 0), mode: 0o755, mtime: 0 };

/// Where a bottle's files are on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The bottle's own directory, which is this program's.
    pub bottle: &'a Path,
    /// The copy of the working directory, below it.
    pub workspace: &'a Path,
    /// The agent's home, below it.
    pub home: &'a Path,
}

/// Writes what is asked for to the request's stream.
///
/// # Errors
/// Fails when the agent has put something else in the place of its working directory, when something cannot be read, and when
/// the reader ends it.
pub fn export(call: &Call, places: Places<'_>, request: &ExportRequest) -> Result<Exported> {
    let mut sink = BufWriter::with_capacity(BUFFER, Stream { call, file: request.stream()? });
    let mut archive = Archive::new(call, &mut sink);
    match request.what {
        ExportWhat::Workspace => archive.workspace(places)?,
        ExportWhat::History => archive.history(places, &request.paths)?,
        _ => return Err(Failure::unsupported("export")),
    }
    archive.finish()
}

/// Makes the error of something else in the place of the working directory's copy.
fn replaced() -> Failure {
    let message = "the agent replaced its working directory by something else, or removed it";
    Failure::new(FailureKind::NotFound, message)
}

/// An archive that is being written.
struct Archive<'a> {
    call: &'a Call,
    writer: TarWriter<'a>,
    exported: Exported,
    /// Directories that lead to others, and were written.
    led_to: BTreeSet<PathBuf>,
}

impl<'a> Archive<'a> {
    fn new(call: &'a Call, sink: &'a mut dyn Write) -> Self {
        Self { call, writer: TarWriter::new(sink), exported: Exported::default(), led_to: BTreeSet::new() }
    }

    fn finish(self) -> Result<Exported> {
        let Self { call, writer, exported, .. } = self;
        writer.finish().map_err(|error| failure(call, error))?;
        Ok(exported)
    }

    fn workspace(&mut self, places: Places<'_>) -> Result<()> {
        let opened =
            tree::open_below(places.bottle, places.workspace).map_err(|error| self.failure(error))?;
        let from = opened.ok_or_else(replaced)?;
        let survey = tree::export(&mut self.writer, &from, Path::new(TOP));
        let survey = survey.map_err(|error| self.failure(error))?;
        self.count(&survey, survey.amount.entries.saturating_sub(1));
        Ok(())
    }

    fn history(&mut self, places: Places<'_>, paths: &[PathBuf]) -> Result<()> {
        self.add_dir(Path::new(""))?;
        for path in &outermost(paths)? {
            // A directory, or else a file in one.
            let above = path.parent().unwrap_or(path);
            if let Some(from) = self.open(places, path)? {
                self.lead_to(above)?;
                let survey = tree::export(&mut self.writer, &from, &Path::new(TOP).join(path));
                let survey = survey.map_err(|error| self.failure(error))?;
                self.count(&survey, survey.amount.entries);
            } else if let (Some(from), Some(name)) = (self.open(places, above)?, path.file_name()) {
                self.lead_to(above)?;
                let written = tree::export_file(&mut self.writer, &from, name, &Path::new(TOP).join(path));
                let amount = written.map_err(|error| self.failure(error))?.unwrap_or_default();
                self.count(&Survey { amount, ..Survey::default() }, amount.entries);
            }
        }
        Ok(())
    }

    fn open(&self, places: Places<'_>, path: &Path) -> Result<Option<tree::Below>> {
        let opened = tree::open_below(places.bottle, &places.home.join(path));
        opened.map_err(|error| self.failure(error))
    }

    /// Writes the directories that lead to a path of the home, once each.
    fn lead_to(&mut self, path: &Path) -> Result<()> {
        let mut leading: Vec<_> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        leading.reverse();
        for above in leading {
            if self.led_to.insert(above.to_owned()) {
                self.add_dir(above)?;
                self.exported.entries += 1;
            }
        }
        Ok(())
    }

    fn add_dir(&mut self, path: &Path) -> Result<()> {
        self.writer.dir(&Path::new(TOP).join(path), LEADING).map_err(|error| self.failure(error))
    }

    fn count(&mut self, survey: &Survey, entries: u64) {
        self.exported.entries += entries;
        self.exported.bytes += survey.amount.bytes;
        for (found, label) in
            [(&survey.special, "sockets, FIFOs and devices"), (&survey.too_deep, "nested too deep")]
        {
            if found.count > 0 {
                self.exported.skipped.push(Fact::new(label, named(found)));
            }
        }
    }

    fn failure(&self, error: TreeError) -> Failure {
        failure(self.call, error)
    }
}

/// Returns what a request asks for: the absolute path of each part inside, and where it is in the archive.
///
/// # Errors
/// Fails on a path that is not below the home, and on what this version does not know.
pub fn wanted(request: &ExportRequest, workspace: &Path, home: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    match request.what {
        ExportWhat::Workspace => Ok(vec![(workspace.to_owned(), PathBuf::new())]),
        ExportWhat::History => {
            let paths = outermost(&request.paths)?;
            Ok(paths.into_iter().map(|path| (home.join(&path), path)).collect())
        }
        _ => Err(Failure::unsupported("export")),
    }
}

/// Checks paths of the home, and returns them without those that are in another one.
fn outermost(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut kept: Vec<PathBuf> = Vec::new();
    let mut sorted: Vec<&PathBuf> = paths.iter().collect();
    sorted.sort();
    for path in sorted {
        let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_below || path.as_os_str().is_empty() {
            let shown = path.as_os_str().as_encoded_bytes().escape_ascii();
            return Err(Failure::new(
                FailureKind::Invalid,
                format!("`{shown}` is not a path below the home"),
            ));
        }
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path.clone());
        }
    }
    Ok(kept)
}

/// Classifies a failure to write: the host may have ended it.
fn failure(call: &Call, error: TreeError) -> Failure {
    match &error {
        _ if call.cancelled() => Failure::cancelled(),
        TreeError::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
            Failure::new(FailureKind::Cancelled, "the archive's reader has ended it")
        }
        TreeError::Write { .. } => Failure::from(error).context("cannot write the archive"),
        _ => error.into(),
    }
}

/// The stream of an export, which ends when the call is cancelled.
struct Stream<'a> {
    call: &'a Call,
    file: File,
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.call.cancelled() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
