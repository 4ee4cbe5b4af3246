//! Making and removing bottles.

use claude_bottle_backend_docker::Docker;
use claude_bottle_plugin_api::*;

use crate::support::{Live, Run, backend, docker, request};

#[test]
fn a_bottle_is_made_used_and_removed_without_a_trace() {
    let backend = backend(&[]);
    let mut run = Run::new("first", &[]);
    run.spec.agent.prompt = "be brief".to_owned();
    run.spec.bottle.env.push(EnvVar::literal("PLAIN", "value"));
    let live = run.start(&backend);
    // A container and its guard on this machine; or two, their network and the volume that links them.
    let parts = if run.guard_dir().exists() { 2 } else { 4 };
    assert_eq!(run.leftovers().len(), parts, "{:?}", run.leftovers());
    assert_eq!(live.provisioned.prompt_path.as_deref(), Some("/home/node/.claude-bottle-prompt.txt"));

    let script = r#"id -un; pwd; echo "$PLAIN"; cat ~/.claude-bottle-prompt.txt; cat; echo oops >&2; exit 7"#;
    let said = live.sh(&backend, &run, script, b" and kind\n");
    assert_eq!(said.stdout, "node\n/home/node/workspace\nvalue\nbe brief and kind\n");
    assert_eq!((said.stderr.as_str(), said.code), ("oops\n", 7));

    let said =
        live.sh(&backend, &run, "curl -sS -m 5 http://example.com/ -o /dev/null -w '%{http_code}'", b"");
    assert_eq!(said.stdout, "403", "{said:?}");

    backend.close(&run.call(), &live.bottle).unwrap();
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
    let log = std::fs::read_to_string(run.spec.state_dir.join("egress.jsonl")).unwrap();
    assert!(log.contains("example.com"), "{log}");
}

#[test]
fn two_bottles_of_one_agent_have_names_of_their_own() {
    let backend = backend(&[]);
    let (one, two) = (Run::new("twin", &[]), Run::new("twin", &[]));
    let (first, second) = (one.start(&backend), two.start(&backend));
    assert_eq!(first.bottle.name, "claude-bottle-twin");
    assert_eq!(second.bottle.name, "claude-bottle-twin-2");
    backend.close(&one.call(), &first.bottle).unwrap();
    assert_eq!(second.sh(&backend, &two, "echo alive", b"").stdout, "alive\n");
    backend.close(&two.call(), &second.bottle).unwrap();
    assert_eq!([one.leftovers(), two.leftovers()].concat(), Vec::<String>::new());
}

/// Takes a bottle from plan to close; whatever fails, it is closed.
fn whole_life(backend: &Docker, run: &Run) -> Result<()> {
    let plan = backend.prepare(&run.call(), &run.spec)?.with_spec(&run.spec);
    let bottle = backend.launch(&run.call(), &plan)?;
    let streams = [(); 3].map(|()| tempfile::tempfile().unwrap());
    let used = backend
        .provision(&run.call(), &plan, &bottle)
        .and_then(|_| backend.exec(&run.call(), &bottle, &request(&["true"], &streams)));
    let closed = backend.close(&run.call(), &bottle);
    used.map(drop).and(closed)
}

/// The end-to-end tests do the same at every step there is when a socket links agent and sidecar.
#[test]
fn over_a_network_a_failure_after_any_step_leaves_nothing() {
    for step in ["create-internal-network", "connect-sidecar", "start-sidecar", "remove-networks"] {
        let backend = backend(&[("FAULT", &format!("after:{step}"))]);
        let mut run = Run::new("faulty", &[]);
        run.spec.options = serde_json::json!({ "link": "network" });
        let failure = whole_life(&backend, &run).unwrap_err();
        assert!(failure.message.contains(step), "{failure:?}");
        assert_eq!(failure.undo, [], "{step}");
        assert_eq!(run.leftovers(), Vec::<String>::new(), "{step}");
    }
}

#[test]
fn a_plan_makes_nothing_in_the_engine() {
    let backend = backend(&[]);
    let run = Run::new("planned", &[]);
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    assert_eq!(plan.name, "claude-bottle-planned");
    assert_eq!(plan.image.as_deref(), Some("claude-bottle:latest"));
    // Other tests' containers come and go beside it.
    assert_eq!(docker(&["ps", "-aq", "--filter", &format!("name={}", plan.name)]), "");
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn clean_up_takes_the_dead_and_spares_the_living() {
    let backend = backend(&[]);
    let (mut dead, alive) = (Run::new("dead", &[]), Run::new("alive", &[]));
    dead.spec.options = crate::support::with_sidecar();
    dead.start(&backend);
    let live = alive.start(&backend);
    alive.services.dead.lock().unwrap().insert(dead.spec.owner.pid);
    // Other tests run beside this one; of their bottles nothing is said here.
    let ours = |item: &CleanupItem| item.owner.as_ref().is_some_and(|owner| *owner == dead.spec.owner);
    let plan = backend.prepare_cleanup(&alive.call(), &CleanupScope::new(false)).unwrap();
    assert_eq!(plan.remove.iter().filter(|item| ours(item)).count(), 4, "{plan:?}");
    assert!(plan.remove.iter().all(|item| item.owner.as_ref() != Some(&alive.spec.owner)));
    let mut only = CleanupPlan::default();
    only.remove = plan.remove.into_iter().filter(|item| ours(item)).collect();
    // Two clean-ups at once do not trip over each other.
    std::thread::scope(|scope| {
        let other = scope.spawn(|| backend.cleanup(&alive.call(), &only).unwrap());
        let report = backend.cleanup(&alive.call(), &only).unwrap();
        assert_eq!((report.removed.len(), report.failures.len()), (4, 0), "{report:?}");
        let report = other.join().unwrap();
        assert_eq!((report.removed.len(), report.failures.len()), (4, 0), "{report:?}");
    });
    assert_eq!(dead.leftovers(), Vec::<String>::new());
    assert_eq!(live.sh(&backend, &alive, "echo alive", b"").stdout, "alive\n");
    let active = backend.list_active(&alive.call()).unwrap();
    let listed = active.iter().find(|bottle| bottle.id == alive.spec.id).unwrap();
    // Another process has the listing alone, and reaches the bottle with it: also its proxy.
    let other = Live { bottle: listed.record.clone(), provisioned: Provisioned::default() };
    let said =
        other.sh(&backend, &alive, "pwd; curl -s -o /dev/null -w '%{http_code}' http://example.com/", b"");
    assert_eq!(said.stdout, "/home/node/workspace\n403");
    backend.close(&alive.call(), &listed.record).unwrap();
    assert_eq!(alive.leftovers(), Vec::<String>::new());
}

#[test]
fn many_bottles_of_one_agent_at_once() {
    let backend = backend(&[]);
    let names = std::sync::Mutex::new(std::collections::BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let run = Run::new("crowd", &[]);
                let live = run.start(&backend);
                assert_eq!(live.sh(&backend, &run, "echo here", b"").stdout, "here\n");
                assert!(names.lock().unwrap().insert(live.bottle.name.clone()));
                backend.close(&run.call(), &live.bottle).unwrap();
                assert_eq!(run.leftovers(), Vec::<String>::new());
            });
        }
    });
    assert_eq!(names.into_inner().unwrap().len(), 6);
}

#[test]
fn a_base_image_that_cannot_be_had_names_the_way_out() {
    // A registry on the loopback's port 1, where nobody is.
    let backend = backend(&[("BASE_IMAGE", "127.0.0.1:1/none:1"), ("IMAGE", "claude-bottle-test:none")]);
    let run = Run::new("baseless", &[]);
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    let failure = backend.launch(&run.call(), &plan).unwrap_err();
    assert!(failure.hints[0].starts_with("export CLAUDE_BOTTLE_BACKEND=bubblewrap "), "{failure:?}");
    let hints = failure.hints.join("\n");
    // An installed program has no source tree beside it.
    assert!(hints.contains("CLAUDE_BOTTLE_BASE_IMAGE") && !hints.contains("tests/"), "{failure:?}");
    assert_eq!(run.leftovers(), Vec::<String>::new());
}
