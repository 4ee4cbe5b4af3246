//! The recipe of an agent's image: what every agent needs, its program, and its user. How it is built is the engine's.

use std::collections::BTreeMap;
use std::path::Path;

use claude_bottle_plugin_api::AgentSpec;
use sha2::{Digest, Sha256};

use crate::home;
use crate::tree::{Entry, TarWriter, TreeError};

const BASE: &str = include_str!("../assets/Dockerfile.base");
const USER: &str = include_str!("../assets/Dockerfile.user");
/// The program of an agent without a profile, which is that of a host of contract 1.0. Of another host the profile has the layer:
/// `host/profiles/claude.yaml`, whose text is the same.
const CLAUDE: &str = include_str!("../assets/Dockerfile.claude");
/// The image of that program, and the profile that it is of.
const CLAUDE_TAG: &str = "claude-bottle:latest";
const CLAUDE_PROFILE: &str = "claude";
/// What stands in the recipe for the directories of the home that the agent's state is in.
const STATE: &str = "@STATE@";
/// The home of the image's user.
const HOME: &str = "/home/node";

/// The argument with which a program's version is chosen.
const VERSION: &str = "CLAUDE_CODE_VERSION";
/// Builders take these from their own environment or as arguments, and leave them out of the image's history:
/// <https://docs.docker.com/build/building/variables/#proxy-arguments>.
const PROXY_ARGS: &[&str] =
    &["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// How an image is built, and what it is called unless the user says otherwise.
pub struct Recipe {
    /// The image's usual name.
    pub tag: String,
    /// The text of the Dockerfile, which is the whole context of the build.
    pub dockerfile: String,
}

impl Recipe {
    /// Puts the recipe of an agent together.
    pub fn of(agent: &AgentSpec) -> Self {
        let own = |layer: &str| format!("{}\n\n", layer.trim());
        let profile = agent.profile.as_ref();
        let layer = profile.and_then(|profile| Some((profile.name.as_str(), profile.image.as_deref()?)));
        let (tag, program) = match layer {
            None => (CLAUDE_TAG.to_owned(), CLAUDE.to_owned()),
            Some((CLAUDE_PROFILE, layer)) => (CLAUDE_TAG.to_owned(), own(layer)),
            Some((name, layer)) => (format!("claude-bottle-{name}:latest"), own(layer)),
        };
        Self { tag, dockerfile: format!("{BASE}{program}{}", USER.replace(STATE, &directories(agent))) }
    }

    /// Returns the arguments of a build: the base image and, where the recipe takes one, the version of the agent's program.
    pub fn args(&self, base: &str, version: Option<&str>) -> BTreeMap<String, String> {
        let version = version.filter(|_| self.takes(VERSION)).map(|version| (VERSION, version));
        let args = [("BASE_IMAGE", base)].into_iter().chain(version);
        args.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns the hash of all that goes into the image, by which one that is up to date is known.
    pub fn key(&self, args: &BTreeMap<String, String>) -> String {
        let text: Vec<_> = args.iter().map(|(name, value)| format!("{name}={value}")).collect();
        short_hash(&[self.dockerfile.as_bytes(), text.join("\n").as_bytes()])
    }

    /// Returns `true` if the recipe takes an argument of this name.
    fn takes(&self, argument: &str) -> bool {
        let takes =
            |line: &str| line.strip_prefix("ARG ").and_then(|rest| rest.split('=').next()) == Some(argument);
        self.dockerfile.lines().any(takes)
    }
}

/// Returns the context of a build: the Dockerfile alone.
///
/// # Errors
/// Fails when the archive cannot be written.
pub fn context(dockerfile: &str) -> Result<Vec<u8>, TreeError> {
    let mut bytes = Vec::new();
    let mut writer = TarWriter::new(&mut bytes);
    let entry = Entry { owner: (0, 0), mode: 0o644, mtime: 0 };
    writer.file(Path::new("Dockerfile"), entry, dockerfile.as_bytes())?;
    writer.finish()?;
    Ok(bytes)
}

/// Returns the host's proxy settings as arguments of a build, which are no part of the image.
pub fn proxy_args() -> impl Iterator<Item = (String, String)> {
    PROXY_ARGS.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
}

/// Returns the first 16 hexadecimal digits of a hash of the parts.
pub fn short_hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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
    fn the_layer_of_its_profile_makes_the_same_image() {
        let mut own = AgentProfile::new("claude");
        own.image = Some(CLAUDE.to_owned());
        let (own, bare) = (recipe(Some(own)), recipe(None));
        assert_eq!((own.tag, own.dockerfile), (bare.tag, bare.dockerfile));
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
