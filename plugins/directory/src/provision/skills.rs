//! Skills: directories of the host, copied into the agent's home.

use claude_bottle_kit::skills::{options, survey};
use claude_bottle_plugin_api::Result;

use super::Guest;
use crate::copy;

/// Copies each skill in place of what was there.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let skills = &guest.spec.agent.skills;
    if skills.is_empty() {
        return Ok(());
    }
    // It may have gone since the plan was made.
    survey(skills)?;
    let directory = guest.home.skills.clone();
    guest.make_dirs(&directory, 0o755)?;
    for skill in skills {
        let target = guest.outside(&format!("{directory}/{}", skill.name));
        guest.clear(&target)?;
        let options = options(guest.owner().map(|id| (id, id)));
        copy::copy(guest.call, &skill.source, &target, &options, None, |_| {})
            .map_err(|failure| failure.context(format!("cannot copy skill `{}`", skill.name)))?;
    }
    Ok(())
}
