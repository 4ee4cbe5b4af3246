//! Limits: by control groups where Podman has some, by resource limits of each process everywhere.

use bottle_guest::protocol;
use claude_bottle_kit::limits::Bounds;
use claude_bottle_plugin_api::Limits as Wanted;
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::Facts;

/// Open descriptors of one process.
const DESCRIPTORS: u64 = 65_536;

/// Processes of one user, of which the bottle's own limit is a part: no more than Podman leaves itself, the usual number of process
/// numbers of a machine.
const PROCESSES: u64 = 32_768;

/// Bytes of one file; a runaway log ends here.
const FILE_BYTES: u64 = 64 << 30;

/// What processor time is counted in, in microseconds.
const PERIOD: u64 = 100_000;

/// Process 1 and its threads are not the agent's.
const OWN_TASKS: u64 = 64;

/// Resolved limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    #[serde(flatten)]
    pub(crate) bounds: Bounds,
    /// What control groups limit here.
    controllers: Vec<String>,
    rootless: bool,
}

impl Limits {
    /// Resolves the manifest's limits with what Podman can enforce here.
    pub(crate) fn resolve(wanted: &Wanted, facts: &Facts) -> Self {
        let bounds = Bounds::of_container(wanted, Some(facts.cpus).filter(|cpus| *cpus > 0));
        Self { bounds, controllers: facts.controllers.clone(), rootless: facts.rootless }
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// Returns what the container's control group is asked to keep, which is nothing where there is none.
    pub(crate) fn of_container(&self) -> Value {
        let mut limits = json!({});
        if self.has("memory") {
            // Memory and swap together: no swap.
            limits["memory"] = json!({ "limit": self.bounds.memory_bytes, "swap": self.bounds.memory_bytes });
        }
        if let Some(cpus) = self.bounds.cpus.filter(|_| self.has("cpu")) {
            limits["cpu"] = json!({ "quota": (cpus * PERIOD as f64) as u64, "period": PERIOD });
        }
        if self.has("pids") {
            limits["pids"] = json!({ "limit": self.bounds.pids + OWN_TASKS });
        }
        limits
    }

    /// Returns the resource limits of process 1. None is above this process's own: the usual ones of Podman may be, and are refused
    /// by the kernel then.
    pub(crate) fn of_process_1() -> Value {
        let at_most =
            |resource, wanted: u64| getrlimit(resource).maximum.map_or(wanted, |own| own.min(wanted));
        let descriptors = at_most(Resource::Nofile, DESCRIPTORS);
        let processes = at_most(Resource::Nproc, PROCESSES);
        json!([
            { "type": "NOFILE", "soft": descriptors, "hard": descriptors },
            { "type": "NPROC", "soft": processes, "hard": processes },
        ])
    }

    /// Returns what every program sets on itself.
    pub(crate) fn of_programs(&self) -> protocol::Limits {
        protocol::Limits {
            // The kernel counts a user's processes for each user namespace. Root's containers share one with the machine.
            processes: self.rootless.then_some(self.bounds.pids),
            // With a control group the bottle as a whole is limited; without, each process is.
            data_bytes: (!self.has("memory")).then_some(self.bounds.memory_bytes),
            file_bytes: Some(FILE_BYTES),
            descriptors: Some(DESCRIPTORS),
        }
    }

    /// Returns a sentence for each limit that is not enforced, or only in part.
    pub(crate) fn shortcomings(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let why = "Podman has no control group for it here";
        if !self.has("memory") {
            sentences.push(format!("the memory limit holds for each process, not for the bottle: {why}"));
        }
        if self.bounds.cpus.is_some() && !self.has("cpu") {
            sentences.push(format!("the processor limit is not enforced: {why}"));
        }
        if !self.has("pids") && !self.rootless {
            sentences.push(format!("the process limit is not enforced: {why}"));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(controllers: &[&str], rootless: bool) -> Limits {
        let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
        let facts = Facts { cpus: 2, controllers, rootless, ..Facts::default() };
        Limits::resolve(&Wanted::default(), &facts)
    }

    #[test]
    fn with_control_groups_nothing_is_left_open() {
        let limits = limits(&["cpu", "memory", "pids"], false);
        assert_eq!(limits.shortcomings(), Vec::<String>::new());
        let asked = limits.of_container();
        assert_eq!(asked["memory"]["limit"], asked["memory"]["swap"]);
        assert_eq!((&asked["cpu"]["quota"], &asked["pids"]["limit"]), (&json!(200_000), &json!(1088)));
        assert_eq!((limits.of_programs().data_bytes, limits.of_programs().processes), (None, None));
    }

    #[test]
    fn without_them_each_process_is_limited_and_the_plan_says_so() {
        let limits = limits(&[], true);
        assert_eq!(limits.shortcomings().len(), 2);
        assert_eq!(limits.of_container(), json!({}));
        let programs = limits.of_programs();
        assert_eq!((programs.data_bytes, programs.processes), (Some(4 << 30), Some(1024)));
    }
}
