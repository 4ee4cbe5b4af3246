//! A hundred bottles on docker at once, and two hundred on bubblewrap: each starts, all are listed, and nothing stays.
//!
//! What it costs is printed: what grows with the number of bottles shows in the last starts next to the first ones. It takes minutes, so
//! that `make test-hundred` runs it.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::run::{Run, reapers};
use super::{api, whole_room};
use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::{assert_code, run as call, stderr, stdout};

/// How many starts are looked at together, so that one which met something else says little.
const TOGETHER: usize = 10;

#[test]
#[ignore = "takes minutes; run `make test-hundred`"]
fn a_hundred_bottles_on_docker_at_once() {
    at_once(Backend::Docker, 100);
}

#[test]
#[ignore = "takes minutes; run `make test-hundred`"]
fn two_hundred_bottles_on_bubblewrap_at_once() {
    at_once(Backend::Bubblewrap, 200);
}

#[expect(clippy::print_stdout, reason = "what it costs is the point of it")]
fn at_once(backend: Backend, count: usize) {
    let (_room, api) = (whole_room(), api());
    let agent = &format!("e2e-hundred-{}", backend.name());
    let home = Home::with_agent(agent, api.address(), "    command: [sh, -c, echo ready; cat]\n");
    let timed = |command: &mut std::process::Command| {
        let begun = Instant::now();
        let output = call(command);
        assert_code(&output, 0);
        (output, begun.elapsed())
    };
    let (_, none) = timed(&mut backend.command(&home, &["list", "active"]));
    let before = available();
    let (mut runs, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let begun = Instant::now();
        let mut run = Run::start(&mut backend.command(&home, &["start", agent, "--yes"]));
        run.wait_for("ready");
        starts.push(begun.elapsed());
        runs.push(run);
    }
    let taken = before.saturating_sub(available());
    let (output, listing) = timed(&mut backend.command(&home, &["list", "active", "--format", "json"]));
    let listed: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let ours = listed.iter().filter(|bottle| bottle["agent"] == agent.as_str());
    let names: BTreeSet<_> = ours.map(|bottle| bottle["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), count, "{names:?}");
    // What runs is nothing to clean up.
    let (output, looking) = timed(&mut backend.cleanup(&home));
    assert!(!stdout(&output).contains(agent.as_str()), "{}{}", stdout(&output), stderr(&output));

    let begun = Instant::now();
    // All end at the same moment, as with a terminal that has them all.
    runs.iter_mut().for_each(Run::close_stdin);
    runs.into_iter().for_each(|run| assert_code(&run.end(), 0));
    let ending = begun.elapsed();
    backend.assert_nothing_left(&home, agent);
    assert_eq!(reapers(&home, None).len(), 0);
    let (first, last) = (median(&starts[..TOGETHER]), median(&starts[count - TOGETHER..]));
    println!(
        "{}: {count} bottles; first {TOGETHER} starts {} ms, last {} ms ({:.2}×); {} kB of memory each; list {} ms, with none {} ms; \
         cleanup {} ms; all ended in {} ms",
        backend.name(),
        first.as_millis(),
        last.as_millis(),
        last.as_secs_f64() / first.as_secs_f64(),
        taken / count,
        listing.as_millis(),
        none.as_millis(),
        looking.as_millis(),
        ending.as_millis(),
    );
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// Returns how much memory programs could still have, in kilobytes: <https://docs.kernel.org/filesystems/proc.html>, `MemAvailable`.
fn available() -> usize {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
