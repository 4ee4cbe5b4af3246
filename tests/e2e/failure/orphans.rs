//! SIGKILL to a run and to the process that watches it: `cleanup` finds all of it, and spares what runs.

use std::collections::BTreeMap;

use super::run::{Run, reapers};
use super::{Step, Way, api, assert_nothing_left, few_at_a_time, steps, whole_room};
use crate::support::home::Home;
use crate::support::{assert_code, engine, run as call, stderr, stdout};

/// How many orphans there are at a time: their networks must not use up the engine's.
const BATCH: usize = 6;

/// Kills a run at a step, and first the process that would clear up.
fn orphan(home: &Home, agent: &str, step: &str) {
    let run = Run::hung(home, agent, step);
    let id = run.id(home);
    let reapers = reapers(home, Some(&id));
    assert_eq!(reapers.len(), 1, "at `{step}`");
    reapers[0].kill();
    run.kill();
    assert_ne!(home.record(&id)["phase"], "ended", "at `{step}`");
    assert_ne!(home.left_in_tmp(), Vec::<String>::new(), "at `{step}`");
}

/// A bottle that runs until it is dropped.
struct Beside {
    home: Home,
    run: Run,
}

impl Beside {
    const AGENT: &str = "e2e-beside";

    fn start(api: &claude_bottle_standin::Standin) -> Self {
        let home = Way::Sidecar.home(Self::AGENT, api, "    command: [sh, -c, echo ready; cat]\n");
        let mut run = Run::start(&mut home.command(&["start", Self::AGENT, "--yes"]));
        run.wait_for("ready");
        Self { home, run }
    }

    #[track_caller]
    fn assert_alive(&self, when: &str) {
        let output = call(&mut self.home.command(&["exec", Self::AGENT, "--", "echo", "alive"]));
        assert_code(&output, 0);
        assert_eq!(stdout(&output), "alive\n", "{when}");
        assert_eq!(engine::resources_of(Self::AGENT).len(), 4, "{when}");
    }

    fn end(self) {
        assert_code(&self.run.end(), 0);
        assert_nothing_left(&self.home, Self::AGENT, "after the end of the one beside");
    }
}

#[test]
fn clean_up_removes_what_two_kills_left_at_each_step_and_spares_what_runs() {
    // What is cleaned up here would be taken from other tests of killed runs.
    let (_room, api) = (whole_room(), api());
    let beside = Beside::start(&api);
    [Way::Host, Way::Sidecar].into_iter().for_each(|way| clean_up_at_each_step(way, &api, &beside));
    beside.end();
}

fn clean_up_at_each_step(way: Way, api: &claude_bottle_standin::Standin, beside: &Beside) {
    let agent = "e2e-orphan";
    let home = way.home(agent, api, "    command: [echo, started]\n");
    for batch in steps(way).chunks(BATCH) {
        few_at_a_time(batch, |Step { name: step, .. }| orphan(&home, agent, step));
        // Two at once do not hinder each other.
        let clean = || Run::start(&mut home.command(&["cleanup", "--yes"]));
        let outputs = [clean(), clean()].map(Run::end);
        for output in &outputs {
            assert_code(output, 0);
            assert!(!stderr(output).contains("warning"), "{}", stderr(output));
        }
        assert_nothing_left(&home, agent, &format!("after kills at {batch:?}"));
        beside.assert_alive(&format!("after kills at {batch:?}"));
    }
}

#[test]
fn a_process_number_that_was_given_out_again_owns_nothing() {
    let (_room, api) = (whole_room(), api());
    let beside = Beside::start(&api);
    let filter = format!("label=io.claude-bottle.agent={}", Beside::AGENT);
    let live = engine::docker(&["network", "ls", "--quiet", "--filter", &filter]);
    let live = live.lines().next().unwrap();
    let labels = engine::docker(&["network", "inspect", live, "--format", "{{json .Labels}}"]);
    let mut labels: BTreeMap<String, String> = serde_json::from_str(&labels).unwrap();
    // As the live one's, of a process with the same number that started at another time.
    labels.insert("io.claude-bottle.agent".to_owned(), "e2e-reused".to_owned());
    let started = labels.get_mut("io.claude-bottle.owner.started").unwrap();
    *started = (started.parse::<u64>().unwrap() - 1).to_string();
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("--label={name}={value}")).collect();
    let mut words = vec!["network", "create"];
    words.extend(labels.iter().map(String::as_str));
    words.push("claude-bottle-net-e2e-reused");
    engine::docker(&words);
    assert_eq!(engine::resources_of("e2e-reused"), ["network claude-bottle-net-e2e-reused"]);
    let output = call(&mut beside.home.command(&["cleanup", "--yes"]));
    assert_code(&output, 0);
    assert_eq!(engine::resources_of("e2e-reused"), Vec::<String>::new());
    beside.assert_alive("after a clean-up");
    beside.end();
}
