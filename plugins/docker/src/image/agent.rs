//! The agent image: content-addressed by the Dockerfile and its arguments, rebuilt only when one of them changes.

use std::collections::{BTreeMap, VecDeque};

use claude_bottle_kit::key;
use claude_bottle_kit::recipe::{Recipe, context, proxy_args};
use claude_bottle_plugin_api::{Call, Result, Spec};
use serde::{Deserialize, Serialize};

use crate::cancel::unless_cancelled;
use crate::config::Config;
use crate::engine::{Build, Engine, whole};
use crate::error::DockerError;
use crate::options::Options;

/// How many of the last lines of a failed build are looked at for advice. The host shows all of them.
const TAIL: usize = 25;

/// The image a bottle runs from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgentImage {
    /// Used as it is; pulled when it is not there, or when that was asked for.
    Given { reference: String, pull: bool },
    /// Built from this plug-in's Dockerfile, with the layer of the agent's program.
    Built {
        tag: String,
        base: String,
        /// The recipe.
        dockerfile: String,
        args: BTreeMap<String, String>,
        /// The hash of all that goes into it.
        key: String,
        /// Whether an image of that tag without our label is the user's own, to be used as it is.
        tag_chosen: bool,
        rebuild: bool,
        pull: bool,
    },
}

impl AgentImage {
    /// Chooses the image of a bottle.
    pub(crate) fn of(spec: &Spec, config: &Config, options: &Options) -> Self {
        if let Some(reference) = &spec.bottle.image {
            return Self::Given { reference: reference.clone(), pull: options.pull };
        }
        let recipe = Recipe::of(&spec.agent);
        let args = recipe.args(&config.base_image, config.claude_code_version.as_deref());
        Self::Built {
            tag: config.image.clone().unwrap_or_else(|| recipe.tag.clone()),
            base: config.base_image.clone(),
            key: recipe.key(&args),
            dockerfile: recipe.dockerfile,
            args,
            tag_chosen: config.image.is_some(),
            rebuild: options.rebuild,
            pull: options.pull,
        }
    }

    /// Returns what the engine knows it by.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::Given { reference, .. } => reference,
            Self::Built { tag, .. } => tag,
        }
    }
}

/// Makes sure the image is there and up to date.
pub(crate) async fn ensure(engine: &impl Engine, call: &Call, image: &AgentImage) -> Result<()> {
    let (tag, base, dockerfile, args, key, tag_chosen, rebuild, pull) = match image {
        AgentImage::Given { reference, pull: true } => return super::pull(engine, call, reference).await,
        AgentImage::Given { reference, pull: false } => {
            return super::ensure_given(engine, call, reference).await;
        }
        AgentImage::Built { tag, base, dockerfile, args, key, tag_chosen, rebuild, pull } => {
            (tag, base, dockerfile, args, key, *tag_chosen, *rebuild, *pull)
        }
    };
    let find = |source| DockerError::FindImage { reference: tag.clone(), source };
    let found = engine.image(tag).await.map_err(find)?.map(|(_, labels)| labels.get(key::IMAGE_KEY).cloned());
    match found {
        // An image of that tag which is not ours is the user's own: nothing is ever built over it.
        Some(None) if tag_chosen && rebuild => {
            return Err(DockerError::ReplaceImage { tag: tag.clone() }.into());
        }
        Some(None) if tag_chosen && pull => return super::pull(engine, call, tag).await,
        Some(None) if tag_chosen => return Ok(()),
        Some(Some(have)) if have == *key && !rebuild && !pull => return Ok(()),
        _ => {}
    }
    let build = Build {
        tag: tag.clone(),
        args: args.clone().into_iter().chain(proxy_args()).collect(),
        labels: [(key::IMAGE_KEY.to_owned(), key.clone())].into(),
        pull,
        no_cache: rebuild,
    };
    build_image(engine, call, &build, (base, dockerfile)).await
}

async fn build_image(
    engine: &impl Engine,
    call: &Call,
    build: &Build,
    (base, dockerfile): (&str, &str),
) -> Result<()> {
    let step = call.step("build-image", format!("building {} from {base}", build.tag));
    let mut tail = VecDeque::new();
    let mut line = |text: String| {
        let text = uncoloured(&text);
        if text.is_empty() {
            return;
        }
        step.output(text.clone());
        tail.push_back(text);
        if tail.len() > TAIL {
            tail.pop_front();
        }
    };
    let context = whole(context(dockerfile).map_err(|source| DockerError::CopyIn { source })?);
    let built =
        unless_cancelled(call, async { Ok(engine.build_image(build, context, &mut line).await) }).await?;
    built.map_err(|source| DockerError::BuildImage {
        tag: build.tag.clone(),
        base: base.to_owned(),
        tail: tail.into(),
        pull: build.pull,
        source,
    })?;
    step.done();
    Ok(())
}

/// Takes out the red in which the classic builder shows what a program writes to its standard error.
/// Seen with engine 20.10.
fn uncoloured(text: &str) -> String {
    text.replace("\u{1b}[91m", "").replace("\u{1b}[0m", "").trim_end().to_owned()
}
