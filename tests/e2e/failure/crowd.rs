//! Many bottles of one agent: ten at once, and thirty starts and stops in a row. Nothing adds up, here or in the engine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::run::{Run, reapers};
use super::{api, assert_nothing_left, few_at_a_time, whole_room};
use crate::support::home::Home;
use crate::support::{assert_code, engine, process, run as call, stdout};

/// How many ended runs are kept.
const KEPT: usize = 20;
/// Where the engine notes its process number.
const ENGINE_PID: &str = "/var/run/docker.pid";
/// How many descriptors, and how many threads, the engine may have more afterwards: fewer than one a bottle. Other tests use it
/// meanwhile, and it keeps the threads it once needed at the same time.
const MORE: usize = 24;
/// How much memory the engine may have more afterwards, in kilobytes.
const MORE_KILOBYTES: usize = 64 * 1024;
/// How long others may need more of it at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the engine's own process uses.
#[derive(Debug)]
struct Usage {
    descriptors: usize,
    threads: usize,
    kilobytes: usize,
}

impl Usage {
    /// Looks at the engine's process, which these tests have on their own machine.
    fn of_engine() -> Self {
        let pid = fs::read_to_string(ENGINE_PID).unwrap_or_else(|error| {
            panic!("the engine's process is looked at, so it has to be on this machine and named in {ENGINE_PID}: {error}")
        });
        let proc = Path::new("/proc").join(pid.trim());
        let status = fs::read_to_string(proc.join("status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            descriptors: fs::read_dir(proc.join("fd")).unwrap().count(),
            threads: number("Threads"),
            kilobytes: number("VmRSS"),
        }
    }

    /// Fails when the engine goes on to use much more than it did.
    #[track_caller]
    fn assert_not_more_than(before: &Self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let after = Self::of_engine();
            let fits = after.descriptors <= before.descriptors + MORE
                && after.threads <= before.threads + MORE
                && after.kilobytes <= before.kilobytes + MORE_KILOBYTES;
            if fits {
                return;
            }
            assert!(Instant::now() < deadline, "{before:?}, then {after:?}");
            // Nothing tells when others have done with it.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Returns the ids of an agent's containers and networks.
fn ids_of(agent: &str) -> (Vec<String>, Vec<String>) {
    let filter = format!("label=io.claude-bottle.agent={agent}");
    let list = |words: &[&str]| {
        let text = engine::docker(&[words, &["--quiet", "--no-trunc", "--filter", &filter]].concat());
        text.lines().map(str::to_owned).collect()
    };
    (list(&["ps", "--all"]), list(&["network", "ls"]))
}

#[test]
fn ten_bottles_of_one_agent_at_once() {
    let (_room, api) = (whole_room(), api());
    let agent = "e2e-crowd";
    let home = Home::with_agent(agent, api.address(), "    command: [sh, -c, echo ready; cat]\n");
    let mut runs: Vec<_> =
        (0..10).map(|_| Run::start(&mut home.command(&["start", agent, "--yes"]))).collect();
    runs.iter_mut().for_each(|run| run.wait_for("ready"));

    let output = call(&mut home.command(&["list", "active", "--format", "json"]));
    let listed: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let ours = listed.iter().filter(|bottle| bottle["agent"] == agent);
    let names: BTreeSet<_> = ours.map(|bottle| bottle["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    let (containers, networks) = ids_of(agent);
    // The guards are processes of this machine.
    assert_eq!((containers.len(), networks.len(), home.guards().len()), (10, 0, 10), "{names:?}");
    let suffix = |name: &&str| name.rsplit('-').next().unwrap().parse::<u32>().unwrap_or(1);
    let highest = names.iter().map(suffix).max().unwrap();
    assert!(highest <= 30, "ten bottles need no such names: {names:?}");

    // All end at once too.
    std::thread::scope(|scope| {
        for run in runs {
            scope.spawn(|| assert_code(&run.end(), 0));
        }
    });
    assert_nothing_left(&home, agent, "after ten at once");
    assert_eq!(reapers(&home, None).len(), 0);
    for id in &containers {
        assert!(!process::is_named(id), "a process of container {id} is left");
    }
}

#[test]
fn thirty_starts_and_stops_add_nothing_up() {
    let (_room, api) = (whole_room(), api());
    let agent = "e2e-row";
    let home = Home::with_agent(agent, api.address(), "    command: [echo, started]\n");
    let start = || assert_code(&call(&mut home.command(&["start", agent, "--yes"])), 0);
    start();
    let before = Usage::of_engine();
    // Two rows of fifteen, beside each other.
    few_at_a_time([15, 15], |count| (0..count).for_each(|_| start()));
    assert_nothing_left(&home, agent, "after thirty in a row");
    assert_eq!(reapers(&home, None).len(), 0);
    assert_eq!(home.runs().len(), KEPT, "{:?}", home.runs());
    Usage::assert_not_more_than(&before);
}
