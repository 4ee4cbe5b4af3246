//! Where the agent lives in a bottle.

use claude_bottle_plugin_api::{Context, Failure, FailureKind, Result};
use serde::{Deserialize, Serialize};

use crate::inside::{PROGRAMS, SEARCH};

/// Where the agent lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The home directory.
    pub path: String,
    /// Where skills go, relative to it.
    pub skills: String,
}

impl Home {
    /// Reads the settings `CONTAINER_HOME` and `CONTAINER_SKILLS_DIR`.
    /// `usual` is where the agent's profile has its skills.
    ///
    /// # Errors
    /// Fails on a setting that is not a path of that kind.
    pub fn from_context(context: &Context, usual: &str) -> Result<Self> {
        let path = context.setting("CONTAINER_HOME").unwrap_or("/home/node").trim_end_matches('/').to_owned();
        if !is_plain(&path) {
            return Err(invalid("CLAUDE_BOTTLE_CONTAINER_HOME", &path, "an absolute path without `..`"));
        }
        if !path.starts_with("/home/") && path != "/root" {
            return Err(invalid("CLAUDE_BOTTLE_CONTAINER_HOME", &path, "a path below /home"));
        }
        let skills = match context.setting("CONTAINER_SKILLS_DIR") {
            None => usual.to_owned(),
            Some(full) => match full.strip_prefix(&path).and_then(|rest| rest.strip_prefix('/')) {
                Some(rest) if is_plain(full) && !rest.is_empty() => rest.to_owned(),
                _ => {
                    return Err(invalid("CLAUDE_BOTTLE_CONTAINER_SKILLS_DIR", full, "a path below the home"));
                }
            },
        };
        Ok(Self { path, skills })
    }

    /// Returns the path of something in the home.
    pub fn join(&self, relative: &str) -> String {
        format!("{}/{relative}", self.path)
    }

    /// Returns the search path: the host's agent first, what the agent installs for itself next, then what
    /// the host grants.
    pub fn search_path(&self, granted: &[String]) -> String {
        let own = [format!("{PROGRAMS}/bin"), self.join(".local/bin")];
        own.iter().chain(granted).map(String::as_str).chain([SEARCH]).collect::<Vec<_>>().join(":")
    }
}

/// Returns `true` if a path is absolute and goes nowhere else on its way.
fn is_plain(path: &str) -> bool {
    path.strip_prefix('/')
        .is_some_and(|rest| !rest.is_empty() && rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

fn invalid(name: &str, value: &str, wanted: &str) -> Failure {
    Failure::new(FailureKind::Invalid, format!("{name} is `{}`", value.escape_default()))
        .hint(format!("set it to {wanted}, or unset it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[(&str, &str)], expected: Option<(&str, &str)>) {
        let mut context = Context::default();
        context.settings =
            settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let home = Home::from_context(&context, ".claude/skills").ok();
        let home = home.as_ref().map(|home| (home.path.as_str(), home.skills.as_str()));
        assert_eq!(home, expected, "{settings:?}");
    }

    #[test]
    fn a_home_is_a_plain_path() {
        check(&[], Some(("/home/node", ".claude/skills")));
        check(&[("CONTAINER_HOME", "/home/x/")], Some(("/home/x", ".claude/skills")));
        check(&[("CONTAINER_SKILLS_DIR", "/home/node/s")], Some(("/home/node", "s")));
        for wrong in ["home", "/", "/home/../etc", "/home//x", "/usr"] {
            check(&[("CONTAINER_HOME", wrong)], None);
        }
        check(&[("CONTAINER_SKILLS_DIR", "/etc/skills")], None);
        check(&[("CONTAINER_SKILLS_DIR", "/home/node/../x")], None);
    }
}
