//! The recipe of an agent's image: what every agent needs, its program, and its user.

use std::path::Path;

use claude_bottle_kit::home;
use claude_bottle_plugin_api::AgentSpec;

const BASE: &str = include_str!("../../assets/Dockerfile.base");
const USER: &str = include_str!("../../assets/Dockerfile.user");
/// The program of an agent whose profile names no layer, which is that of contract 1.0.
const CLAUDE: &str = include_str!("../../assets/Dockerfile.claude");
/// The image of that program.
const CLAUDE_TAG: &str = "claude-bottle:latest";
/// What stands in the recipe for the directories of the home that the agent's state is in.
const STATE: &str = "@STATE@";
/// The home of the image's user.
const HOME: &str = "/home/node";

/// The argument with which a program's version is chosen.
pub(super) const VERSION: &str = "CLAUDE_CODE_VERSION";

/// How an image is built, and what it is called unless the user says otherwise.
pub(super) struct Recipe {
    pub(super) tag: String,
    pub(super) dockerfile: String,
}

impl Recipe {
    /// Puts the recipe of an agent together.
    pub(super) fn of(agent: &AgentSpec) -> Self {
        let profile = agent.profile.as_ref();
        let layer = profile.and_then(|profile| Some((profile.name.as_str(), profile.image.as_deref()?)));
        let (tag, program) = match layer {
            None => (CLAUDE_TAG.to_owned(), CLAUDE.to_owned()),
            Some((name, layer)) => (format!("claude-bottle-{name}:latest"), format!("{}\n\n", layer.trim())),
        };
        Self { tag, dockerfile: format!("{BASE}{program}{}", USER.replace(STATE, &directories(agent))) }
    }

    /// Returns `true` if the recipe takes an argument of this name.
    pub(super) fn takes(&self, argument: &str) -> bool {
        let takes =
            |line: &str| line.strip_prefix("ARG ").and_then(|rest| rest.split('=').next()) == Some(argument);
        self.dockerfile.lines().any(takes)
    }
}

/// Returns the directory with what the agent remembers, and those on the way to it: each belongs to the user.
fn directories(agent: &AgentSpec) -> String {
    let state = Path::new(HOME).join(home::state(agent));
    let mut all: Vec<_> = state.ancestors().take_while(|path| *path != Path::new(HOME)).collect();
    all.reverse();
    // `home::check` refuses a place with other than plain letters.
    all.iter().map(|path| format!("'{}'", path.display())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::AgentProfile;

    use super::*;

    fn recipe(profile: Option<AgentProfile>) -> Recipe {
        let mut agent = AgentSpec::new("a", vec!["x".to_owned()]);
        agent.profile = profile;
        Recipe::of(&agent)
    }

    #[test]
    fn an_agent_without_a_layer_is_claude_code() {
        for profile in [None, Some(AgentProfile::new("claude"))] {
            let recipe = recipe(profile);
            assert_eq!(recipe.tag, "claude-bottle:latest");
            assert!(recipe.takes("CLAUDE_CODE_VERSION") && recipe.takes("BASE_IMAGE"));
            assert!(!recipe.takes("CLAUDE") && !recipe.dockerfile.contains(STATE));
            assert!(recipe.dockerfile.contains("-m 700 '/home/node/.claude'\n"));
        }
    }

    #[test]
    fn another_agent_has_an_image_of_its_own_with_its_layer_alone() {
        let mut profile = AgentProfile::new("codex");
        profile.image = Some("RUN npm install -g codex\n".to_owned());
        profile.state = Some(".local/share/codex".to_owned());
        let recipe = recipe(Some(profile));
        assert_eq!(recipe.tag, "claude-bottle-codex:latest");
        assert!(!recipe.takes("CLAUDE_CODE_VERSION") && !recipe.dockerfile.contains("claude-code"));
        assert!(recipe.dockerfile.contains("\nRUN npm install -g codex\n\n"));
        let directories = "'/home/node/.local' '/home/node/.local/share' '/home/node/.local/share/codex'";
        assert!(recipe.dockerfile.contains(directories), "{}", recipe.dockerfile);
    }
}
