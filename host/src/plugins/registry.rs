//! The list of backends, and the way to one of them.

use std::error::Error;
use std::path::PathBuf;

use claude_bottle_plugin_api::ContractVersion;
use serde::Serialize;

use super::find::Candidate;
use super::guard::{self, Guarded, Identity};
use super::preflight::{self, Inspection};
use super::{Loaded, Origin, Pins, PluginError, SearchPath, find, load, pin, printable};

/// A backend as `plugin list` shows it; none of its code has run.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The backend's name, from the file's name.
    pub name: String,
    /// The plug-in's version, when its note could be read.
    pub version: Option<String>,
    /// The contract it was built with.
    pub contract: Option<ContractVersion>,
    /// The file, without links where it could be resolved.
    pub path: PathBuf,
    /// Which part of the search path it is in.
    pub origin: Origin,
    /// Its hash, when it could be read.
    pub sha256: Option<String>,
    /// Whether the name is pinned.
    pub pinned: bool,
    /// Whether it can be loaded, as far as that can be known without loading it.
    #[serde(flatten)]
    pub status: Status,
    /// The libraries it needs.
    pub needed: Vec<String>,
    /// The compiler that made it.
    pub compiler: Option<String>,
    /// Files of the same backend further on in the search path, which are not used.
    pub shadowed: Vec<PathBuf>,
}

/// Whether a file can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Status {
    /// Nothing speaks against it. Only loading it shows whether its libraries are there.
    Usable,
    /// It will not be loaded.
    Refused {
        /// A short stable name of the case.
        code: &'static str,
        /// Why, outermost cause first.
        reason: String,
        /// What to do.
        hints: Vec<String>,
    },
}

impl Status {
    fn of(error: &PluginError) -> Self {
        let chain = std::iter::successors(error.source(), |error: &&dyn Error| (*error).source());
        let causes: Vec<_> = chain.map(ToString::to_string).collect();
        // The path is in the entry itself, so the cause alone says enough where there is one.
        let reason = if causes.is_empty() { error.to_string() } else { causes.join(": ") };
        Self::Refused { code: error.code(), reason, hints: error.hints() }
    }
}

/// Lists every backend that a file stands for, by name. A broken file is an entry like the others.
pub fn list(search: &SearchPath, pins: &Pins) -> Vec<Entry> {
    let entry = |(_, candidates): (String, Vec<Candidate>)| {
        let mut candidates = candidates.into_iter();
        let first = candidates.next()?;
        let shadowed = candidates.map(|candidate| candidate.path).collect();
        Some(describe(&first, shadowed, search.identity(), pins))
    };
    search.scan().into_iter().filter_map(entry).collect()
}

/// Loads the backend `name`: finds its file, judges it, compares its pin, maps it.
///
/// # Errors
/// Says which file it is, what is wrong with it, and what is needed.
pub fn load(search: &SearchPath, pins: &Pins, name: &str) -> Result<Loaded, PluginError> {
    let candidates = search.candidates(name)?;
    let first = candidates.first().ok_or_else(|| search.not_found(name))?;
    let checked = check(first, search.identity(), pins)?;
    let note = checked.inspection.note;
    let path = checked.guarded.path.clone();
    let loaded = load::load(&checked.guarded, note).map_err(|source| PluginError::Load { path, source })?;
    tracing::debug!("loaded {loaded}");
    Ok(loaded)
}

/// Loads the plug-in in a file the user named, whatever its search path; the file's name still has to fit its note.
///
/// # Errors
/// As [`load()`].
pub fn load_file(file: PathBuf, identity: &Identity, pins: &Pins) -> Result<Loaded, PluginError> {
    let file = std::path::absolute(&file).map_err(|source| PluginError::Read { path: file, source })?;
    let name = file.file_name().and_then(|name| find::backend_of(name.to_str()?)).unwrap_or_default();
    find::check_name(&name)?;
    let candidate = Candidate { name, path: file, origin: Origin::PluginPath };
    let checked = check(&candidate, identity, pins)?;
    let path = checked.guarded.path.clone();
    load::load(&checked.guarded, checked.inspection.note).map_err(|source| PluginError::Load { path, source })
}

/// Returns the hash of the file that stands for a backend now, to pin it. The file has passed every other check.
///
/// # Errors
/// As [`load()`], but for the pin itself and for what only loading shows.
pub fn hash(search: &SearchPath, name: &str) -> Result<String, PluginError> {
    let candidates = search.candidates(name)?;
    let first = candidates.first().ok_or_else(|| search.not_found(name))?;
    let checked = check(first, search.identity(), &Pins::default())?;
    hash_of(&checked.guarded)
}

struct Checked {
    guarded: Guarded,
    inspection: Inspection,
}

/// Judges a file up to the point where its code would run.
fn check(candidate: &Candidate, identity: &Identity, pins: &Pins) -> Result<Checked, PluginError> {
    let guarded = guard::open(&candidate.path, identity)
        .map_err(|source| PluginError::Guard { path: candidate.path.clone(), source })?;
    let unfit = |source| PluginError::Preflight { path: guarded.path.clone(), source };
    let inspection = preflight::inspect(&guarded.file).map_err(unfit)?;
    preflight::judge(&inspection.note, &candidate.name).map_err(unfit)?;
    check_pin(&guarded, &candidate.name, pins)?;
    Ok(Checked { guarded, inspection })
}

fn check_pin(guarded: &Guarded, name: &str, pins: &Pins) -> Result<(), PluginError> {
    let Some(expected) = pins.get(name) else { return Ok(()) };
    let found = hash_of(guarded)?;
    if found == expected {
        return Ok(());
    }
    let (path, expected) = (guarded.path.clone(), expected.to_owned());
    Err(PluginError::Pin { path, name: name.to_owned(), expected, found })
}

fn hash_of(guarded: &Guarded) -> Result<String, PluginError> {
    pin::hash(&guarded.file).map_err(|source| PluginError::Read { path: guarded.path.clone(), source })
}

/// Makes the entry of a file; what the file says is shown also when it will not be loaded.
fn describe(candidate: &Candidate, shadowed: Vec<PathBuf>, identity: &Identity, pins: &Pins) -> Entry {
    let valid = find::check_name(&candidate.name);
    let verdict = valid.and_then(|()| check(candidate, identity, pins).map(drop));
    let guarded = guard::open(&candidate.path, identity).ok();
    let inspection = guarded.as_ref().and_then(|guarded| preflight::inspect(&guarded.file).ok());
    let (note, needed, compiler) = match inspection {
        Some(Inspection { note, needed, compiler }) => (Some(note), needed, compiler),
        None => (None, Vec::new(), None),
    };
    Entry {
        name: printable(&candidate.name),
        version: note.as_ref().map(|note| note.version.clone()),
        contract: note.map(|note| note.contract),
        sha256: guarded.as_ref().and_then(|guarded| pin::hash(&guarded.file).ok()),
        path: guarded.map_or_else(|| candidate.path.clone(), |guarded| guarded.path),
        origin: candidate.origin,
        pinned: pins.get(&candidate.name).is_some(),
        status: verdict.map_or_else(|error| Status::of(&error), |()| Status::Usable),
        needed: needed.iter().map(|library| printable(library)).collect(),
        compiler: compiler.as_deref().map(printable),
        shadowed,
    }
}
