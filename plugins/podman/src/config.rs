//! The settings of this backend: the user's `CLAUDE_BOTTLE_*` variables.

use claude_bottle_plugin_api::Context;

/// What the agent's image is built from when the user names nothing.
const DEFAULT_BASE_IMAGE: &str = "node:22-slim";

/// The names of all settings.
pub(crate) const SETTINGS: &[&str] = &[
    "BASE_IMAGE",
    "BWRAP",
    "CLAUDE_CODE_VERSION",
    "CONTAINER_HOME",
    "CONTAINER_SKILLS_DIR",
    "GUEST",
    "IMAGE",
];

/// The settings of images; where the agent lives is `Home`'s, and `bwrap` the kit's.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `IMAGE`: the agent image's tag, when the user chose it.
    pub(crate) image: Option<String>,
    /// `BASE_IMAGE`.
    pub(crate) base_image: String,
    /// `CLAUDE_CODE_VERSION`: which Claude Code goes into the image.
    pub(crate) claude_code_version: Option<String>,
}

impl Config {
    /// Reads the settings.
    pub(crate) fn read(context: &Context) -> Self {
        let text = |name: &str| context.setting(name).map(str::to_owned);
        Self {
            image: text("IMAGE"),
            base_image: text("BASE_IMAGE").unwrap_or_else(|| DEFAULT_BASE_IMAGE.to_owned()),
            claude_code_version: text("CLAUDE_CODE_VERSION"),
        }
    }
}
