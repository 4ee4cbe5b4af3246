//! Skills: directories of the host, copied under their names into the agent's skills directory.

use std::path::Path;

use claude_bottle_backend_shared::tree::{self, Links, Options, Rules, TreeError};
use claude_bottle_plugin_api::{Failure, Result, Spec};
use zeroize::Zeroizing;

use super::{Files, Guest, Script, Task};
use crate::error::DockerError;
use crate::plan::USER_IDS;

/// More than any collection of instructions needs; stops a sparse file.
const MAX_BYTES: u64 = 256 << 20;

fn options() -> Options {
    Options {
        owner: Some(USER_IDS),
        links: Links::Inside,
        exclude: Default::default(),
        rules: Rules::All,
        max_bytes: MAX_BYTES,
    }
}

/// Walks every skill, so that a hostile or missing one is refused before anything is made.
pub(super) fn survey(spec: &Spec) -> Result<()> {
    for skill in &spec.agent.skills {
        tree::survey(&skill.source, &options()).map_err(|source| refuse(&skill.name, source))?;
    }
    Ok(())
}

fn refuse(name: &str, source: TreeError) -> Failure {
    Failure::from(DockerError::CopyIn { source }).context(format!("copy skill `{name}`"))
}

/// Adds the skills.
pub(super) fn add(task: &Task<'_>, files: &mut Files) {
    if task.spec.agent.skills.is_empty() {
        return;
    }
    let parents = Path::new(task.skills_dir).ancestors().take_while(|path| *path != Path::new(task.home));
    let mut parents: Vec<_> = parents.filter(|path| path.starts_with(task.home)).collect();
    parents.reverse();
    for parent in parents {
        files.dir(parent, 0o700);
    }
    for skill in &task.spec.agent.skills {
        files.tree(&skill.source, Path::new(task.skills_dir).join(&skill.name), options());
    }
}

/// Says whether skills may have to make room first: an image of the user's own may have some of the same names.
pub(super) fn need_room(task: &Task<'_>) -> bool {
    task.spec.bottle.image.is_some() && !task.spec.agent.skills.is_empty()
}

/// Removes what the image has under the names of the skills.
pub(super) async fn make_room(guest: &impl Guest, task: &Task<'_>) -> Result<()> {
    let names = task.spec.agent.skills.iter();
    let paths = names.map(|skill| format!("{}/{}", task.skills_dir, skill.name)).collect();
    let script = Script {
        action: "make room for the skills",
        text: "rm -rf -- \"$@\"",
        arguments: paths,
        input: Zeroizing::default(),
        root: false,
    };
    guest.run(script).await.map(drop)
}
