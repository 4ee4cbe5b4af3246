//! The settings of this backend: the user's `CLAUDE_BOTTLE_*` variables.

use std::path::PathBuf;

use claude_bottle_kit::agent_image::ImageSettings;
use claude_bottle_plugin_api::{Context, Failure, FailureKind, Result};

use crate::fault::Fault;

/// Tag of the agent image when the user names none.
const DEFAULT_IMAGE: &str = "claude-bottle:latest";
/// The home of the image's user `node`.
const DEFAULT_HOME: &str = "/home/node";
/// The first version's pipelock, 2.3.0, by digest.
const DEFAULT_PIPELOCK: &str = "ghcr.io/luckypipewrench/pipelock@sha256:3b1a39417b98406ddc5dc2d8fcb42865ddc0c68a43d355db55f0f8cb06bc6de9";
/// Where a proxy listens inside unless told otherwise.
const DEFAULT_PORT: u16 = 8888;

/// The names of all settings.
pub(crate) const SETTINGS: &[&str] = &[
    "BASE_IMAGE",
    "BWRAP",
    "CLAUDE_CODE_VERSION",
    "CONTAINER",
    "CONTAINER_HOME",
    "CONTAINER_SKILLS_DIR",
    "FAULT",
    "IMAGE",
    "PIPELOCK_IMAGE",
    "PIPELOCK_PORT",
];

/// The settings, read once.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// What the user chose of images.
    pub(crate) images: ImageSettings,
    /// `CONTAINER`: the agent container's name, when the user pinned it.
    pub(crate) container: Option<String>,
    /// `PIPELOCK_IMAGE`.
    pub(crate) pipelock_image: String,
    /// `PIPELOCK_PORT`.
    pub(crate) port: u16,
    /// `GUEST`: the program for the inside, when the user chose it.
    pub(crate) guest: Option<String>,
    /// `BWRAP`: the program that makes the guard's sandbox, when the user chose it.
    pub(crate) bwrap: Option<String>,
    /// `CONTAINER_HOME`: the agent's home, when the user chose it.
    pub(crate) home: Option<String>,
    /// `CONTAINER_SKILLS_DIR`.
    pub(crate) skills_dir: Option<String>,
    /// The directory of this backend's caches.
    pub(crate) data_dir: PathBuf,
    /// `FAULT`, see [`crate::fault`].
    pub(crate) fault: Fault,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Fails on one that makes no sense.
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let text = |name: &str| context.setting(name).map(str::to_owned);
        let (home, skills_dir) = (text("CONTAINER_HOME"), text("CONTAINER_SKILLS_DIR"));
        let paths = [("CONTAINER_HOME", &home), ("CONTAINER_SKILLS_DIR", &skills_dir)];
        for (name, path) in paths.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?))) {
            let plain = path.starts_with('/') && path.split('/').all(|part| part != "..") && path.len() > 1;
            if !plain {
                return Err(invalid(name, path).hint("use an absolute path without `..`"));
            }
        }
        let port = match context.setting("PIPELOCK_PORT") {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(invalid("PIPELOCK_PORT", port).hint("use a number from 1 to 65535")),
            },
        };
        let container = text("CONTAINER");
        if let Some(name) = container.as_ref().filter(|name| !crate::names::is_container_name(name)) {
            return Err(invalid("CONTAINER", name).hint("use letters, digits and _.-, at least two"));
        }
        Ok(Self {
            images: ImageSettings::read(context),
            container,
            pipelock_image: text("PIPELOCK_IMAGE").unwrap_or_else(|| DEFAULT_PIPELOCK.to_owned()),
            port,
            guest: text("GUEST"),
            bwrap: text("BWRAP"),
            home,
            skills_dir,
            data_dir: context.data_dir.clone(),
            fault: Fault::read(context)?,
        })
    }

    /// Returns the agent's home in this plug-in's own image.
    pub(crate) fn home(&self) -> &str {
        self.home.as_deref().unwrap_or(DEFAULT_HOME)
    }

    /// Returns where the skills of an agent with this home go; `usual` is where its profile has them, relative to that.
    pub(crate) fn skills_dir(&self, home: &str, usual: &str) -> String {
        self.skills_dir.clone().unwrap_or_else(|| format!("{home}/{usual}"))
    }

    /// Returns the agent image's tag.
    pub(crate) fn image_tag(&self) -> &str {
        self.images.tag.as_deref().unwrap_or(DEFAULT_IMAGE)
    }
}

fn invalid(name: &str, value: &str) -> Failure {
    let value = value.escape_debug();
    Failure::new(FailureKind::Invalid, format!("setting CLAUDE_BOTTLE_{name} is `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config> {
        let mut context = Context::default();
        context.settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::read(&context)
    }

    #[test]
    fn defaults_are_those_of_the_first_version() {
        let config = read(&[]).unwrap();
        assert_eq!(config.image_tag(), "claude-bottle:latest");
        assert_eq!((config.images.base.as_str(), config.port), ("node:22-slim", 8888));
        assert_eq!(config.skills_dir(config.home(), ".claude/skills"), "/home/node/.claude/skills");
        let config = read(&[("CONTAINER_HOME", "/h")]).unwrap();
        assert_eq!(config.skills_dir(config.home(), ".claude/skills"), "/h/.claude/skills");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (name, value) in [
            ("PIPELOCK_PORT", "0"),
            ("PIPELOCK_PORT", "x"),
            ("CONTAINER", "-x"),
            ("CONTAINER", "a b"),
            ("CONTAINER_HOME", "home"),
            ("CONTAINER_HOME", "/"),
            ("CONTAINER_SKILLS_DIR", "/a/../b"),
        ] {
            let failure = read(&[(name, value)]).unwrap_err();
            assert!(failure.message.contains(name), "{failure}");
        }
    }
}
