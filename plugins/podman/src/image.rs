//! The agent's image: given by the user, or built from the project's recipe and rebuilt only when that changes.

use std::collections::BTreeMap;

use claude_bottle_kit::key;
use claude_bottle_kit::recipe::{Recipe, context, proxy_args};
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result, Spec, Step};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::engine::{Build, Image, Podman};
use crate::error::PodmanError;

/// The image a bottle runs from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AgentImage {
    /// Used as it is; pulled when it is not there.
    Given { reference: String },
    /// Built from the recipe.
    Built {
        tag: String,
        base: String,
        dockerfile: String,
        args: BTreeMap<String, String>,
        /// The hash of all that goes into it.
        key: String,
        /// Whether an image of that tag without our label is the user's own, to be used as it is.
        tag_chosen: bool,
    },
}

impl AgentImage {
    /// Chooses the image of a bottle.
    pub(crate) fn of(spec: &Spec, config: &Config) -> Self {
        if let Some(reference) = &spec.bottle.image {
            return Self::Given { reference: reference.clone() };
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
        }
    }

    /// Returns what Podman knows it by.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::Given { reference } => reference,
            Self::Built { tag, .. } => tag,
        }
    }

    /// Makes sure it is there and up to date, and returns what is known of it.
    pub(crate) fn ensure(&self, podman: &Podman, call: &Call) -> Result<Image> {
        let found = podman.image(self.reference())?;
        match (self, found) {
            (Self::Given { .. }, Some(found)) => return Ok(found),
            (Self::Given { reference }, None) => pull(podman, call, reference)?,
            (Self::Built { key, tag_chosen, .. }, Some(found)) => match found.labels.get(key::IMAGE_KEY) {
                None if *tag_chosen => return Ok(found),
                Some(have) if have == key => return Ok(found),
                _ => self.build(podman, call)?,
            },
            (Self::Built { .. }, None) => self.build(podman, call)?,
        }
        Ok(podman.image(self.reference())?.ok_or(PodmanError::ReadAnswer { what: "an image" })?)
    }

    fn build(&self, podman: &Podman, call: &Call) -> Result<()> {
        let Self::Built { tag, base, dockerfile, args, key, .. } = self else { return Ok(()) };
        let step = call.step("build-image", format!("building {tag} from {base}"));
        let context = context(dockerfile).failure(FailureKind::Internal, || "cannot pack the recipe")?;
        let build = Build {
            tag: tag.clone(),
            args: args.clone().into_iter().chain(proxy_args()).collect(),
            labels: [(key::IMAGE_KEY.to_owned(), key.clone())].into(),
        };
        let built = podman.build(call, &build, context, &mut |line| step.output(line));
        built.map_err(|failure| failure.context(format!("cannot build the image `{tag}` from `{base}`")))?;
        step.done();
        Ok(())
    }
}

fn pull(podman: &Podman, call: &Call, reference: &str) -> Result<()> {
    let step: Step<'_> = call.step("pull-image", format!("pulling {reference}"));
    let pulled = podman.pull(call, reference, &mut |line| step.output(line));
    pulled.map_err(|failure| failure.context(format!("cannot pull the image `{reference}`")))?;
    step.done();
    Ok(())
}
