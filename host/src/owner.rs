//! The process a run belongs to, and whether it is still alive.

use claude_bottle_plugin_api::Owner;

/// Returns this process as an owner.
pub fn this_process() -> Owner {
    let pid = std::process::id();
    Owner::new(host_name(), pid, start_time(pid).unwrap_or(0))
}

/// Returns whether the owner still runs; `None` when that cannot be known from here.
pub fn is_alive(owner: &Owner) -> Option<bool> {
    if owner.host != host_name() {
        return None;
    }
    Some(start_time(owner.pid) == Some(owner.started))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Returns when a live process started, in clock ticks since the machine did; `None` when there is no such process.
///
/// Field 22 of `/proc/PID/stat` (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>); the second field, in
/// parentheses, may itself contain spaces and parentheses.
#[cfg(target_os = "linux")]
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // A zombie has ended; only its parent has not asked yet.
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

/// Returns 0 for a live process: other systems are asked for no start time, and a reused number counts as alive.
#[cfg(not(target_os = "linux"))]
fn start_time(pid: u32) -> Option<u64> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    rustix::process::test_kill_process(pid).is_ok().then_some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_number_with_another_start_is_not() {
        let me = this_process();
        assert_eq!(is_alive(&me), Some(true));
        assert_eq!(is_alive(&Owner::new(me.host.clone(), me.pid, me.started + 1)), Some(false));
        assert_eq!(is_alive(&Owner::new("another-machine", me.pid, me.started)), None);
    }

    #[test]
    fn a_process_that_ended_is_dead_before_and_after_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let owner = Owner::new(host_name(), child.id(), start_time(child.id()).unwrap_or(0));
        child.wait().unwrap();
        assert_eq!(is_alive(&owner), Some(false));
    }
}
