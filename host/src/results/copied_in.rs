//! What is kept of a run so that its work can be told from what was copied in, by this process or by one that comes after.
//!
//! `<state>/bottles/<run>/copied-in.json`, the index of the copy, and the repository's own index, in which is what git tracks.
//! Written before the agent runs: a run without it has no work that could be lost.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context;
use claude_bottle_plugin_api::{EntryPath, Workspace};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::results::baseline::Baseline;
use crate::results::commits;
use crate::results::ignored::{self, GITIGNORE, Ignored, RuleFile};
use crate::results::model::Base;
use crate::results::repository::Repository;

/// The document.
const DOCUMENT: &str = "copied-in.json";
/// The index of the copy, which the backend writes.
const INDEX: &str = "copied-in.index";
/// A copy of the repository's own index.
const TRACKED: &str = "copied-in.tracked";
/// How much of the rules of what git ignores is kept.
const MAX_RULES: usize = 16 << 20;

/// What is kept besides the index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CopiedIn {
    /// The directory that was copied in.
    pub directory: PathBuf,
    /// What its repository said.
    pub base: Base,
    /// Rules of what git ignores, by their directories.
    pub ignore: Vec<RuleFile>,
    /// The repository's own list, `.git/info/exclude`.
    pub exclude: String,
    /// The user's own list, for every repository.
    pub everywhere: String,
    /// What `.claude-bottleignore` says.
    pub left_out: String,
}

/// Returns where the backend writes the index of a run's copy.
pub fn index(run_dir: &Path) -> PathBuf {
    run_dir.join(INDEX)
}

impl CopiedIn {
    /// Looks at the directory and writes down what is needed later; the index is there already.
    pub fn write(run_dir: &Path, workspace: &Workspace) -> anyhow::Result<Self> {
        let source = &workspace.source;
        let baseline = Baseline::read(&index(run_dir))?;
        let repository = Repository::find(source);
        let text = |path: &Path| read_text(source, path).unwrap_or_default();
        let own = repository.as_ref();
        if let Some(tracked) = own.and_then(|own| fs::read(own.data.join("index")).ok()) {
            fs::write(run_dir.join(TRACKED), tracked).context("keep what git tracks")?;
        }
        let exclude = own.and_then(|own| read_bounded(File::open(own.common.join("info/exclude")).ok()?));
        let copied = Self {
            directory: source.clone(),
            base: own.map(Repository::base).unwrap_or_default(),
            ignore: rules(source, &baseline),
            exclude: exclude.unwrap_or_default(),
            everywhere: workspace.git_ignore.clone(),
            left_out: text(Path::new(Workspace::IGNORE_FILE)),
        };
        let path = run_dir.join(DOCUMENT);
        // Last, and whole or not at all: that it is there means that there may be work.
        let mut file = tempfile::NamedTempFile::new_in(run_dir).context("write what was copied in")?;
        let document = serde_json::to_vec(&copied).context("write what was copied in")?;
        file.write_all(&document).context("write what was copied in")?;
        file.as_file().sync_all().context("write what was copied in")?;
        file.persist(&path).with_context(|| format!("write `{}`", path.display()))?;
        Ok(copied)
    }

    /// Reads it back; `None` if the agent of this run was never started.
    pub fn read(run_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = run_dir.join(DOCUMENT);
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => {
                let text = other.with_context(|| format!("read `{}`", path.display()))?;
                Ok(Some(serde_json::from_slice(&text).with_context(|| format!("read `{}`", path.display()))?))
            }
        }
    }

    /// Removes it, when the run's work is saved.
    pub fn remove(run_dir: &Path) {
        commits::export::remove(run_dir);
        for name in [DOCUMENT, INDEX, TRACKED] {
            match fs::remove_file(run_dir.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, name, "remove a file of a run");
                }
                _ => {}
            }
        }
    }

    /// Returns the rules of what git ignores.
    pub fn ignored(&self) -> Ignored {
        Ignored::new(&self.ignore, &[&self.exclude, &self.everywhere])
    }
}

/// Returns what git tracked.
pub fn tracked(run_dir: &Path) -> HashSet<PathBuf> {
    claude_bottle_kit::tree::tracked(&run_dir.join(TRACKED)).unwrap_or_default()
}

/// Reads the rules of what git ignores from the directory, where they were copied in.
fn rules(source: &Path, baseline: &Baseline) -> Vec<RuleFile> {
    let (mut files, mut bytes) = (Vec::new(), 0);
    let paths = (0..baseline.len()).map(|at| baseline.path(at));
    for path in paths.filter(|path| path.file_name().is_some_and(|name| name == GITIGNORE)) {
        let Some(rules) = read_text(source, path) else { continue };
        bytes += rules.len();
        if bytes > MAX_RULES {
            tracing::warn!("more rules of what git ignores than are kept");
            break;
        }
        let directory = EntryPath::new(path.parent().unwrap_or(Path::new("")));
        files.push(RuleFile { directory, rules });
    }
    files
}

fn read_text(source: &Path, path: &Path) -> Option<String> {
    read_bounded(open_below(source, path).ok()?)
}

fn read_bounded(file: File) -> Option<String> {
    let mut bytes = Vec::new();
    file.take(ignored::MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a regular file below a directory, and follows no link on the way.
pub fn open_below(directory: &Path, path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut at: OwnedFd = openat(CWD, directory, flags | OFlags::DIRECTORY, Mode::empty())?;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let kind = if parts.peek().is_some() { OFlags::DIRECTORY } else { OFlags::empty() };
        at = openat(at.as_fd(), part.as_os_str(), flags | kind | OFlags::NOFOLLOW, Mode::empty())?;
    }
    let file = File::from(at);
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::ErrorKind::InvalidInput.into()) }
}
