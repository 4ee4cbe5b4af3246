//! Skills: directories of the host, copied into the agent's home.

use claude_bottle_plugin_api::{Failure, FailureKind, Result, SkillSpec};

use super::Guest;
use crate::error::show;
use crate::tree::{self, Links};

/// Refuses a skill that is not there.
pub(super) fn check(skills: &[SkillSpec]) -> Result<()> {
    match skills.iter().find(|skill| !skill.source.is_dir()) {
        None => Ok(()),
        Some(skill) => {
            let message = format!("skill `{}` is not at `{}`", skill.name, show(&skill.source));
            Err(Failure::new(FailureKind::Missing, message))
        }
    }
}

/// Copies each skill in place of what was there.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let skills = &guest.state.spec.agent.skills;
    if skills.is_empty() {
        return Ok(());
    }
    // It may have gone since the plan was made.
    check(skills)?;
    let directory = guest.home().skills.clone();
    guest.make_dirs(&directory, 0o755)?;
    for skill in skills {
        let target = guest.outside(&format!("{directory}/{}", skill.name));
        guest.clear(&target)?;
        let options = tree::Options { owner: guest.state.drop_to, links: Links::Inside, exclude: Vec::new() };
        tree::copy(guest.call, &skill.source, &target, &options)
            .map_err(|failure| failure.context(format!("copy skill `{}`", skill.name)))?;
    }
    Ok(())
}
