//! The settings of this backend: the user's `CLAUDE_BOTTLE_*` variables. Those of images are the kit's, where the agent lives is
//! `Home`'s, and `bwrap` the kit's.

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
