//! Ends of a bottle: its container is removed before what it used.

use claude_bottle_directory::close::Ends;
use claude_bottle_directory::{Record, Store};
use claude_bottle_kit::cleanup::joined;
use claude_bottle_kit::key;
use claude_bottle_plugin_api::{Failure, Result};

use crate::engine::Podman;

/// Returns how bottles end.
pub(crate) fn ends<'a>(
    podman: &'a Podman,
    bottles: &'a Store,
) -> Ends<'a, impl Fn(&Record) -> Result<()> + 'a> {
    Ends { bottles, agent: |record: &Record| remove_containers(podman, record) }
}

/// Removes what carries the run's label: another container of the bottle's name is not touched.
fn remove_containers(podman: &Podman, record: &Record) -> Result<()> {
    if !record.has_container {
        return Ok(());
    }
    let found = podman.labelled(&format!("{}={}", key::ID, record.id))?;
    let removed = found.iter().map(|container| podman.remove(&container.id));
    joined(removed.filter_map(|removed| removed.err().map(Failure::from)))
}
