//! Limits of a bottle: what was asked for, the defaults, and what the engine can enforce.

use bollard::models::{HostConfig, HostConfigLogConfig};
use claude_bottle_kit::limits::Bounds;
use claude_bottle_plugin_api::Limits;
use serde::{Deserialize, Serialize};

use crate::engine::EngineFacts;

const GIB: u64 = 1 << 30;
/// What gVisor needs of the host's tasks for itself and for a process inside. The engine's limit counts those, not the
/// processes: measured 55 and 8 on its platform `ptrace`, 37 and 3 on `systrap`.
const GVISOR_TASKS: (u64, u64) = (128, 8);

/// The bottle's limits, as this engine is to keep them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResolvedLimits {
    #[serde(flatten)]
    pub(crate) bounds: Bounds,
    /// What the engine's limit on processes is instead, where it counts the sandbox's own tasks.
    pub(crate) sandbox_tasks: Option<u64>,
}

/// What the sidecar gets: it holds no more than buffers.
pub(crate) const SIDECAR: ResolvedLimits = ResolvedLimits {
    bounds: Bounds { cpus: Some(1.0), memory_bytes: GIB / 4, pids: 256, shm_bytes: 1 << 20 },
    sandbox_tasks: None,
};

impl ResolvedLimits {
    /// Fills in the defaults, and stays within the machine's processors.
    pub(crate) fn of(asked: &Limits, facts: &EngineFacts) -> Self {
        let machine_cpus = Some(facts.cpus).filter(|cpus| *cpus > 0);
        Self { bounds: Bounds::of_container(asked, machine_cpus), sandbox_tasks: None }
    }

    /// Makes room for gVisor's own tasks: what is allowed are about as many processes inside.
    pub(crate) fn in_gvisor(self) -> Self {
        let (own, each) = GVISOR_TASKS;
        Self { sandbox_tasks: Some(self.bounds.pids.saturating_mul(each).saturating_add(own)), ..self }
    }

    /// Puts the limits into a container's settings.
    pub(crate) fn apply(self, host: &mut HostConfig) {
        let Bounds { cpus, memory_bytes, pids, shm_bytes } = self.bounds;
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        host.memory = Some(number(memory_bytes));
        // Memory and swap together: no swap.
        host.memory_swap = Some(number(memory_bytes));
        host.nano_cpus = cpus.map(|cpus| (cpus * 1e9) as i64);
        host.pids_limit = Some(number(self.sandbox_tasks.unwrap_or(pids)));
        host.shm_size = Some(number(shm_bytes));
        let options = [("max-size", "16m"), ("max-file", "2")];
        host.log_config = Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        });
    }
}

/// Names the limits which the engine cannot enforce and a bottle can do without, each as a sentence.
pub(crate) fn missing(facts: &EngineFacts) -> Vec<String> {
    let limits = facts.limits;
    [
        (limits.swap || !limits.memory, "the engine cannot keep a bottle out of the swap space"),
        (limits.cpu, "the engine cannot limit processors"),
    ]
    .into_iter()
    .filter(|(can, _)| !can)
    .map(|(_, sentence)| sentence.to_owned())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_open() {
        let facts = EngineFacts { cpus: 2, ..EngineFacts::default() };
        let bounds = ResolvedLimits::of(&Limits::default(), &facts);
        assert_eq!(
            bounds.bounds.describe(),
            "2 cpus, 4 GiB memory (256 MiB of it may be shared), 1024 processes"
        );
        let mut host = HostConfig::default();
        bounds.apply(&mut host);
        assert_eq!(host.memory, host.memory_swap);
        assert_eq!(host.nano_cpus, Some(2_000_000_000));
        assert_eq!(missing(&facts).len(), 1);
        assert_eq!(host.pids_limit, Some(1024));
        bounds.in_gvisor().apply(&mut host);
        assert_eq!((host.pids_limit, bounds.in_gvisor().bounds.pids), (Some(8320), 1024));
    }
}
