//! Skills: directories of the host, copied into the agent's home.

use claude_bottle_backend_shared::tree::{Links, survey};
use claude_bottle_plugin_api::{Failure, FailureKind, Result, SkillSpec};

use super::Guest;
use crate::error::show;
use crate::tree;

/// Refuses a skill that is not there, or that could not be copied.
pub(super) fn check(skills: &[SkillSpec]) -> Result<()> {
    skills.iter().try_for_each(|skill| {
        if !skill.source.is_dir() {
            let message = format!("skill `{}` is not at `{}`", skill.name, show(&skill.source));
            return Err(Failure::new(FailureKind::Missing, message));
        }
        let found = survey(&skill.source, &tree::options(None, Links::Inside));
        found.map(drop).map_err(|error| Failure::from(error).context(format!("copy skill `{}`", skill.name)))
    })
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
        let options = tree::options(guest.state.drop_to, Links::Inside);
        tree::copy(guest.call, &skill.source, &target, &options, |_| {})
            .map_err(|failure| failure.context(format!("copy skill `{}`", skill.name)))?;
    }
    Ok(())
}
