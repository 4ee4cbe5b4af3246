//! Skills: directories of the user's own, copied into the agent's home.
//!
//! Their files may be links that lead elsewhere, as home-manager and stow make them: what a link leads to is copied in its
//! place, unless it is a secret.

use claude_bottle_plugin_api::{Failure, FailureKind, Result, SkillSpec};

use crate::tree::{self, Links, Options, Rules, TreeError};
use crate::workspace::named;

/// More than any collection of instructions needs; stops a sparse file.
const MAX_BYTES: u64 = 256 << 20;

/// Returns how a skill is copied, for this owner if that is not this process's user.
pub fn options(owner: Option<(u32, u32)>) -> Options {
    Options {
        owner,
        links: Links::Follow,
        exclude: Default::default(),
        rules: Rules::All,
        max_bytes: MAX_BYTES,
    }
}

/// Walks every skill, so that one that is missing or cannot be copied is refused before anything is made. Returns what a plan
/// says of them.
///
/// # Errors
/// Fails on the first skill that could not be copied, and names it.
pub fn survey(skills: &[SkillSpec]) -> Result<Vec<(&'static str, String)>> {
    let mut facts = Vec::new();
    for skill in skills {
        if !skill.source.is_dir() {
            let place = skill.source.as_os_str().as_encoded_bytes().escape_ascii();
            let message = format!("skill `{}` is not at `{place}`", skill.name);
            return Err(Failure::new(FailureKind::Missing, message));
        }
        let found =
            tree::survey(&skill.source, &options(None)).map_err(|error| refuse(&skill.name, error))?;
        if found.special.count > 0 {
            let what = named(&found.special);
            facts.push(("not copied", format!("of skill {}: {what}: no content", skill.name)));
        }
    }
    Ok(facts)
}

/// Names the skill that could not be copied, and what helps.
pub fn refuse(name: &str, error: TreeError) -> Failure {
    let hint = match &error {
        TreeError::Leaves { .. } => Some("make the link lead to a file or a directory, or remove it"),
        TreeError::LeadsToSecret { .. } => Some("remove the link: a skill is read by the agent, whole"),
        _ => None,
    };
    let failure = Failure::from(error).context(format!("cannot copy skill `{name}`"));
    hint.into_iter().fold(failure, Failure::hint)
}
