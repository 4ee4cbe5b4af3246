//! Images: the agent's, built from the Dockerfile of this plug-in or given by the user, and how they are looked for.

mod agent;
pub(crate) mod guard;

use claude_bottle_plugin_api::{Call, Result};

pub(crate) use agent::{AgentImage, ensure};

use crate::cancel::unless_cancelled;
use crate::engine::Engine;
use crate::error::DockerError;

/// Makes sure an image that is not ours is there, pulling it when it is not.
pub(crate) async fn ensure_given(engine: &impl Engine, call: &Call, reference: &str) -> Result<()> {
    let find = |source| DockerError::FindImage { reference: reference.to_owned(), source };
    if engine.image(reference).await.map_err(find)?.is_some() {
        return Ok(());
    }
    let step = call.step("pull-image", format!("pulling {reference}"));
    let mut line = |text: String| step.output(text);
    let pull = async {
        let pulled = engine.pull_image(reference, &mut line).await;
        Ok(pulled.map_err(|source| DockerError::PullImage { reference: reference.to_owned(), source })?)
    };
    unless_cancelled(call, pull).await?;
    step.done();
    Ok(())
}

/// Returns the first 16 hexadecimal digits of a hash.
fn short_hash(parts: &[&[u8]]) -> String {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
