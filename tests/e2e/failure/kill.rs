//! SIGKILL at every step: the process that watches the run removes all of it, soon.
//!
//! How soon is taken from the engine's own events. The process itself stays a moment longer, since an engine may still be
//! working on a request of the dead. The bound is two seconds; where the machine is so busy that an orderly removal takes
//! longer than one, it is twice that.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use claude_bottle_standin::Standin;

use super::run::{Run, reapers};
use super::{Step, Way, api, assert_nothing_left, few_at_a_time, shared_room, steps, whole_room};
use crate::support::engine::Removals;
use crate::support::home::Home;
use crate::support::{assert_code, engine};

/// How soon after a SIGKILL nothing of the run may be left.
const REAPED_WITHIN: Duration = Duration::from_secs(2);
/// How long is waited before that is called a failure to remove it at all.
const REAPED_AT_ALL: Duration = Duration::from_secs(30);

/// Kills a run at a step; returns how long it took until all of it was gone.
fn kill_at(home_of: impl Fn(&str) -> Home, way: Way, step: &str) -> Duration {
    let agent = format!("e2e-kill-{}-{step}", way.name());
    let home = home_of(&agent);
    reap(&home, &agent, Run::hung(&home, &agent, step), step)
}

fn reap(home: &Home, agent: &str, run: Run, step: &str) -> Duration {
    let watching = reapers(home, None);
    assert_eq!(watching.len(), 1, "at `{step}`");
    // A removal that is under way beside the step may end between the next two lines.
    let removals = Removals::watch();
    let had = engine::resources_of(agent);
    let killed = SystemTime::now();
    run.kill();
    assert!(watching[0].ends_within(REAPED_AT_ALL), "after a kill at `{step}`");
    assert_nothing_left(home, agent, &format!("after a kill at `{step}`"));
    let last = removals.last_of(agent, &had);
    assert!(
        last.is_some() || had.is_empty(),
        "the engine told of no removal of {had:?} after a kill at `{step}`"
    );
    last.and_then(|last| last.duration_since(killed).ok()).unwrap_or_default()
}

#[test]
fn a_kill_at_each_step_is_cleared_up_within_two_seconds() {
    kill_at_each_of(Way::Host);
}

#[test]
fn a_kill_at_each_step_with_a_sidecar_is_cleared_up_within_two_seconds() {
    kill_at_each_of(Way::Sidecar);
}

fn kill_at_each_of(way: Way) {
    let api = api();
    let home_of = |agent: &str| way.home(agent, &api, "    command: [echo, started]\n");
    kill_at_each(way, steps(way).into_iter().map(|Step { name, .. }| name).collect(), home_of, &api);
}

#[test]
fn a_kill_at_the_steps_of_a_network_is_cleared_up_within_two_seconds() {
    // These are there only when a network links agent and sidecar.
    let steps = ["create-internal-network", "connect-sidecar"].map(str::to_owned);
    let home_of = |agent: &str| {
        Home::new(&format!(
            "bottles:\n  dev:\n    options: {{ docker: {{ link: network }} }}\n\
             agents:\n  {agent}: {{ bottle: dev, command: [echo, started] }}\n"
        ))
    };
    kill_at_each(Way::Sidecar, steps.into(), home_of, &api());
}

fn kill_at_each(way: Way, steps: Vec<String>, home_of: impl Fn(&str) -> Home + Sync, api: &Standin) {
    let room = shared_room();
    let late = Mutex::new(Vec::new());
    few_at_a_time(steps, |step| {
        let took = kill_at(&home_of, way, &step);
        if took > REAPED_WITHIN {
            late.lock().unwrap().push((step, took));
        }
    });
    // A few at once share an engine and its machine; the bound is one bottle's.
    drop(room);
    let _room = whole_room();
    for (step, shared) in late.into_inner().unwrap() {
        let alone: Vec<_> = (0..3).map(|_| kill_at(&home_of, way, &step)).collect();
        assert!(
            alone.iter().min() <= Some(&bound(api)),
            "`{step}`: {shared:?} beside others, {alone:?} alone"
        );
    }
}

/// Returns how soon a bottle has to be removed on this machine, as busy as it is now.
fn bound(api: &Standin) -> Duration {
    let agent = "e2e-orderly";
    let home = Home::with_agent(agent, api.address(), "    command: [echo, started]\n");
    let mut run = Run::start(&mut home.command(&["start", agent, "--yes"]));
    run.wait_for("started");
    let begun = Instant::now();
    assert_code(&run.end(), 0);
    REAPED_WITHIN.max(2 * begun.elapsed())
}

#[test]
fn a_kill_while_the_agent_runs_is_cleared_up_within_two_seconds() {
    let (_room, api) = (shared_room(), api());
    let agent = "e2e-kill-running";
    let home = Home::with_agent(agent, api.address(), "    command: [sh, -c, echo started; sleep 1000]\n");
    let took: Vec<_> = (0..3)
        .map(|_| {
            let mut run = Run::start(&mut home.command(&["start", agent, "--yes"]));
            run.wait_for("started");
            let watching = reapers(&home, None);
            assert_eq!(watching.len(), 1);
            reap(&home, agent, run, "the agent's run")
        })
        .collect();
    assert!(took.iter().min() <= Some(&bound(&api)), "{took:?}");
}

/// With a copy of a directory nothing runs any more soon after a SIGKILL, and nothing but the result is left when it is saved.
#[test]
fn work_survives_a_kill_at_each_step() {
    let room = shared_room();
    let api = api();
    let of_way = |way| steps(way).into_iter().map(move |step| (way, step));
    let steps: Vec<_> = of_way(Way::Host).chain(of_way(Way::Sidecar)).collect();
    few_at_a_time(steps, |(way, Step { verb, name })| {
        let agent = format!("e2e-work-{}-{name}", way.name());
        let home = way.home(&agent, &api, "    command: [sh, -c, 'echo work >made']\n");
        std::fs::write(home.work().join("kept"), "kept").unwrap();
        let run = Run::hung_with(&home, &agent, &name, &["--cwd"]);
        let watching = reapers(&home, None);
        run.kill();
        assert!(watching[0].ends_within(REAPED_AT_ALL), "after a kill at `{name}`");
        assert_nothing_left(&home, &agent, &format!("after a kill at `{name}`"));
        let saved: Vec<_> = std::fs::read_dir(home.state().join("results")).into_iter().flatten().collect();
        let has_run = ["halt", "export", "close"].contains(&verb.as_str());
        assert!(!has_run || saved.len() == 1, "the work is lost after a kill at `{name}` of `{verb}`");
        for result in saved {
            let path = result.unwrap().path();
            assert!(!path.file_name().unwrap().as_encoded_bytes().starts_with(b"."), "{}", path.display());
            let text = std::fs::read_to_string(path.join("result.json")).unwrap();
            assert!(text.contains("\"path\":\"made\""), "{text}");
        }
    });
    drop(room);
}
