//! What the agent leaves lies in two volumes of the run: the copy of the working directory, and what it remembers, such as `~/.claude`.
//!
//! gVisor keeps what is written to a container's own file system in an overlay that ends with its processes, and shows the engine
//! nothing of it; volumes it does not overlay. And a place where a volume is mounted cannot be renamed or replaced from inside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bollard::models::{Mount, MountType, MountVolumeOptions};
use claude_bottle_kit::{Labels, home};

use crate::names::PREFIX;
use crate::plan::{Planned, labels, place, role};

/// Returns the names of a run's volumes. The identifier is in them, so that no two runs want the same.
pub(crate) fn names(run: &str) -> [String; 2] {
    [role::WORK, role::HISTORY].map(|role| name(role, run))
}

fn name(role: &str, run: &str) -> String {
    format!("{PREFIX}{role}-{run}")
}

/// Returns the volumes of a bottle with a working directory. The engine makes them with the container, fills them with what
/// the image has there, and makes their owner the image's.
pub(crate) fn mounts(plan: &Planned, owner: &Labels) -> Vec<Mount> {
    if plan.spec.workspace.is_none() {
        return Vec::new();
    }
    let places = [
        (role::WORK, place(plan).root),
        (role::HISTORY, format!("{}/{}", plan.user.home, home::state(&plan.spec.agent))),
    ];
    places.map(|(role, target)| mount(role, target, &plan.spec.id, owner)).into()
}

fn mount(role: &str, target: String, run: &str, owner: &Labels) -> Mount {
    let options = MountVolumeOptions { labels: labels(owner, role), ..MountVolumeOptions::default() };
    Mount {
        target: Some(target),
        source: Some(name(role, run)),
        typ: Some(MountType::VOLUME),
        volume_options: Some(options),
        ..Mount::default()
    }
}

/// Where a container has the volumes of its run.
pub(crate) struct Places {
    pub(crate) workspace: PathBuf,
    pub(crate) home: PathBuf,
}

impl Places {
    /// Finds them among the volumes of a container, by name; `None` when it has none. `state` is where in the home the history is.
    pub(crate) fn find(volumes: &BTreeMap<String, String>, run: &str, state: &str) -> Option<Self> {
        let [work, history] = names(run);
        let depth = Path::new(state).components().count();
        let home = Path::new(volumes.get(&history)?).ancestors().nth(depth)?.to_owned();
        Some(Self { workspace: volumes.get(&work)?.into(), home })
    }
}
