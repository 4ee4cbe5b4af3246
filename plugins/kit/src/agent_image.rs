//! Which image an agent's bottle runs from: one that the user gives, or one that is built from the recipe and rebuilt only when that
//! changes. How it is built and pulled is the engine's.

use std::collections::BTreeMap;

use claude_bottle_plugin_api::{Context, Spec};
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;

/// What the image is built from when the user names nothing.
const DEFAULT_BASE_IMAGE: &str = "node:22-slim";

/// What the user chose of images by settings, for every bottle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSettings {
    /// `IMAGE`: the image's tag, when the user chose it.
    pub tag: Option<String>,
    /// `BASE_IMAGE`: what it is built from.
    pub base: String,
    /// `CLAUDE_CODE_VERSION`: which Claude Code goes into it.
    pub claude_code_version: Option<String>,
}

impl ImageSettings {
    /// The names of these settings.
    pub const NAMES: [&'static str; 3] = ["BASE_IMAGE", "CLAUDE_CODE_VERSION", "IMAGE"];

    /// Reads them.
    pub fn read(context: &Context) -> Self {
        let text = |name: &str| context.setting(name).map(str::to_owned);
        Self {
            tag: text("IMAGE"),
            base: text("BASE_IMAGE").unwrap_or_else(|| DEFAULT_BASE_IMAGE.to_owned()),
            claude_code_version: text("CLAUDE_CODE_VERSION"),
        }
    }
}

/// The image a bottle runs from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentImage {
    /// Used as it is; pulled when it is not there.
    Given {
        /// What the engine knows it by.
        reference: String,
    },
    /// Built from the recipe, with the layer of the agent's program.
    Built(BuiltImage),
}

/// An image that is built here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// What the engine knows it by.
    pub tag: String,
    /// What it is built from.
    pub base: String,
    /// The text of the Dockerfile.
    pub dockerfile: String,
    /// The arguments of the build.
    pub args: BTreeMap<String, String>,
    /// The hash of all that goes into it.
    pub key: String,
    /// Whether an image of that tag without our label is the user's own, to be used as it is.
    pub tag_chosen: bool,
}

impl AgentImage {
    /// Chooses the image of a bottle.
    pub fn of(spec: &Spec, settings: &ImageSettings) -> Self {
        if let Some(reference) = &spec.bottle.image {
            return Self::Given { reference: reference.clone() };
        }
        let recipe = Recipe::of(&spec.agent);
        let args = recipe.args(&settings.base, settings.claude_code_version.as_deref());
        Self::Built(BuiltImage {
            tag: settings.tag.clone().unwrap_or_else(|| recipe.tag.clone()),
            base: settings.base.clone(),
            key: recipe.key(&args),
            dockerfile: recipe.dockerfile,
            args,
            tag_chosen: settings.tag.is_some(),
        })
    }

    /// Returns what the engine knows it by.
    pub fn reference(&self) -> &str {
        match self {
            Self::Given { reference } => reference,
            Self::Built(built) => &built.tag,
        }
    }

    /// Returns `true` if what is behind the name may be an image of the user's own, of which nothing is known.
    pub fn may_be_the_users(&self) -> bool {
        match self {
            Self::Given { .. } => true,
            Self::Built(built) => built.tag_chosen,
        }
    }
}
