//! What is known of a bottle: written before anything is made, and the document any process can close it with.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_kit::bwrap::Process;
use claude_bottle_kit::rundir::Recorded;
use claude_bottle_plugin_api::{ActiveBottle, Bottle, BottleState, Owner, Result, Spec};
use serde::{Deserialize, Serialize};

use crate::{Home, layout};

/// The version of the record's form.
const VERSION: u32 = 1;

/// A bottle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The version of the record's form.
    pub version: u32,
    /// The run's identifier.
    pub id: String,
    /// The bottle's name among those that exist, which its directory has too.
    pub name: String,
    /// The agent's name in the manifest.
    pub agent: String,
    /// The bottle's name in the manifest.
    pub bottle: String,
    /// The process it belongs to.
    pub owner: Owner,
    /// When it was made.
    pub created_unix: u64,
    /// The bottle's directory.
    pub dir: PathBuf,
    /// Where the agent lives inside.
    pub home: Home,
    /// Where programs start.
    pub directory: String,
    /// Where the copy of the working directory is, below the bottle's directory; unknown of bottles of earlier versions.
    #[serde(default)]
    pub workspace: Option<PathBuf>,
    /// What the agent's command calls its program and what it is called inside, when the two differ.
    #[serde(default)]
    pub renamed: Option<(String, String)>,
    /// Its processes; the sandbox is the last.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// The container's own process, of a backend that has one: it is its engine's, and is not ended by its number.
    #[serde(default)]
    pub container: Option<Process>,
    /// Whether an engine was asked for a container.
    #[serde(default)]
    pub has_container: bool,
    /// Control groups made for it.
    #[serde(default)]
    pub groups: Vec<PathBuf>,
    /// The memory limit as its user may raise it.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Whether it is ready for programs.
    #[serde(default)]
    pub is_ready: bool,
}

impl Recorded for Record {
    fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Record {
    /// Describes a bottle of which nothing is made yet.
    pub fn new(spec: &Spec, name: &str, home: &Home, dir: PathBuf) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            version: VERSION,
            id: spec.id.clone(),
            name: name.to_owned(),
            agent: spec.agent.name.clone(),
            bottle: spec.bottle.name.clone(),
            owner: spec.owner.clone(),
            created_unix: now.as_secs(),
            dir,
            home: home.clone(),
            directory: layout::place(spec, home).start,
            workspace: Some(layout::workspace(spec, home).0.into()),
            renamed: None,
            processes: Vec::new(),
            container: None,
            has_container: false,
            groups: Vec::new(),
            memory_bytes: None,
            is_ready: false,
        }
    }

    /// Makes the bottle's document.
    ///
    /// # Errors
    /// Fails when it cannot be written as one.
    pub fn to_bottle(&self) -> Result<Bottle> {
        Bottle::new(self.name.clone(), self)
    }

    /// Returns its state as its processes show it.
    pub fn state(&self) -> BottleState {
        let mut processes = self.processes.iter().chain(&self.container);
        match (self.is_ready, processes.all(Process::is_alive)) {
            (true, true) => BottleState::Running,
            (true, false) => BottleState::Stopped,
            (false, _) => BottleState::Creating,
        }
    }

    /// Makes its entry in a list of those that exist.
    ///
    /// # Errors
    /// Fails when its document cannot be written.
    pub fn to_active(&self) -> Result<ActiveBottle> {
        let mut active = ActiveBottle::new(&self.id, &self.agent, &self.bottle, self.to_bottle()?);
        active.state = self.state();
        active.created_unix = self.created_unix;
        active.owner = Some(self.owner.clone());
        Ok(active)
    }
}
