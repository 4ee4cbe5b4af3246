//! Saves what an agent changed: the export of its bottle against what was copied in, into the store.
//!
//! The bottle is halted by the caller; it is closed only after this has returned that nothing is lost.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use claude_bottle_egress_policy::GuardSecrets;
use claude_bottle_plugin_api::{Bottle, ExportRequest, Exported};
use serde::{Deserialize, Serialize};

use crate::results::archive::Archive;
use crate::results::baseline::{Baseline, Indexer};
use crate::results::changes;
use crate::results::collect::{Collected, Collector, Known, Learnt, MAX_CHANGES};
use crate::results::commits;
use crate::results::commits::look::Against;
use crate::results::contents::Contents;
use crate::results::copied_in::{self, CopiedIn};
use crate::results::draft::{self, Draft};
use crate::results::export::{ExportError, export};
use crate::results::inspect::inspect;
use crate::results::marks::{self, Before, hooks};
use crate::results::model::{Change, LeftOut, Origin, SavedResult, Sealed, VERSION};
use crate::results::renames;
use crate::results::store::{Saved, Store};
use crate::results::stream::{Content, MAX_ENTRIES, Place, Sink};
use crate::run::backend::Backend;
use crate::run::records::{Record, Runs};

/// The agent's repository, as far as it is not as it was copied in.
pub(super) const GIT: &str = "git.tar";
/// What the agent remembers of its sessions.
pub(super) const HISTORY: &str = "history.tar";
/// How often an export is read: once, and again for contents that were passed over.
const MAX_READINGS: usize = 4;

/// What is saved of a run; part of its record, so that any process can do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The directory that was copied in.
    pub directory: PathBuf,
    /// Where in it the agent starts.
    #[serde(default)]
    pub start: PathBuf,
    /// Whether what the host's git ignores is saved too.
    #[serde(default)]
    pub ignored: bool,
    /// Paths below the home in which the agent keeps its history.
    #[serde(default)]
    pub history: Vec<PathBuf>,
    /// The run whose result the bottle goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<String>,
    /// Whether the bottle was granted a secret, whose value is nowhere but in the process of the run.
    #[serde(default = "yes")]
    pub has_secrets: bool,
}

/// A record that does not say is of a bottle that may have one.
fn yes() -> bool {
    true
}

/// How much a result may have.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    bytes: u64,
    changes: usize,
}

impl Default for Most {
    fn default() -> Self {
        Self { bytes: draft::MAX_BYTES, changes: MAX_CHANGES }
    }
}

impl Most {
    /// Takes the user's word for how much there may be, in bytes.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { bytes, changes: usize::try_from(MAX_ENTRIES).unwrap_or(usize::MAX) }
    }
}

/// A bottle whose work is saved.
pub struct Work<'a> {
    /// Its backend.
    pub backend: &'a Backend,
    /// Where records are kept.
    pub runs: &'a Runs,
    /// Where results are kept.
    pub store: &'a Store,
    /// The record of its run.
    pub record: &'a Record,
    /// The bottle.
    pub bottle: &'a Bottle,
}

impl Work<'_> {
    /// Saves the work as the result `name`; `None` if nothing changed, or the agent was never started.
    ///
    /// # Errors
    /// Fails if anything of it could not be saved; nothing is kept then, and the bottle must stay.
    pub fn save(&self, name: &str, most: Most) -> anyhow::Result<Option<Saved>> {
        let run_dir = self.runs.dir(&self.record.id);
        let Some(wanted) = &self.record.saves else { return Ok(None) };
        let Some(copied) = CopiedIn::read(&run_dir)? else { return Ok(None) };
        let known = Known {
            baseline: Baseline::read(&copied_in::index(&run_dir))?,
            ignored: (!wanted.ignored).then(|| copied.ignored()),
            tracked: copied_in::tracked(&run_dir),
        };
        let mut learnt = Learnt::default();
        for _ in 0..MAX_READINGS {
            let mut draft = Draft::begin(self.store, name, most.bytes)?;
            let mut git = draft.seal(GIT)?;
            match self.collect(&known, (&mut draft, &mut git), &learnt, most)? {
                Ok((collected, exported)) => {
                    return self.keep(name, &copied, (draft, git), (collected, exported), known);
                }
                Err(more) => learnt = more,
            }
        }
        bail!("the bottle's files are different each time that they are read")
    }

    /// Reads the export once.
    fn collect(
        &self,
        known: &Known,
        (draft, git): (&mut Draft, &mut Archive),
        learnt: &Learnt,
        most: Most,
    ) -> anyhow::Result<Result<(Collected, Exported), Learnt>> {
        let mut collector = Collector::new(known, draft, git, learnt).with_most(most.changes);
        let exported = export(self.backend, self.bottle, ExportRequest::workspace, &mut collector)
            .map_err(ExportError::into_error)?;
        Ok(collector.finish().map(|collected| (collected, exported)))
    }

    /// Writes the result of what was collected.
    fn keep(
        &self,
        name: &str,
        copied: &CopiedIn,
        (mut draft, git): (Draft, Archive),
        (mut collected, exported): (Collected, Exported),
        known: Known,
    ) -> anyhow::Result<Option<Saved>> {
        let is_unchanged = collected.changes.is_empty()
            && collected.left_out.refused.is_empty()
            && collected.left_out.worktrees.is_empty()
            && !collected.has_own_refs;
        let mut left_out = std::mem::take(&mut collected.left_out);
        left_out.skipped =
            exported.skipped.iter().map(|fact| format!("{}: {}", fact.label, fact.value)).collect();
        let history = self.history(&draft, &mut left_out)?;
        // What was said there since is worth as much as before.
        let is_resumed = self.record.saves.as_ref().is_some_and(|wanted| wanted.resumes.is_some());
        let is_kept = self.record.keeps && name == self.record.id;
        if is_unchanged && !is_resumed && !is_kept && history.is_none() {
            return Ok(None);
        }
        draft.check_bound()?;
        renames::find_same(&mut collected.changes);
        changes::note_ignored_by_agent(&mut collected, copied, &known.tracked);
        draft.retain(&changes::contents(&collected.changes))?;
        changes::note_withheld(&mut collected.changes, copied, known.tracked, &draft)?;
        changes::keep_bases(&mut collected.changes, copied, &mut draft)?;
        let contents = Contents::new(draft.dir());
        renames::find_alike(&mut collected.changes, &contents).context("look for renamed files")?;
        let secrets = self.secrets();
        let before = Before {
            files: known.baseline.files(),
            hooks: hooks::directories(&copied.directory, &std::env::home_dir().unwrap_or_default()),
            repositories: repositories(&known.baseline),
        };
        inspect(&mut collected.changes, &contents, &before, secrets.as_ref())
            .context("look at what changed")?;
        left_out.sealed |= git.is_over_bound();
        let sealed: Vec<_> = draft.sealed(GIT, git)?.into_iter().chain(history).collect();
        let had = |path: &Path| known.baseline.find(path).is_some();
        let (files, secrets) = (collected.changes.as_slice(), secrets.as_ref());
        let against = |base| Against { base, had: &had, files, before: &before, secrets };
        let commits = match &copied.base.head {
            Some(head) => {
                let run_dir = self.runs.dir(&self.record.id);
                commits::keep(&run_dir, draft.dir(), against(head), &mut left_out.skipped)?
            }
            None => None,
        };
        let result = self.document(name, copied, (collected.changes, left_out, sealed));
        let origin = self.origin(exported.start);
        let (secrets_checked, gone) = (secrets.is_some(), collected.gone);
        let kept = is_kept.then_some(exported.bytes);
        draft.finish(SavedResult { origin, secrets_checked, gone, commits, kept, ..result }).map(Some)
    }

    /// Returns the values to search for; `None` if there are some, and this process does not have them.
    fn secrets(&self) -> Option<GuardSecrets> {
        let has_none = self.record.saves.as_ref().is_some_and(|wanted| !wanted.has_secrets);
        self.backend.granted().or_else(|| has_none.then(GuardSecrets::default))
    }

    fn origin(&self, start: Option<String>) -> Origin {
        let wanted = self.record.saves.as_ref();
        Origin {
            below: wanted.map(|wanted| wanted.start.clone()).unwrap_or_default(),
            start,
            resumed: wanted.and_then(|wanted| wanted.resumes.clone()),
        }
    }

    fn document(
        &self,
        name: &str,
        copied: &CopiedIn,
        (files, left_out, sealed): (Vec<Change>, LeftOut, Vec<Sealed>),
    ) -> SavedResult {
        let record = self.record;
        let saved = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let complete = left_out.refused.is_empty() && left_out.worktrees.is_empty();
        SavedResult {
            version: VERSION,
            run: name.to_owned(),
            name: record.name.clone(),
            agent: record.agent.clone(),
            bottle: record.bottle.clone(),
            backend: record.backend.clone(),
            directory: copied.directory.clone(),
            base: copied.base.clone(),
            saved_unix: saved.as_secs(),
            complete,
            secrets_checked: false,
            files,
            left_out,
            origin: Origin::default(),
            sealed,
            commits: None,
            gone: Vec::new(),
            kept: None,
            digest: String::new(),
        }
    }

    /// Seals what the agent remembers. It is not its work: what cannot be had of it is said, and holds nothing up.
    fn history(&self, draft: &Draft, left_out: &mut LeftOut) -> anyhow::Result<Option<Sealed>> {
        let paths = self.record.saves.as_ref().map(|wanted| wanted.history.clone()).unwrap_or_default();
        if paths.is_empty() {
            return Ok(None);
        }
        let mut sink = Sealing { archive: draft.seal(HISTORY)?, has_files: false };
        let request = |stream| ExportRequest::history(paths, stream);
        let exported = export(self.backend, self.bottle, request, &mut sink);
        left_out.sealed |= sink.archive.is_over_bound();
        match exported {
            Ok(_) if sink.has_files => return draft.sealed(HISTORY, sink.archive),
            // Directories that nothing was put into remember nothing.
            Ok(_) => {}
            Err(error) => {
                let error = error.into_error();
                tracing::warn!("the agent's history is not saved: {error:#}");
                left_out.skipped.push(format!("the agent's history: {error:#}"));
            }
        }
        drop(sink);
        std::fs::remove_file(draft.dir().join(crate::results::store::SEALED).join(HISTORY))
            .context("remove what was written of the agent's history")?;
        Ok(None)
    }
}

/// Returns the directories that git may have taken for repositories.
fn repositories(baseline: &Baseline) -> Vec<PathBuf> {
    let paths = (0..baseline.len()).map(|at| baseline.path(at));
    paths.filter_map(marks::repository_of).map(PathBuf::from).collect()
}

/// Puts everything into an archive that nothing opens here.
struct Sealing {
    archive: Archive,
    has_files: bool,
}

impl Sink for Sealing {
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()> {
        let path = place.path();
        match content {
            Content::Directory => self.archive.directory(path),
            Content::File { size, executable } => {
                self.has_files = true;
                self.archive.file(path, executable, size, contents)
            }
            Content::Link { target } => self.archive.link(path, &target),
            // A second name of a file: what remembers sessions has none.
            Content::Same { .. } | Content::Special => Ok(()),
        }
        .context("write the sealed history")
    }
}

/// Writes down what was copied in, before the agent runs.
///
/// # Errors
/// Fails if that cannot be found out: what the agent does could not be told from what was there.
pub fn remember(
    backend: &Backend,
    bottle: &Bottle,
    run_dir: &std::path::Path,
    workspace: &claude_bottle_plugin_api::Workspace,
    wanted: &Wanted,
) -> anyhow::Result<()> {
    let index = copied_in::index(run_dir);
    if !index.exists() {
        if wanted.resumes.is_some() {
            bail!("the backend does not say what was copied in apart from what was put back over it");
        }
        let file = std::fs::File::create(&index).with_context(|| format!("write `{}`", index.display()))?;
        let mut indexer = Indexer::new(file);
        let exported = export(backend, bottle, ExportRequest::workspace, &mut indexer);
        let written = exported.map_err(ExportError::into_error).and_then(|_| Ok(indexer.finish()?));
        if written.is_err() {
            drop(std::fs::remove_file(&index));
        }
        written.context("find out what was copied in, without which changes cannot be told")?;
    }
    CopiedIn::write(run_dir, workspace).map(drop)
}
