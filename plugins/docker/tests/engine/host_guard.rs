//! A guard that is a process of this machine: what it may, what the bottle sees of it, and how it ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use claude_bottle_plugin_api::*;
use serde_json::{Value, json};

use crate::support::{Run, backend, docker};

/// Makes a run whose guard has to be on this machine.
fn run(agent: &str) -> Run {
    let mut run = Run::new(agent, &[]);
    run.spec.options = json!({ "guard": "host" });
    run
}

/// Returns the processes of a run's guard: `bwrap`, and what is in its sandbox.
pub(crate) fn processes(run: &Run) -> Vec<u32> {
    let record = std::fs::read(run.guard_dir().join("record.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let outer = u32::try_from(record["process"]["pid"].as_u64().unwrap()).unwrap();
    let mut all = vec![outer];
    all.extend(claude_bottle_standin::descendants(outer));
    all
}

fn status(pid: u32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn one_container_without_a_network_and_a_guard_without_rights_are_all_there_is() {
    let backend = backend(&[]);
    let run = run("lean");
    let live = run.start(&backend);
    let container = live.bottle.name.clone();
    assert_eq!(run.leftovers(), [container.clone(), format!("guard {}", run.spec.id)]);
    assert_eq!(docker(&["inspect", "--format", "{{.HostConfig.NetworkMode}}", &container]), "none\n");
    let mounts = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}\n{{end}}";
    let mounts = docker(&["inspect", "--format", mounts, &container]);
    let mut mounts: Vec<_> = mounts.lines().filter(|line| !line.is_empty()).collect();
    mounts.sort_unstable();
    let link = "/run/claude-bottle-link";
    let bound = ["bin/bottle", "bottle-guest", "guard", "handover"];
    assert_eq!(mounts, bound.map(|name| format!("bind {link}/{name} false")));

    // The last is the guard itself: another user than root, in namespaces of its own, with no right and a filter for its calls.
    let all = processes(&run);
    let guard = *all.last().unwrap();
    assert!(all.len() > 1 && status(guard, "Name") == "egress-guard", "{all:?}");
    assert_eq!(["CapEff", "CapBnd"].map(|name| status(guard, name)), ["0000000000000000"; 2]);
    assert_eq!(["NoNewPrivs", "Seccomp"].map(|name| status(guard, name)), ["1", "2"]);
    assert_ne!(status(guard, "Uid"), "0");
    for file in ["home", "root", "var", "etc/shadow", "run/docker.sock"] {
        assert!(!Path::new(&format!("/proc/{guard}/root/{file}")).exists(), "the guard sees /{file}");
    }

    let said =
        live.sh(&backend, &run, "curl -sS -m 5 http://refused.example/ -o /dev/null -w '%{http_code}'", b"");
    assert_eq!(said.stdout, "403", "{said:?}");
    // Another process has the listing alone.
    let other = crate::support::backend(&[]);
    let active = other.list_active(&run.call()).unwrap();
    let listed = active.iter().find(|bottle| bottle.id == run.spec.id).unwrap();
    other.close(&run.call(), &listed.record).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
    assert!(all.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "{all:?}");
    let log = std::fs::read_to_string(run.spec.state_dir.join("egress.jsonl")).unwrap();
    assert!(log.contains("refused.example") && log.lines().count() == 1, "{log}");
}

#[test]
fn it_takes_another_policy_from_another_process() {
    let backend = backend(&[]);
    let run = run("learner");
    let live = run.start(&backend);
    let other = crate::support::backend(&[]);
    let active = other.list_active(&run.call()).unwrap();
    let listed = active.iter().find(|bottle| bottle.id == run.spec.id).unwrap();
    let request =
        ReloadRequest::new(json!({ "rules": [{ "rule": "allowed.example:80", "origin": "bottle" }] }));
    assert_eq!(other.reload(&run.call(), &listed.record, &request).unwrap(), Reloaded::applied());
    let ask = |host: &str| {
        let script = format!("curl -s -m 5 http://{host}/ -o /tmp/body -w '%{{http_code}}'; cat /tmp/body");
        live.sh(&backend, &run, &script, b"").stdout
    };
    assert!(ask("refused.example").contains("not_in_allowlist"));
    assert!(!ask("allowed.example").contains("not_in_allowlist"));
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn clean_up_ends_the_guard_of_a_dead_run_and_spares_the_others() {
    let backend = backend(&[]);
    let (dead, alive) = (run("host-dead"), run("host-alive"));
    dead.start(&backend);
    let live = alive.start(&backend);
    let guard = processes(&dead);
    alive.services.dead.lock().unwrap().insert(dead.spec.owner.pid);
    let mut plan = backend.prepare_cleanup(&alive.call(), &CleanupScope::new(false)).unwrap();
    assert!(plan.remove.iter().all(|item| item.owner.as_ref() != Some(&alive.spec.owner)));
    plan.remove.retain(|item| item.owner.as_ref() == Some(&dead.spec.owner));
    let kinds: Vec<_> = plan.remove.iter().map(|item| item.kind.as_str()).collect();
    assert_eq!(kinds, ["container", "guard"]);
    for _ in 0..2 {
        let report = backend.cleanup(&alive.call(), &plan).unwrap();
        assert_eq!((report.removed.len(), report.failures.len()), (2, 0), "{report:?}");
    }
    assert_eq!(dead.leftovers(), Vec::<String>::new());
    assert!(guard.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
    let said =
        live.sh(&backend, &alive, "curl -s -m 5 -o /dev/null -w '%{http_code}' http://x.example/", b"");
    assert_eq!(said.stdout, "403");
    backend.close(&alive.call(), &live.bottle).unwrap();
    assert_eq!(alive.leftovers(), Vec::<String>::new());
}

#[test]
fn where_it_cannot_be_had_a_sidecar_is_taken_and_asking_for_it_is_an_error() {
    let fact = |plan: &Plan| {
        let fact = plan.facts.iter().find(|fact| fact.label == "proxy");
        fact.unwrap().value.clone()
    };
    for (settings, options, cause) in [
        (&[("BWRAP", "/nowhere/bwrap")][..], json!({}), "the program `bwrap` is missing"),
        (&[], json!({ "link": "network" }), "the option `link` is `network`"),
    ] {
        let backend = backend(settings);
        let mut run = Run::new("choosing", &[]);
        run.spec.options = options.clone();
        let plan = backend.prepare(&run.call(), &run.spec).unwrap();
        assert_eq!(fact(&plan), format!("egress guard, in a container of its own: {cause}"));
        run.spec.options["guard"] = json!("host");
        let failure = backend.prepare(&run.call(), &run.spec).unwrap_err();
        assert_eq!(failure.message, format!("the option `guard` is `host`, and {cause}"));
        assert_eq!(failure.subject.as_deref(), Some(&Subject::Option("guard".to_owned())));
    }
    let (backend, run) = (backend(&[]), Run::new("choosing", &[]));
    let plan = backend.prepare(&run.call(), &run.spec).unwrap();
    assert_eq!(fact(&plan), "egress guard, a process of this machine");
}

#[test]
fn a_container_that_does_not_reach_the_guard_is_no_bottle() {
    let backend = backend(&[]);
    let run = run("misled");
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    // As on an engine elsewhere that has the same path: the directory is there, and its socket is not.
    let socket = run.guard_dir().join("egress/guard.sock");
    let failure = std::thread::scope(|scope| {
        let launching = scope.spawn(|| backend.launch(&run.call(), &plan));
        while !launching.is_finished() {
            std::fs::remove_file(&socket).ok();
            std::thread::yield_now();
        }
        launching.join().unwrap().unwrap_err()
    });
    assert!(format!("{failure:?}").contains("reach the guard's socket"), "{failure:?}");
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn the_door_has_no_name_inside_and_programs_are_process_1s_children() {
    let backend = backend(&[]);
    let run = run("door");
    let live = run.start(&backend);
    assert_eq!(live.sh(&backend, &run, "ls -A /run/claude-bottle-link/handover", b"").stdout, "");
    // A name that process 1 was handed it by leads nowhere, and it has no other: what listens is the socket of the container's own.
    let listening = live.sh(&backend, &run, "grep -c door.sock /proc/net/unix", b"").stdout;
    assert_eq!(listening.trim(), "0");
    let parent = live.sh(&backend, &run, "cut -d' ' -f4 /proc/$PPID/stat", b"").stdout;
    assert_eq!(parent.trim(), "1");
    // What process 1 blocks for itself is not blocked in what it starts.
    let blocked = live.sh(&backend, &run, "grep SigBlk /proc/self/status", b"").stdout;
    assert_eq!(blocked.trim(), "SigBlk:\t0000000000000000");
    // Whoever has another directory of this machine has another bottle's door, and never this one's.
    let door = run.guard_dir().join("door.sock");
    let mode = std::fs::metadata(door.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    backend.close(&run.call(), &live.bottle).unwrap();
    assert!(!door.exists());
}
