//! Limits of a bottle: what was asked for, what is meant where nothing was, and how both are said.

use claude_bottle_plugin_api::Limits;
use serde::{Deserialize, Serialize};

/// The bytes of `/dev/shm` when a bottle says nothing of it: enough for a browser or a database under test, where an engine's own
/// 64 MiB are too few.
pub const SHM_BYTES: u64 = 256 << 20;

/// Processes and threads of a bottle that says nothing of them.
const PROCESSES: u64 = 1024;

/// Processors and bytes of memory of a container that says nothing of them.
const CONTAINER: (f64, u64) = (4.0, 4 << 30);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Limits with nothing left open but processors, which a backend may leave unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Processors.
    pub cpus: Option<f64>,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Of `/dev/shm`, in bytes.
    #[serde(default)]
    pub shm_bytes: u64,
}

impl Bounds {
    /// Takes what was asked for, and for the rest what the backend means by nothing.
    pub fn of(asked: &Limits, cpus: Option<f64>, memory_bytes: u64) -> Self {
        Self {
            cpus: asked.cpus.or(cpus),
            memory_bytes: asked.memory_bytes.unwrap_or(memory_bytes),
            pids: asked.pids.unwrap_or(PROCESSES),
            shm_bytes: asked.shm_bytes.unwrap_or(SHM_BYTES),
        }
    }

    /// Takes what was asked for, and for the rest what a container gets. More processors than an engine's machine has are refused by
    /// engines, and are cut off here where their number is known.
    pub fn of_container(asked: &Limits, machine_cpus: Option<u64>) -> Self {
        let (cpus, memory_bytes) = CONTAINER;
        let bounds = Self::of(asked, Some(cpus), memory_bytes);
        let most = machine_cpus.map_or(f64::INFINITY, |cpus| cpus as f64);
        Self { cpus: bounds.cpus.map(|cpus| cpus.min(most)), ..bounds }
    }

    /// Describes the limits for a plan.
    pub fn describe(&self) -> String {
        let cpus = self.cpus.map(|cpus| format!("{cpus} cpus, ")).unwrap_or_default();
        let (memory, shm) = (amount(self.memory_bytes), amount(self.shm_bytes));
        format!("{cpus}{memory} memory ({shm} of it may be shared), {} processes", self.pids)
    }
}

/// Describes the limit that a program met, and what raises it: "memory limit of 4 GiB; raise `bottles.dev.limits.memory`".
///
/// `name` is the limit's in the manifest; of a bottle that an older program made the amount may not be known.
pub fn reached(bottle: &str, what: &str, amount: Option<String>, name: &str) -> String {
    let of = amount.map(|amount| format!(" of {amount}")).unwrap_or_default();
    format!("{what} limit{of}; raise `bottles.{bottle}.limits.{name}`")
}

/// Formats an amount of memory for people.
pub fn amount(bytes: u64) -> String {
    if bytes.is_multiple_of(GIB) { format!("{} GiB", bytes / GIB) } else { format!("{} MiB", bytes / MIB) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_what_the_backend_means_by_it() {
        let mut asked = Limits::default();
        let bounds = Bounds::of(&asked, Some(2.0), 4 * GIB);
        assert_eq!(bounds.describe(), "2 cpus, 4 GiB memory (256 MiB of it may be shared), 1024 processes");
        (asked.memory_bytes, asked.pids, asked.shm_bytes) = (Some(640 * MIB), Some(77), Some(MIB));
        let said = Bounds::of(&asked, None, GIB).describe();
        assert_eq!(said, "640 MiB memory (1 MiB of it may be shared), 77 processes");
    }

    #[test]
    fn a_container_gets_no_more_processors_than_there_are() {
        let cpus = |asked, machine| {
            let mut limits = Limits::default();
            limits.cpus = asked;
            Bounds::of_container(&limits, machine).cpus
        };
        assert_eq!((cpus(None, Some(2)), cpus(Some(3.0), Some(8))), (Some(2.0), Some(3.0)));
        assert_eq!((cpus(None, None), cpus(Some(9.0), None)), (Some(4.0), Some(9.0)));
    }

    #[test]
    fn a_limit_that_was_met_is_named_with_what_raises_it() {
        let said = reached("dev", "memory", Some(amount(4 * GIB)), "memory");
        assert_eq!(said, "memory limit of 4 GiB; raise `bottles.dev.limits.memory`");
        assert_eq!(reached("dev", "process", None, "pids"), "process limit; raise `bottles.dev.limits.pids`");
    }
}
