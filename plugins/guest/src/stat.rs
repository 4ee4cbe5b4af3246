//! What the kernel says of a process: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.

use std::fs;

use rustix::process::{Pid, getpid};

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its session's leader.
    pub(crate) session: Option<Pid>,
    /// When it was started, in ticks since the system was. With its number it tells it from every other one.
    pub(crate) started: u64,
}

impl Stat {
    /// Reads it; `None` for a process that is gone, or just waits to be reaped.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
    }
}

/// Counts the processes that are not this one and do not just wait to be reaped.
pub(crate) fn others() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(|pid| *pid != getpid() && Stat::of(*pid).is_some()).count()
}

/// Reads the line of numbers; the program's name before them may contain anything.
fn parse(stat: &str) -> Option<Stat> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let session = fields.get(3)?.parse().ok().and_then(Pid::from_raw);
    let started = fields.get(19)?.parse().ok()?;
    (!matches!(fields.first(), Some(&"Z" | &"X"))).then_some(Stat { session, started })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_hostile_name_is_not_read_as_numbers() {
        let rest = "0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4321 1 1";
        let of = |begin: &str| parse(&format!("{begin} {rest}"));
        let session = |begin| of(begin)?.session.map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(session("12 (a) S 1 9 9 (b) S 3 4 77"), Some(77));
        assert_eq!(session("12 (sh) S 1 12 5"), Some(5));
        assert_eq!(of("12 (sh) S 1 12 5").map(|stat| stat.started), Some(4321));
        assert_eq!(of("12 (sh) Z 1 12 5"), None);
        assert_eq!(parse("12 (sh"), None);
    }

    #[test]
    fn a_process_is_in_its_session_while_it_is_there() {
        let mut own = Command::new("setsid").args(["sleep", "60"]).spawn().unwrap();
        let pid = Pid::from_raw(own.id().cast_signed()).unwrap();
        let leads = || Stat::of(pid).is_some_and(|stat| stat.started > 0 && stat.session == Some(pid));
        let until = Instant::now() + Duration::from_secs(10);
        while !leads() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(leads());
        own.kill().unwrap();
        own.wait().unwrap();
        assert_eq!(Stat::of(pid), None);
    }
}
