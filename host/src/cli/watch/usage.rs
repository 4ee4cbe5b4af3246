//! What bottles take of this machine's processors and memory, where their processes are this machine's.
//!
//! No backend is asked. A process belongs to a bottle when the directory of its run is mounted where the process is: the guard's
//! socket, the home, the copy of the working directory. Only who makes a bottle can mount, so nothing inside can join another's figures or leave
//! its own. A bottle on another machine, or whose guard is a container, has no such mount, and nothing is said of it.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::param::{clock_ticks_per_second, page_size};

/// How often it is looked at: fewer times than keys, since every process is.
const PERIOD: Duration = Duration::from_secs(2);

/// What a bottle takes, its guard included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Used {
    /// In hundredths of one processor; unknown at the first look.
    pub(super) cpu_percent: Option<f64>,
    /// What its processes have in memory. What they share is counted for each.
    pub(super) memory_bytes: u64,
}

/// A process, told from a later one of the same number by its start.
type Process = (u32, u64);

/// What is known of processes and bottles.
#[derive(Default)]
pub(super) struct Usage {
    looked: Option<Instant>,
    /// The processor time of each process of a bottle, in ticks, and its run; no run for all others.
    processes: HashMap<Process, (Option<String>, u64)>,
    used: HashMap<String, Used>,
}

impl Usage {
    /// Looks again when it is time for that.
    pub(super) fn refresh(&mut self, runs: &[&str]) {
        let now = Instant::now();
        let since = self.looked.map(|looked| now.duration_since(looked));
        if since.is_some_and(|since| since < PERIOD) {
            return;
        }
        self.looked = Some(now);
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let stats: Vec<_> = numbers.filter_map(stat_of).collect();
        self.take(&stats, (since, youth()), |pid| mounted(pid, runs));
    }

    /// Returns what a run's bottle takes; nothing where that is not known.
    pub(super) fn of(&self, run: &str) -> Option<Used> {
        self.used.get(run).copied()
    }

    /// Takes all processes of a moment. `belongs` says to which run one does that was not there before, or that is young.
    fn take(
        &mut self,
        stats: &[Stat],
        (since, youth): (Option<Duration>, u64),
        belongs: impl Fn(u32) -> Option<String>,
    ) {
        let before = std::mem::take(&mut self.processes);
        let mut sums: HashMap<String, (u64, u64)> = HashMap::new();
        for stat in stats {
            let process = (stat.pid, stat.started);
            let (run, ticks) = match before.get(&process) {
                Some((Some(run), ticks)) => (Some(run.clone()), *ticks),
                Some((None, _)) if stat.started < youth => (None, 0),
                _ => (belongs(stat.pid), 0),
            };
            if let Some(run) = &run {
                let sum = sums.entry(run.clone()).or_default();
                sum.0 += stat.ticks.saturating_sub(ticks);
                sum.1 += stat.pages;
            }
            self.processes.insert(process, (run, stat.ticks));
        }
        let used = |(run, (ticks, pages)): (String, (u64, u64))| {
            let known = self.used.contains_key(&run);
            let cpu_percent = since.filter(|_| known).map(|since| percent(ticks, since));
            (run, Used { cpu_percent, memory_bytes: pages * page_size() as u64 })
        };
        self.used = sums.into_iter().map(used).collect();
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a few seconds")]
fn percent(ticks: u64, since: Duration) -> f64 {
    100.0 * ticks as f64 / (clock_ticks_per_second() as f64 * since.as_secs_f64())
}

/// What the system says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: u32,
    /// In ticks since the machine's start.
    started: u64,
    /// Processor time.
    ticks: u64,
    pages: u64,
}

/// How long a process may be outside of its bottle, in which it begins.
const YOUTH: Duration = Duration::from_secs(60);

/// Returns from which start on processes are young, in ticks since the machine's start.
fn youth() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split('.').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    seconds.saturating_sub(YOUTH.as_secs()) * clock_ticks_per_second()
}

fn stat_of(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>. The name may hold anything, brackets included.
fn parse(line: &str) -> Option<Stat> {
    let (head, rest) = line.rsplit_once(')')?;
    let pid = head.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The first behind the name is the third of the line.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some(Stat { pid, started: number(22)?, ticks, pages: number(24)? })
}

/// Returns the run whose directory is mounted where a process is.
fn mounted(pid: u32, runs: &[&str]) -> Option<String> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?;
    runs.iter().find(|run| is_mounted(&mounts, run)).map(|run| (*run).to_owned())
}

/// Returns `true` if the directory of a run, or something in it, is among mounts.
/// <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>: the fourth field is what of its file system is mounted.
fn is_mounted(mounts: &str, run: &str) -> bool {
    let directory = format!("/bottles/{run}");
    mounts.lines().filter_map(|line| line.split(' ').nth(3)).any(|root| {
        let rest = root.find(&directory).map(|at| &root[at + directory.len()..]);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u32, ticks: u64, pages: u64) -> Stat {
        Stat { pid, started: 7, ticks, pages }
    }

    #[test]
    fn a_line_of_the_system_is_read_whatever_the_programs_name_is() {
        let line =
            "42 (a) R (b) 1) S 1 42 42 0 -1 4194304 100 0 0 0 30 12 0 0 20 0 1 0 9001 1000000 250 184467 1 1";
        let expected = Stat { pid: 42, started: 9001, ticks: 42, pages: 250 };
        assert_eq!(parse(line), Some(expected));
        for wrong in ["", "42 (x", "x (y) S", "42 (y) S 1 2"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert!(stat_of(std::process::id()).is_some());
    }

    #[test]
    fn a_process_belongs_to_the_run_whose_directory_is_mounted_there() {
        let mounts = "31 28 8:1 / / rw - ext4 /dev/sda1 rw\n\
            40 31 8:1 /home/u/.local/share/claude-bottle/backends/docker/bottles/dev-12/egress /run/x ro - ext4 /dev/sda1 rw\n";
        assert!(is_mounted(mounts, "dev-12"));
        for other in ["dev-1", "dev-123", "ev-12", "u"] {
            assert!(!is_mounted(mounts, other), "{other}");
        }
        // Where something is mounted is the bottle's own to name.
        assert!(!is_mounted("40 31 8:1 /x /bottles/dev-12 ro - ext4 /dev/sda1 rw\n", "dev-12"));
    }

    #[test]
    fn figures_are_those_of_the_time_between_two_looks() {
        let mut usage = Usage::default();
        let belongs = |pid: u32| (pid >= 10).then(|| format!("run-{}", pid / 10));
        usage.take(&[stat(1, 500, 9), stat(10, 100, 2), stat(11, 0, 1), stat(20, 50, 4)], (None, 0), belongs);
        let page = page_size() as u64;
        let first = Used { cpu_percent: None, memory_bytes: 3 * page };
        assert_eq!((usage.of("run-1"), usage.of("run-3")), (Some(first), None));
        let second = clock_ticks_per_second();
        let stats = [stat(1, 900, 9), stat(10, 100 + second, 2), stat(12, second / 2, 5), stat(20, 50, 4)];
        usage.take(&stats, (Some(Duration::from_secs(1)), 100), belongs);
        let used = usage.of("run-1").unwrap();
        assert_eq!((used.cpu_percent, used.memory_bytes), (Some(150.0), 7 * page));
        assert_eq!(usage.of("run-2").unwrap().cpu_percent, Some(0.0));
        // Another process of the same number is another.
        let later = Stat { started: 8, ..stat(10, 5, 1) };
        usage.take(&[later], (Some(Duration::from_secs(1)), 100), |_| None);
        assert_eq!((usage.of("run-1"), usage.of("run-2")), (None, None));
    }
}
