//! The manifest: what the user wrote, read from `claude-bottle.yaml`, `.yml` or `.json` in the home directory and in
//! the working directory, checked once, and told apart by where it came from.
//!
//! A file goes through these modules in this order: `read` (bytes to text), `yaml` or `json` (text to nodes with
//! places), `check` (nodes to types that cannot be wrong), `load` (both files together). Every problem is kept and
//! told at once (`problem`). Invariant: nothing here reads the environment, asks, or prints; paths are arguments.

mod allow;
mod check;
mod claude_name;
mod defaults;
mod excerpt;
mod json;
mod keys;
mod load;
mod mask;
mod model;
mod names;
mod node;
mod problem;
mod project;
mod raw;
mod read;
mod resolve;
mod schema;
mod secret;
mod source;
mod suggest;
mod write;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::profile::Profiles;
use crate::trust::Trust;
use load::{Candidate, Wanted};

pub use allow::{add_rules, as_entry};
pub(crate) use check::{obstacle, open_regular};
pub use defaults::{DEFAULTS_FILE, Defaults};
pub use model::{
    Agent, AgentName, AuthorityFile, BackendOption, Bottle, BottleName, ClaudeFile, Egress, EnvEntry,
    EnvName, EnvSource, Forward, GitIdentity, Limits, Origin, PrivateRange, ProxyKind, SetupStep, Skill,
    SkillName, SshHost, StaticHost, Tool, Upstream, UpstreamSource, VariableName, WorkspacePlace,
};
pub use names::{NameError, RESERVED_VARIABLES, check_slug, slugified};
pub use problem::{ManifestErrors, Problem, ProblemKind};
pub use project::{Project, own_directory, unread};
pub use read::{FILE_NAMES, MAX_FILE_SIZE};
pub use resolve::{ProjectFile, ResolvedAgent, UnknownAgent};
pub use schema::schema;
pub use secret::{SecretEntry, SecretSource, SecretUse, TokenSource};
pub use suggest::{listed, nearest};
pub use write::{Added, Format, NewAgent, NewBottle, WriteError, add_agent, replace_file};

/// Where manifests are looked for.
#[derive(Debug, Clone)]
pub struct Locations {
    /// The user's home directory, which `~/` in a manifest means.
    pub home: PathBuf,
    /// Where the user's own manifest is, as [`own_directory`] says: the home directory, or that of the user's settings.
    pub own: PathBuf,
    /// The project's directory, which is the working directory or one above: its manifest may be a stranger's.
    pub cwd: PathBuf,
    /// How many levels that is above the working directory.
    pub above: usize,
    /// The profiles that agents may name.
    pub profiles: Profiles,
}

/// Which of the two manifests a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The user's own.
    Home,
    /// The one in the working directory.
    Project,
}

/// A file that a manifest was read from.
#[derive(Debug, Clone)]
pub struct ManifestFile {
    /// Its canonical path.
    pub path: PathBuf,
    /// Its short name: `~/claude-bottle.yaml` or `claude-bottle.yaml`.
    pub shown: String,
    /// Which of the two it is.
    pub role: Role,
    /// Whether it may define bottles: the home directory's always, the working directory's once trusted.
    pub trusted: bool,
    /// The bytes that were read; trust is about exactly these.
    pub content: Vec<u8>,
}

/// Both manifests, merged and checked.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    bottles: BTreeMap<BottleName, Bottle>,
    agents: BTreeMap<AgentName, Agent>,
    /// What is wrong with agents that cannot be used.
    broken: BTreeMap<AgentName, Vec<Problem>>,
    files: Vec<ManifestFile>,
    /// Bottles of the home directory that the working directory's took the place of.
    replaced: BTreeSet<BottleName>,
}

impl Manifest {
    /// Reads, checks and merges the manifests of both directories.
    ///
    /// An agent of the working directory replaces one of the same name. A bottle of the working directory counts only
    /// if `trust` has exactly that content of that file; otherwise the load fails with [`ProblemKind::Untrusted`].
    pub fn load(locations: &Locations, trust: &Trust) -> Result<Self, ManifestErrors> {
        load::load(locations, None, &|path, content| trust.is_trusted(path, content), Wanted::All)
    }

    /// Loads as [`Manifest::load`] does, and without the agents that have a problem when nothing else has one.
    ///
    /// [`Manifest::broken`] and [`Manifest::problems_of`] have those.
    pub fn load_usable(locations: &Locations, trust: &Trust) -> Result<Self, ManifestErrors> {
        load::load(locations, None, &|path, content| trust.is_trusted(path, content), Wanted::Usable)
    }

    /// Loads as [`Manifest::load`] does, with `content` in place of the file at `path`, trusted.
    ///
    /// This is how an edited manifest is judged before it takes the place of the old one.
    pub fn check_candidate(
        locations: &Locations,
        trust: &Trust,
        path: &Path,
        content: &[u8],
    ) -> Result<Self, ManifestErrors> {
        let candidate = Candidate { path, content };
        let is_trusted = |file: &Path, bytes: &[u8]| bytes == content || trust.is_trusted(file, bytes);
        load::load(locations, Some(&candidate), &is_trusted, Wanted::All)
    }

    /// Returns the agents, sorted by name.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// Returns the names of the agents that cannot be used, sorted.
    pub fn broken(&self) -> impl Iterator<Item = &AgentName> {
        self.broken.keys()
    }

    /// Returns what is wrong with an agent that cannot be used.
    pub fn problems_of(&self, name: &str) -> Option<ManifestErrors> {
        self.broken.get(name).map(|problems| problems.clone().into())
    }

    /// Returns the bottles, sorted by name.
    pub fn bottles(&self) -> impl Iterator<Item = &Bottle> {
        self.bottles.values()
    }

    /// Returns a bottle by name.
    pub fn bottle(&self, name: &str) -> Option<&Bottle> {
        self.bottles.get(name)
    }

    /// Returns the files it was read from, the home directory's first.
    pub fn files(&self) -> &[ManifestFile] {
        &self.files
    }
}

/// Returns the path of the manifest in a directory: the one that is there, else the one `init` would write.
pub fn path_in(directory: &Path) -> PathBuf {
    let present = FILE_NAMES.iter().map(|name| directory.join(name)).find(|path| path.exists());
    present.unwrap_or_else(|| directory.join(FILE_NAMES[0]))
}
