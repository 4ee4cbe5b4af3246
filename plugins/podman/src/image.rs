//! The agent's image: pulled when it is missing, or built when its recipe has changed.

use claude_bottle_kit::agent_image::{AgentImage, BuiltImage};
use claude_bottle_kit::key;
use claude_bottle_kit::recipe::{context, proxy_args};
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result, Step};

use crate::engine::{Build, Image, Podman};
use crate::error::PodmanError;

/// Makes sure an image is there and up to date, and returns what is known of it.
pub(crate) fn ensure(image: &AgentImage, podman: &Podman, call: &Call) -> Result<Image> {
    let found = podman.image(image.reference())?;
    match (image, found) {
        (AgentImage::Given { .. }, Some(found)) => return Ok(found),
        (AgentImage::Given { reference }, None) => pull(podman, call, reference)?,
        (AgentImage::Built(built), Some(found)) => match found.labels.get(key::IMAGE_KEY) {
            None if built.tag_chosen => return Ok(found),
            Some(have) if *have == built.key => return Ok(found),
            _ => build(built, podman, call)?,
        },
        (AgentImage::Built(built), None) => build(built, podman, call)?,
    }
    Ok(podman.image(image.reference())?.ok_or(PodmanError::ReadAnswer { what: "an image" })?)
}

fn build(image: &BuiltImage, podman: &Podman, call: &Call) -> Result<()> {
    let BuiltImage { tag, base, dockerfile, args, key, .. } = image;
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

fn pull(podman: &Podman, call: &Call, reference: &str) -> Result<()> {
    let step: Step<'_> = call.step("pull-image", format!("pulling {reference}"));
    let pulled = podman.pull(call, reference, &mut |line| step.output(line));
    pulled.map_err(|failure| failure.context(format!("cannot pull the image `{reference}`")))?;
    step.done();
    Ok(())
}
