//! What Linux tells of processes: start times, pid namespaces, and which kernel and machine this is.

use std::fs;
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

use claude_bottle_plugin_api::Owner;
use rustix::process::{Pid, test_kill_process};
use sha2::{Digest, Sha256};

/// The number of the pid namespace a machine starts with: `PROC_PID_INIT_INO` in
/// <https://github.com/torvalds/linux/blob/v6.6/include/linux/proc_ns.h>.
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Returns this process's number in its own pid namespace, and when it started.
pub(super) fn this_process() -> (u32, u64) {
    // `/proc` may be that of another pid namespace, in which the number is another process's.
    (std::process::id(), start_time(Path::new("/proc/self")).unwrap_or(0))
}

/// Returns which start of which kernel this is.
pub(super) fn boot_id() -> String {
    line("/proc/sys/kernel/random/boot_id")
}

/// Returns which machine this is, over all its starts; empty when it is not set.
///
/// The identifier itself is confidential: <https://man7.org/linux/man-pages/man5/machine-id.5.html>.
pub(super) fn machine_id() -> String {
    let id = line("/etc/machine-id");
    if id.is_empty() {
        return id;
    }
    let hash = Sha256::new().chain_update("claude-bottle owner ").chain_update(&id).finalize();
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the number of this process's pid namespace; 0 when it cannot be seen.
pub(super) fn pid_namespace() -> u64 {
    namespace_of(Path::new("/proc/self")).unwrap_or(0)
}

/// Returns whether a process of this pid namespace still runs; `None` when this user cannot see that.
pub(super) fn is_alive(owner: &Owner) -> Option<bool> {
    let pid = Pid::from_raw(i32::try_from(owner.pid).ok()?)?;
    let process = Path::new("/proc").join(owner.pid.to_string());
    if is_proc_ours()
        && let Some(started) = start_time(&process)
    {
        return Some(started == owner.started && !has_ended(&process));
    }
    // `/proc` may hide other users' processes (hidepid); the kernel still tells whether there is one.
    match test_kill_process(pid) {
        Err(rustix::io::Errno::SRCH) => Some(false),
        _ => None,
    }
}

/// Returns whether a process of another pid namespace still runs; `None` when that namespace cannot be seen whole.
pub(super) fn is_alive_in_namespace(owner: &Owner) -> Option<bool> {
    // Who may look at process 1 may look at every process, and none is hidden.
    if owner.pid_namespace == 0 || !is_proc_ours() || namespace_of(Path::new("/proc/1")).is_err() {
        return None;
    }
    let mut is_below_this_one = pid_namespace() == FIRST_NAMESPACE;
    for entry in fs::read_dir("/proc").ok()? {
        let process = entry.ok()?.path();
        if process.file_name()?.to_str()?.parse::<u32>().is_err() {
            continue;
        }
        match namespace_of(&process) {
            Ok(namespace) if namespace == owner.pid_namespace => is_below_this_one = true,
            // It has ended meanwhile, or belongs elsewhere.
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        }
        if innermost_number(&process) == Some(owner.pid) && start_time(&process) == Some(owner.started) {
            return Some(!has_ended(&process));
        }
    }
    is_below_this_one.then_some(false)
}

/// Returns whether `/proc` shows this process's own pid namespace.
fn is_proc_ours() -> bool {
    fs::read_link("/proc/self")
        .is_ok_and(|number| number.as_os_str() == std::process::id().to_string().as_str())
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn namespace_of(process: &Path) -> io::Result<u64> {
    fs::metadata(process.join("ns/pid")).map(|namespace| namespace.st_ino())
}

/// Returns the number a process has in the innermost of its pid namespaces.
fn innermost_number(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().next_back()?.parse().ok()
}

/// Returns when a process started, in clock ticks since the machine did; `None` when it cannot be seen.
pub(super) fn start_time(process: &Path) -> Option<u64> {
    fields_of(process)?.get(19)?.parse().ok()
}

/// Returns whether a process is a zombie: it has ended, and only its parent has not asked yet.
fn has_ended(process: &Path) -> bool {
    fields_of(process).is_none_or(|fields| matches!(fields.first().map(String::as_str), Some("Z" | "X")))
}

/// Returns the fields of `/proc/PID/stat` from the third on (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>);
/// the second, in parentheses, may itself contain spaces and parentheses.
fn fields_of(process: &Path) -> Option<Vec<String>> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
