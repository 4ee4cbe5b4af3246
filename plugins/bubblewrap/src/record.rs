//! What is known of a bottle: written before anything is made, and the document any process can close it with.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_kit::bwrap::Process;
use claude_bottle_kit::rundir::Recorded;
use claude_bottle_plugin_api::{ActiveBottle, Bottle, BottleState, Owner, Result};
use serde::{Deserialize, Serialize};

use crate::guest::Home;
use crate::plan::{Planned, place, workspace};

/// The version of the record's form.
const VERSION: u32 = 1;

/// A bottle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) bottle: String,
    pub(crate) owner: Owner,
    pub(crate) created_unix: u64,
    /// The bottle's directory.
    pub(crate) dir: PathBuf,
    /// Where the agent lives inside, and where programs start.
    pub(crate) home: Home,
    pub(crate) directory: String,
    /// Where the copy of the working directory is, below the bottle's directory; unknown of bottles of earlier versions.
    #[serde(default)]
    pub(crate) workspace: Option<PathBuf>,
    /// What the agent's command calls its program and what it is called inside, when the two differ.
    #[serde(default)]
    pub(crate) renamed: Option<(String, String)>,
    /// Its processes; the sandbox is the last.
    #[serde(default)]
    pub(crate) processes: Vec<Process>,
    /// Control groups made for it.
    #[serde(default)]
    pub(crate) groups: Vec<PathBuf>,
    /// The memory limit as its user may raise it.
    #[serde(default)]
    pub(crate) memory_bytes: Option<u64>,
    /// Whether it is ready for programs.
    #[serde(default)]
    pub(crate) is_ready: bool,
}

impl Recorded for Record {
    fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Record {
    pub(crate) fn new(state: &Planned, dir: PathBuf) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            version: VERSION,
            id: state.spec.id.clone(),
            name: state.name.clone(),
            agent: state.spec.agent.name.clone(),
            bottle: state.spec.bottle.name.clone(),
            owner: state.spec.owner.clone(),
            created_unix: now.as_secs(),
            dir,
            home: state.home.clone(),
            directory: place(&state.spec, &state.home).start,
            workspace: Some(workspace(state).0.into()),
            renamed: state.program.renamed.clone(),
            processes: Vec::new(),
            groups: state.limits.groups_of(&state.name),
            memory_bytes: Some(state.limits.bounds.memory_bytes),
            is_ready: false,
        }
    }

    pub(crate) fn to_bottle(&self) -> Result<Bottle> {
        Bottle::new(self.name.clone(), self)
    }

    /// Returns its state as its processes show it.
    pub(crate) fn state(&self) -> BottleState {
        match (self.is_ready, self.processes.iter().all(Process::is_alive)) {
            (true, true) => BottleState::Running,
            (true, false) => BottleState::Stopped,
            (false, _) => BottleState::Creating,
        }
    }

    pub(crate) fn to_active(&self) -> Result<ActiveBottle> {
        let mut active = ActiveBottle::new(&self.id, &self.agent, &self.bottle, self.to_bottle()?);
        active.state = self.state();
        active.created_unix = self.created_unix;
        active.owner = Some(self.owner.clone());
        Ok(active)
    }
}
