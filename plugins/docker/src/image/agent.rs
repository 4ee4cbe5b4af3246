//! The agent image: content-addressed by the Dockerfile and its arguments, rebuilt only when one of them changes.

use std::collections::VecDeque;

use claude_bottle_engine::unless_cancelled;
use claude_bottle_kit::agent_image::{AgentImage, BuiltImage};
use claude_bottle_kit::key;
use claude_bottle_kit::recipe::{context, proxy_args};
use claude_bottle_plugin_api::{Call, Result};
use serde::{Deserialize, Serialize};

use crate::engine::{Build, Engine};
use crate::error::DockerError;

/// How many of the last lines of a failed build are looked at for advice. The host shows all of them.
const TAIL: usize = 25;

/// Whether an image is fetched again although it is present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Renew {
    /// It is built.
    pub(crate) rebuild: bool,
    /// It is pulled, or what it is built from.
    pub(crate) pull: bool,
}

/// Makes sure the image is there and up to date.
pub(crate) async fn ensure(
    engine: &impl Engine,
    call: &Call,
    (image, Renew { rebuild, pull }): (&AgentImage, Renew),
) -> Result<()> {
    let BuiltImage { tag, base, dockerfile, args, key, tag_chosen } = match image {
        AgentImage::Given { reference } if pull => return super::pull(engine, call, reference).await,
        AgentImage::Given { reference } => return super::ensure_given(engine, call, reference).await,
        AgentImage::Built(built) => built,
    };
    let find = |source| DockerError::FindImage { reference: tag.clone(), source };
    let found = engine.image(tag).await.map_err(find)?.map(|(_, labels)| labels.get(key::IMAGE_KEY).cloned());
    match found {
        // An image of that tag which is not ours is the user's own: nothing is ever built over it.
        Some(None) if *tag_chosen && rebuild => {
            return Err(DockerError::ReplaceImage { tag: tag.clone() }.into());
        }
        Some(None) if *tag_chosen && pull => return super::pull(engine, call, tag).await,
        Some(None) if *tag_chosen => return Ok(()),
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
    let context = context(dockerfile).map_err(|source| DockerError::CopyIn { source })?;
    let built =
        unless_cancelled(call, async { Ok(engine.build_image(build, context.into(), &mut line).await) })
            .await?;
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
