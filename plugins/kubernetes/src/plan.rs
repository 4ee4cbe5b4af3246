//! What `launch` gets from `prepare`, and what every later verb needs to find the bottle.

use claude_bottle_kit::limits::Bounds;
use claude_bottle_plugin_api::{Bottle, Owner, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cluster::Place;
use crate::wall::Wall;

/// A resolved spec. It names secrets and holds none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanState {
    /// The name of the Pod.
    pub(crate) name: String,
    pub(crate) place: Place,
    /// The images, as the manifest or a setting names them.
    pub(crate) image: String,
    pub(crate) guard_image: String,
    /// How the guest program comes into the agent's container.
    pub(crate) tools: Tools,
    pub(crate) wall: Wall,
    /// The agent's home, and where its skills go.
    pub(crate) home: String,
    pub(crate) skills_dir: String,
    pub(crate) bounds: Bounds,
    pub(crate) scheduling: Scheduling,
    /// About how many bytes will be sent.
    pub(crate) bytes: u64,
}

/// A run with what was resolved of it, for `launch` and `provision`.
pub(crate) type Planned = claude_bottle_kit::Planned<PlanState>;

/// How the guest program comes into the agent's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tools {
    /// The guard's image is a volume.
    Volume,
    /// A container that runs before both copies it: for servers without such volumes.
    Copied,
}

/// What the user says of where and how long a Pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scheduling {
    pub(crate) runtime_class: Option<String>,
    pub(crate) priority_class: Option<String>,
    pub(crate) node_selector: Map<String, Value>,
    pub(crate) tolerations: Vec<Value>,
    pub(crate) image_pull_secrets: Vec<String>,
    /// In seconds.
    pub(crate) deadline: u64,
}

/// What is known of a bottle that exists: any process of the user's finds it by this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The run's identifier.
    pub(crate) id: String,
    /// The bottle's name in the manifest.
    pub(crate) bottle: String,
    pub(crate) owner: Owner,
    /// The Pod's name, and its identity: another Pod of that name is not this bottle.
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) place: Place,
    /// Where programs start.
    pub(crate) directory: String,
    /// The copy of the working directory.
    pub(crate) workspace: String,
    pub(crate) home: String,
    /// The directory of what the agent remembers, relative to the home.
    pub(crate) state: String,
    pub(crate) memory_bytes: u64,
    /// The run's directory of the host, where the decisions of the guard are kept.
    pub(crate) state_dir: Option<std::path::PathBuf>,
}

impl Record {
    /// Reads it of a bottle's document.
    pub(crate) fn of(bottle: &Bottle) -> Result<Self> {
        bottle.state()
    }
}
