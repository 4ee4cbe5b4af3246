//! Images: the agent's, built from the Dockerfile of this plug-in or given by the user, and how they are looked for.

mod agent;
pub(crate) mod guard;
pub(crate) mod known;
pub(crate) mod superseded;
pub(crate) mod user;

use claude_bottle_plugin_api::{Call, Result};

pub(crate) use agent::{Renew, ensure};

use crate::engine::Engine;
use crate::error::DockerError;
use claude_bottle_engine::unless_cancelled;

/// Makes sure an image that is not ours is there, pulling it when it is not.
pub(crate) async fn ensure_given(engine: &impl Engine, call: &Call, reference: &str) -> Result<()> {
    let find = |source| DockerError::FindImage { reference: reference.to_owned(), source };
    if engine.image(reference).await.map_err(find)?.is_some() {
        return Ok(());
    }
    pull(engine, call, reference).await
}

/// Gets an image from its registry, whether there is one already or not.
async fn pull(engine: &impl Engine, call: &Call, reference: &str) -> Result<()> {
    let step = call.step("pull-image", format!("pulling {reference}"));
    let mut line = |text: String| step.output(text);
    let one = with_tag(reference);
    let pull = async {
        let pulled = engine.pull_image(&one, &mut line).await;
        Ok(pulled.map_err(|source| DockerError::PullImage { reference: reference.to_owned(), source })?)
    };
    unless_cancelled(call, pull).await?;
    step.done();
    Ok(())
}

/// Adds the usual tag to a name without one, of which an engine would pull every tag.
/// <https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageCreate>
fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

#[cfg(test)]
mod tests {
    use super::with_tag;

    #[test]
    fn one_image_is_pulled_and_not_all_of_a_name() {
        let check = |reference, expected| assert_eq!(with_tag(reference), expected);
        check("debian", "debian:latest");
        check("debian:12", "debian:12");
        check("here:5000/debian", "here:5000/debian:latest");
        check("here:5000/debian:12", "here:5000/debian:12");
        check("debian@sha256:00", "debian@sha256:00");
    }
}
