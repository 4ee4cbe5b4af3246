//! Limits: control groups where this user was given some, resource limits of processes everywhere.

use std::fs;
use std::path::{Path, PathBuf};

use bottle_guest::protocol;
use claude_bottle_kit::limits::Bounds;
use claude_bottle_plugin_api::{Limits as Wanted, Result};
use serde::{Deserialize, Serialize};

use claude_bottle_kit::paths::PathExt;

/// Open descriptors of one process.
const DESCRIPTORS: u64 = 65_536;

/// Bytes of one file; a runaway log ends here.
pub(crate) const FILE_BYTES: u64 = 64 << 30;

/// Where control groups are mounted: <https://docs.kernel.org/admin-guide/cgroup-v2.html>.
const ROOT: &str = "/sys/fs/cgroup";

/// Resolved limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// What is kept.
    #[serde(flatten)]
    pub(crate) bounds: Bounds,
    /// Where control groups for the bottle can be made, and for what.
    pub(crate) groups: Vec<Parent>,
}

/// A control group below which this user may make others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) path: PathBuf,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) is_v2: bool,
}

/// What a control group limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

impl Limits {
    /// Takes what the manifest wants and what this machine allows.
    pub(crate) fn resolve(wanted: &Wanted) -> Self {
        Self {
            bounds: Bounds::of(wanted, None, total_memory() / 4 * 3),
            groups: parents(Path::new(ROOT), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default()),
        }
    }

    /// Returns `true` if a control group enforces this.
    pub(crate) fn has(&self, controller: Controller) -> bool {
        self.groups.iter().any(|parent| parent.controllers.contains(&controller))
    }

    /// Returns what every process in the bottle sets on itself.
    pub(crate) fn of_processes(&self) -> protocol::Limits {
        protocol::Limits {
            processes: Some(self.bounds.pids),
            // With a control group the bottle as a whole is limited; without, each process is.
            data_bytes: (!self.has(Controller::Memory)).then_some(self.bounds.memory_bytes),
            file_bytes: Some(FILE_BYTES),
            descriptors: Some(DESCRIPTORS),
        }
    }

    /// Returns a sentence for each limit that is not enforced, or only in part.
    pub(crate) fn shortcomings(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if !self.has(Controller::Memory) {
            sentences.push(
                "the memory limit holds for each process, not for the bottle: no control group was delegated to this user"
                    .to_owned(),
            );
        }
        if self.bounds.cpus.is_some() && !self.has(Controller::Cpu) {
            sentences.push(
                "the processor limit is not enforced: no control group was delegated to this user".to_owned(),
            );
        }
        sentences
    }

    /// Names the bottle's control groups, in the order of their parents.
    pub(crate) fn groups_of(&self, name: &str) -> Vec<PathBuf> {
        self.groups.iter().map(|parent| parent.path.join(name)).collect()
    }

    /// Makes the control groups that [`Self::groups_of`] named, with their limits in them.
    pub(crate) fn make_groups(&self, groups: &[PathBuf]) -> Result<()> {
        for (parent, path) in self.groups.iter().zip(groups) {
            fs::create_dir(path).at("create", path)?;
            for controller in &parent.controllers {
                for (file, value) in self.settings(*controller, parent.is_v2) {
                    let file = path.join(file);
                    fs::write(&file, value).at("write", &file)?;
                }
            }
        }
        Ok(())
    }

    fn settings(&self, controller: Controller, is_v2: bool) -> Vec<(&'static str, String)> {
        let period = 100_000;
        let quota = self.bounds.cpus.map(|cpus| (cpus * f64::from(period)) as u64);
        match (controller, is_v2) {
            (Controller::Memory, true) => {
                let limit = self.bounds.memory_bytes.to_string();
                vec![("memory.max", limit), ("memory.swap.max", "0".to_owned())]
            }
            (Controller::Memory, false) => {
                vec![("memory.limit_in_bytes", self.bounds.memory_bytes.to_string())]
            }
            // Process 1 and the relay are not the agent's.
            (Controller::Pids, _) => vec![("pids.max", (self.bounds.pids + 16).to_string())],
            (Controller::Cpu, true) => {
                quota.map(|quota| ("cpu.max", format!("{quota} {period}"))).into_iter().collect()
            }
            (Controller::Cpu, false) => {
                let quota = quota.map(|quota| ("cpu.cfs_quota_us", quota.to_string()));
                quota.into_iter().collect()
            }
        }
    }
}

/// Finds where groups can be made, from the lines of `/proc/self/cgroup`.
fn parents(root: &Path, groups: &str) -> Vec<Parent> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        match names {
            "" => found.extend(unified(root, path)),
            names => found.extend(names.split(',').filter_map(|name| legacy(root, name, path))),
        }
    }
    found
}

/// Walks up from this process's group to one this user may make groups in, which can hand controllers down.
fn unified(root: &Path, path: &str) -> Option<Parent> {
    let root = [root.join("unified"), root.to_owned()]
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists())?;
    let own = root.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|group| group.starts_with(&root)).skip(1).find_map(|group| {
        let down = fs::read_to_string(group.join("cgroup.subtree_control")).ok()?;
        let controllers: Vec<_> = controllers(down.split_whitespace());
        // A process may be moved by a user who can write to the common parent of both groups.
        let is_ours = is_writable(group) && is_writable(&group.join("cgroup.procs"));
        (is_ours && !controllers.is_empty()).then(|| Parent {
            path: group.to_owned(),
            controllers,
            is_v2: true,
        })
    })
}

/// Finds a hierarchy of the older kind, which only root has a say in.
fn legacy(root: &Path, name: &str, path: &str) -> Option<Parent> {
    let controllers = controllers([name].into_iter());
    let own = root.join(name).join(path.trim_start_matches('/'));
    let is_ours = is_writable(&own) && own.join("cgroup.procs").exists();
    (is_ours && !controllers.is_empty()).then_some(Parent { path: own, controllers, is_v2: false })
}

fn controllers<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Controller> {
    names
        .filter_map(|name| Controller::ALL.into_iter().find(|controller| controller.name() == name))
        .collect()
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

fn total_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_where_controllers_are_handed_down() {
        let root = tempfile::tempdir().unwrap();
        let slice = root.path().join("user.slice/app.slice");
        fs::create_dir_all(slice.join("term.scope")).unwrap();
        for group in [root.path(), &slice] {
            fs::write(group.join("cgroup.procs"), "").unwrap();
            fs::write(group.join("cgroup.subtree_control"), "").unwrap();
        }
        fs::write(slice.join("cgroup.subtree_control"), "memory pids\n").unwrap();
        let found = parents(root.path(), "0::/user.slice/app.slice/term.scope\n");
        let controllers = vec![Controller::Memory, Controller::Pids];
        assert_eq!(found, [Parent { path: slice, controllers, is_v2: true }]);
        assert_eq!(parents(root.path(), "0::/elsewhere\nnonsense\n4:memory:/x\n"), []);
    }

    #[test]
    fn without_a_group_the_plan_says_so() {
        let bounds = Bounds { cpus: Some(1.5), memory_bytes: 1 << 30, pids: 9, shm_bytes: 1 };
        let limits = Limits { bounds, groups: Vec::new() };
        assert_eq!(limits.shortcomings().len(), 2);
        assert_eq!(limits.of_processes().data_bytes, Some(1 << 30));
    }
}
