//! Images of egress guards that were replaced: each version of the program has one of its own.
//!
//! One is offered for removal when no container was made from it and it is not the one that was used here last. Another
//! installation that uses the engine as well may need it still; its next start loads it again.

use std::path::Path;

use claude_bottle_kit::key;
use claude_bottle_plugin_api::{CleanupItem, Result};

use super::{guard, known};
use crate::engine::{Engine, EngineError, Kind};
use crate::error::DockerError;

/// Finds them.
pub(crate) async fn find(engine: &impl Engine, data_dir: &Path) -> Result<Vec<CleanupItem>> {
    // What is in use here is not known before the first start.
    let Some(current) = known::tag(data_dir) else { return Ok(Vec::new()) };
    let failed = |source| DockerError::ListLeftovers { name: guard::NAME.to_owned(), source };
    let found = engine.list(Kind::Image, &[key::IMAGE_KEY.to_owned()]).await.map_err(failed)?;
    let mut items = Vec::new();
    for image in found.iter().filter(|image| image.name.starts_with(guard::NAME) && image.name != current) {
        if !engine.has_container(&image.name).await.map_err(failed)? {
            let reason = "an egress guard that was replaced, and no container uses it";
            items.push(CleanupItem::new(Kind::Image.noun(), &image.id, &image.name, reason));
        }
    }
    Ok(items)
}

/// Removes one, and returns whether it is gone: one that is in use again stays.
pub(crate) async fn remove(engine: &impl Engine, item: &CleanupItem) -> Result<bool, EngineError> {
    if !item.id.starts_with(guard::NAME) {
        return Ok(false);
    }
    match engine.remove(Kind::Image, &item.id).await {
        Ok(()) => Ok(true),
        Err(EngineError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
