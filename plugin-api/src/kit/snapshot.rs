//! What a call must leave as it was: files of a directory, and what belongs to the process as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file under a directory, with its length; a directory that is not there is empty.
pub(super) fn files(directory: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(path),
                Ok(metadata) => {
                    found.insert(path, metadata.len());
                }
                Err(_) => {}
            }
        }
    }
    found
}

/// What all of the process shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    parts: BTreeMap<&'static str, String>,
}

impl Process {
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        let environment: BTreeMap<_, _> = std::env::vars_os().collect();
        let parts = [
            ("working directory", std::env::current_dir().unwrap_or_default().display().to_string()),
            ("environment", format!("{environment:?}")),
            ("umask", line("Umask")),
            ("ignored signals", signals(&line("SigIgn"))),
            ("handled signals", signals(&line("SigCgt"))),
        ];
        Self { parts: parts.into() }
    }

    /// Names what differs.
    pub(super) fn difference(&self, later: &Self) -> Option<String> {
        let changed = self.parts.iter().find(|(name, before)| later.parts.get(*name) != Some(*before));
        changed.map(|(name, _)| format!("the process's {name} changed"))
    }
}

/// Returns a set of signals as the kernel writes it (proc(5)), without the two that glibc keeps for its threads.
fn signals(mask: &str) -> String {
    /// Signals 32 and 33, which glibc handles from the first thread on (signal(7)).
    const OF_GLIBC: u64 = 0b11 << 31;
    let mask = u64::from_str_radix(mask, 16).unwrap_or_default();
    format!("{:x}", mask & !OF_GLIBC)
}

/// Returns the descriptors that are open, by number and what they are.
pub(super) fn descriptors() -> BTreeMap<String, String> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().into_string().ok()?, target.display().to_string()))
    });
    // The directory that is being read is open as well.
    named.filter(|(_, target)| !target.contains("/proc/") && !target.ends_with("/fd")).collect()
}

/// Returns how many threads the process has.
pub(super) fn n_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}
