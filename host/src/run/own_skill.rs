//! The skill that comes with every bottle whose guard decides: what its agent may reach, and how it asks for more.
//!
//! It is a skill like the user's own: in the plan, copied in by the backend, and only for an agent that knows skills. One of the
//! user's of the same name takes its place.

use std::fs;

use anyhow::Context;
use claude_bottle_plugin_api::{Capability, Proxy, SkillSpec, Spec};

use crate::manifest::Agent;
use crate::run::backend::Backend;

const NAME: &str = "bottle";
const TEXT: &str = include_str!("../../skills/bottle/SKILL.md");

/// Adds the skill to a spec where it is of use.
///
/// # Errors
/// Fails when it cannot be written into the stage directory.
pub fn enter(backend: &Backend, agent: &Agent, spec: &mut Spec) -> anyhow::Result<()> {
    let has_command = backend.offers(&Capability::EGRESS) && spec.bottle.egress.proxy == Proxy::Guard;
    let knows_skills = agent.profile.skills.is_some() && backend.offers(&Capability::SKILLS);
    let is_taken = spec.agent.skills.iter().any(|skill| skill.name == NAME);
    if !has_command || !knows_skills || is_taken {
        return Ok(());
    }
    let place = spec.stage_dir.join("skills").join(NAME);
    let write = fs::create_dir_all(&place).and_then(|()| fs::write(place.join("SKILL.md"), TEXT));
    write.with_context(|| format!("cannot write `{}`", place.display()))?;
    spec.agent.skills.push(SkillSpec::new(NAME, place));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skill_says_its_name_and_every_exit_code() {
        assert!(TEXT.starts_with(&format!("---\nname: {NAME}\ndescription: ")), "{TEXT}");
        for said in ["bottle policy", "bottle ask", "bottle give-back", "code 0", " 1: ", " 3: ", " 4: "] {
            assert!(TEXT.contains(said), "{said}");
        }
        // What agents read of a description: <https://code.claude.com/docs/en/skills#frontmatter-reference>.
        let description = TEXT.lines().nth(2).unwrap();
        assert!(description.len() < 1024, "{}", description.len());
    }
}
