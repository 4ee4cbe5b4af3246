//! Systems other than Linux: they are asked for no start time, and a reused number counts as alive.

use claude_bottle_plugin_api::Owner;

pub(super) fn this_process() -> (u32, u64) {
    (std::process::id(), 0)
}

pub(super) fn boot_id() -> String {
    String::new()
}

pub(super) fn machine_id() -> String {
    String::new()
}

pub(super) fn pid_namespace() -> u64 {
    0
}

pub(super) fn is_alive(owner: &Owner) -> Option<bool> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(owner.pid).ok()?)?;
    match rustix::process::test_kill_process(pid) {
        Err(rustix::io::Errno::SRCH) => Some(false),
        _ => Some(true),
    }
}

pub(super) fn is_alive_in_namespace(_owner: &Owner) -> Option<bool> {
    None
}
