//! Launch, close and clean-up on a recording engine: order, undoing, names, and what a container is given.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use bollard::models::HostConfig;
use bottle_guest::protocol::{self, Relay, Setup};
use claude_bottle_kit::host_guard::HostGuards;
use claude_bottle_plugin_api::{
    AgentSpec, Backend, CleanupScope, Context, EnvVar, FailureKind, Health, Owner, Proxy, Spec,
};

use super::*;
use crate::close::Faults;
use crate::engine::recording::Recording;
use crate::fault::Fault;
use crate::{active, cleanup, resolve, test_host};

struct Bench {
    runtime: tokio::runtime::Runtime,
    config: Config,
    spec: Spec,
    _program: tempfile::NamedTempFile,
}

impl Bench {
    fn new(settings: &[(&str, &str)]) -> Self {
        let mut file = tempfile::Builder::new();
        let mut guard = file.permissions(Permissions::from_mode(0o755)).tempfile().unwrap();
        let mut program = b"\x7fELF".to_vec();
        program.resize(18, 0);
        program.extend([62, 0, 1, 2, 3]);
        guard.write_all(&program).unwrap();
        let mut context = Context::default();
        context.settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        context.settings.insert("IMAGE".to_owned(), "mine:1".to_owned());
        let mut spec =
            Spec::new("dev-1", AgentSpec::new("dev", vec!["claude".to_owned()]), Owner::new("here", 7, 9));
        spec.bottle.egress.guard = Some(guard.path().to_owned());
        spec.guest = Some(guard.path().to_owned());
        spec.bottle.env = vec![EnvVar::literal("PLAIN", "seen"), EnvVar::secret("TOKEN")];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, config: Config::read(&context).unwrap(), spec, _program: guard }
    }

    fn launch(&self, engine: &Recording) -> Result<Bottle> {
        let call = test_host::call(|name| format!("canary of '{name}'"));
        self.runtime.block_on(async {
            let plan = resolve::resolve(engine, &self.config, &call, &self.spec).await?.with_spec(&self.spec);
            launch(engine, &self.config, &call, &plan).await
        })
    }
}

/// The guards of this machine, of which these tests have none.
fn no_guards() -> HostGuards {
    HostGuards::new(std::path::Path::new("/nonexistent"))
}

/// Removes a bottle, with nothing asked to go wrong.
async fn close(engine: &Recording, bottle: &Bottle) -> Result<()> {
    let faults = Faults { fault: &Fault::default(), call: &Call::detached() };
    crate::close::close(engine, &no_guards(), &faults, bottle).await
}

fn position(calls: &[String], call: &str) -> usize {
    calls.iter().position(|made| made == call).unwrap_or_else(|| panic!("no `{call}` in {calls:#?}"))
}

/// Asks for a network between agent and sidecar.
fn over_a_network(bench: &mut Bench) {
    bench.spec.options = serde_json::json!({ "link": "network" });
}

#[test]
fn what_is_named_before_it_exists_exists_before_anything_starts() {
    let engine = Recording::default();
    let mut bench = Bench::new(&[]);
    over_a_network(&mut bench);
    bench.launch(&engine).unwrap();
    let calls = engine.calls.lock().unwrap().clone();
    let at = |call: &str| position(&calls, call);
    let started = calls.iter().position(|call| call.starts_with("start-container")).unwrap();
    for made in [
        "create-network claude-bottle-net-dev-1",
        "create-network claude-bottle-egress-dev-1",
        "create-container claude-bottle-guard-dev",
    ] {
        assert!(at(made) < started, "{calls:#?}");
    }
    let order = [
        at("inspect-network id-claude-bottle-net-dev-1"),
        at("connect id-claude-bottle-net-dev-1 id-claude-bottle-guard-dev"),
        at("attach id-claude-bottle-guard-dev stdin"),
        at("start-container id-claude-bottle-guard-dev"),
    ];
    assert!(order.is_sorted(), "{calls:#?}");
    assert!(at("attach id-claude-bottle-dev stdin") < at("start-container id-claude-bottle-dev"));
    // The program for the inside comes before the start, what is granted after it.
    assert!(at("put-archive id-claude-bottle-dev /") < at("start-container id-claude-bottle-dev"));
    let last = calls.iter().rposition(|call| call == "put-archive id-claude-bottle-dev /").unwrap();
    assert!(at("start-container id-claude-bottle-dev") < last);
    let others = ["exec", "put-archive id-claude-bottle-guard"];
    assert!(!calls.iter().any(|call| others.iter().any(|other| call.starts_with(other))), "{calls:#?}");
}

#[test]
fn linked_by_a_socket_the_agent_has_no_network_and_the_volume_for_reading() {
    let engine = Recording::default();
    let bottle = Bench::new(&[]).launch(&engine).unwrap();
    let calls = engine.calls.lock().unwrap().clone();
    assert_eq!(calls.iter().filter(|call| call.starts_with("create-network")).count(), 1, "{calls:#?}");
    let bodies = engine.bodies.lock().unwrap();
    let host = |name: &str| bodies[name].host_config.clone().unwrap();
    let (agent, sidecar) = (host("claude-bottle-dev"), host("claude-bottle-guard-dev"));
    assert_eq!(agent.network_mode.as_deref(), Some("none"));
    assert_eq!(sidecar.network_mode.as_deref(), Some("claude-bottle-egress-dev-1"));
    let end = |host: HostConfig| host.mounts.unwrap().remove(0);
    let (agent, sidecar) = (end(agent), end(sidecar));
    assert_eq!((agent.read_only, sidecar.read_only), (Some(true), None));
    assert_eq!(agent.source.as_deref(), Some("claude-bottle-link-dev-1"));
    assert_eq!(agent.source, sidecar.source);
    let config = engine.inputs.lock().unwrap()["id-claude-bottle-guard-dev"].clone();
    assert!(
        String::from_utf8_lossy(&config)
            .contains("\"listen\":\"unix:/run/claude-bottle-link/guard/guard.sock\"")
    );
    let state: BottleState = bottle.state().unwrap();
    assert_eq!(state.proxy.as_deref(), Some("http://127.0.0.1:8888"));
    let setup: Setup =
        protocol::read(&mut &engine.inputs.lock().unwrap()["id-claude-bottle-dev"][..]).unwrap();
    let guard = "/run/claude-bottle-link/guard/guard.sock".into();
    assert_eq!(
        setup.relay,
        Some(Relay { port: 8888, guard, forward: Vec::new(), names: true, proves: false })
    );
    // Nothing was put into the container before it started: the program for the inside is in the volume.
    let first = calls.iter().position(|call| call.starts_with("put-archive")).unwrap();
    assert!(first > position(&calls, "start-container id-claude-bottle-dev"), "{calls:#?}");
}

#[test]
fn every_part_is_labelled_and_hardened_and_holds_no_secret() {
    let engine = Recording::default();
    let mut bench = Bench::new(&[]);
    over_a_network(&mut bench);
    bench.launch(&engine).unwrap();
    for (_, name, labels) in engine.things.lock().unwrap().values() {
        assert_eq!(labels["io.claude-bottle.id"], "dev-1", "{name}");
        assert_eq!(labels["io.claude-bottle.owner.started"], "9", "{name}");
    }
    for (name, body) in engine.bodies.lock().unwrap().iter() {
        let host = body.host_config.as_ref().unwrap();
        assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]), "{name}");
        let network = if name.contains("guard") { "egress" } else { "net" };
        assert_eq!(host.network_mode, Some(format!("claude-bottle-{network}-dev-1")), "{name}");
        assert!(host.memory > Some(0) && host.pids_limit > Some(0) && host.binds.is_none(), "{name}");
        assert_eq!((host.privileged, &host.cap_add, &host.port_bindings), (None, &None, &None), "{name}");
    }
    let bodies = engine.bodies.lock().unwrap();
    let agent = &bodies["claude-bottle-dev"];
    assert_eq!(agent.env.as_deref(), Some(&["PLAIN=seen".to_owned()][..]));
    assert!(!format!("{bodies:?}").contains("canary"));
    // Both read the secrets from their standard input, which ends.
    let inputs = engine.inputs.lock().unwrap();
    let input = |id: &str| String::from_utf8_lossy(&inputs[id]).into_owned();
    let setup: Setup = protocol::read(&mut &inputs["id-claude-bottle-dev"][..]).unwrap();
    assert_eq!(setup.env, [("TOKEN".to_owned(), b"canary of 'TOKEN'".to_vec())]);
    assert_eq!(setup.relay, None);
    assert!(input("id-claude-bottle-guard-dev").contains(r#"{"name":"TOKEN","value":"canary of 'TOKEN'""#));
    let config = input("id-claude-bottle-guard-dev");
    assert!(config.contains("172.30.0.0/16") && config.contains("0.0.0.0:8888"), "{config}");
    let archives = engine.archives.lock().unwrap();
    assert!(!archives.values().any(|bytes| String::from_utf8_lossy(bytes).contains("canary")));
}

#[test]
fn a_refusal_at_any_call_undoes_all_in_reverse() {
    assert!(refuse_each_call(&Bench::new(&[])) > 10);
    let mut bench = Bench::new(&[]);
    over_a_network(&mut bench);
    assert!(refuse_each_call(&bench) > 12);
}

/// Refuses one call after the other of a launch; returns how many there are.
fn refuse_each_call(bench: &Bench) -> usize {
    let whole = Recording::default();
    bench.launch(&whole).unwrap();
    let calls = whole.calls.lock().unwrap().clone();
    let (mut tried, begin) = (0, position(&calls, "facts") + 1);
    for call in &calls[begin..] {
        let engine = Recording { fail: [call.clone()].into(), ..Recording::default() };
        let failure = bench.launch(&engine).unwrap_err();
        assert_eq!(engine.names(), Vec::<String>::new(), "after `{call}` failed");
        assert!(failure.causes.iter().any(|cause| cause.contains("refused")), "{failure:?}");
        let removed: Vec<_> =
            engine.calls.lock().unwrap().iter().filter(|call| call.starts_with("remove")).cloned().collect();
        let network = removed.iter().position(|call| call.starts_with("remove network"));
        let container = removed.iter().rposition(|call| call.starts_with("remove container"));
        assert!(network.is_none() || container < network, "{removed:?}");
        tried += 1;
    }
    tried
}

#[test]
fn what_cannot_be_undone_is_told_beside_the_reason() {
    let fail = ["start-container id-claude-bottle-dev", "remove network id-claude-bottle-egress-dev-1"];
    let engine = Recording { fail: fail.map(str::to_owned).into(), ..Recording::default() };
    let failure = Bench::new(&[]).launch(&engine).unwrap_err();
    assert_eq!(failure.message, "cannot start container `claude-bottle-dev`");
    assert!(
        failure.undo.iter().all(|undo| undo.message == "cannot remove network `claude-bottle-egress-dev-1`")
    );
    assert!(!failure.undo.is_empty());
    assert_eq!(engine.names(), ["claude-bottle-egress-dev-1"]);
}

#[test]
fn a_sidecar_that_does_not_answer_is_quoted() {
    let engine = Recording { fail: ["ended".to_owned()].into(), ..Recording::default() };
    let failure = Bench::new(&[]).launch(&engine).unwrap_err();
    assert!(failure.message.contains("ended") && failure.message.contains("trouble"), "{failure}");
    assert_eq!(engine.names(), Vec::<String>::new());

    // This one does not say when it listens, and is asked.
    let mut bench = Bench::new(&[]);
    bench.spec.bottle.egress.proxy = Proxy::Pipelock;
    let engine = Recording { fail: ["exited".to_owned()].into(), ..Recording::default() };
    let failure = bench.launch(&engine).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.contains("trouble"), "{failure}");
}

#[test]
fn a_missing_protection_is_refused_unless_the_manifest_names_it() {
    for (lacking, name) in
        [("seccomp", "seccomp"), ("memory", "memory"), ("pids", "pids"), ("internal", "isolation")]
    {
        let engine = Recording { fail: [lacking.to_owned()].into(), ..Recording::default() };
        let mut bench = Bench::new(&[]);
        over_a_network(&mut bench);
        let failure = bench.launch(&engine).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
        assert!(failure.hints[0].contains(&format!("allow_missing: [\"{name}\"]")), "{failure:?}");
        assert_eq!(engine.names(), Vec::<String>::new());
        bench.spec.options = serde_json::json!({ "allow_missing": [name], "link": "network" });
        bench.launch(&engine).unwrap();
    }
}

#[test]
fn a_taken_name_moves_all_parts_on_and_a_pinned_one_is_refused() {
    let engine = Recording::default();
    // Somebody else's container, which is neither removed nor used.
    let foreign = (Kind::Container, "claude-bottle-guard-dev".to_owned(), Default::default());
    engine.things.lock().unwrap().insert("foreign".to_owned(), foreign);
    let bottle = Bench::new(&[]).launch(&engine).unwrap();
    assert_eq!(bottle.name, "claude-bottle-dev-2");
    let removed = engine.calls.lock().unwrap().iter().filter(|call| call.starts_with("remove")).count();
    assert_eq!(removed, 1, "the agent's container of the first pair, and no network");
    assert_eq!(engine.names().len(), 5, "{:?}", engine.names());

    let taken = (Kind::Container, "mine".to_owned(), Default::default());
    engine.things.lock().unwrap().insert("mine".to_owned(), taken);
    let failure = Bench::new(&[("CONTAINER", "mine")]).launch(&engine).unwrap_err();
    assert_eq!((failure.kind, failure.hints), (FailureKind::Conflict, vec!["docker rm -f mine".to_owned()]));
}

#[test]
fn an_agent_on_another_network_than_its_own_does_not_run() {
    let engine = Recording { fail: ["astray".to_owned()].into(), ..Recording::default() };
    let failure = Bench::new(&[]).launch(&engine).unwrap_err();
    assert!(failure.message.contains("another network"), "{failure}");
    assert_eq!(engine.names(), Vec::<String>::new());
}

#[test]
fn closing_needs_the_document_alone_and_goes_on_after_a_failure() {
    let (bench, engine) = (Bench::new(&[]), Recording::default());
    let bottle = bench.launch(&engine).unwrap();
    bench.runtime.block_on(close(&engine, &bottle)).unwrap();
    bench.runtime.block_on(close(&engine, &bottle)).unwrap();
    assert_eq!(engine.names(), Vec::<String>::new());

    let fail = ["remove container id-claude-bottle-dev".to_owned()].into();
    let engine = Recording { fail, ..Recording::default() };
    let bottle = bench.launch(&engine).unwrap();
    let failure = bench.runtime.block_on(close(&engine, &bottle)).unwrap_err();
    assert_eq!(engine.names(), ["claude-bottle-dev"]);
    assert_eq!(failure.message, "cannot remove container `claude-bottle-dev`");
}

#[test]
fn clean_up_takes_dead_runs_and_names_what_is_unowned() {
    let (bench, engine) = (Bench::new(&[]), Recording::default());
    bench.launch(&engine).unwrap();
    let unowned = (Kind::Container, "claude-bottle-old".to_owned(), Default::default());
    let other = (Kind::Container, "postgres".to_owned(), Default::default());
    engine.things.lock().unwrap().extend([("u".to_owned(), unowned), ("p".to_owned(), other)]);
    let call = Call::detached();
    let find = |all| {
        bench
            .runtime
            .block_on(cleanup::find(&engine, (&bench.config, &no_guards()), &call, &CleanupScope::new(all)))
            .unwrap()
    };
    // A detached call takes every owner for alive.
    let plan = find(false);
    assert_eq!((plan.remove.len(), plan.keep.len()), (0, 5));
    assert!(plan.keep.iter().any(|item| item.name == "claude-bottle-old" && item.reason == "unowned"));
    let plan = find(true);
    let kinds: Vec<_> = plan.remove.iter().map(|item| item.kind.as_str()).collect();
    assert_eq!(kinds, ["container", "container", "network", "volume"]);
    let report = bench.runtime.block_on(cleanup::apply(&engine, &no_guards(), &plan));
    assert_eq!((report.removed.len(), report.failures.len()), (4, 0));
    assert_eq!(engine.names(), ["postgres", "claude-bottle-old"]);
}

#[test]
fn an_answer_about_a_killed_process_waits_for_what_the_engine_still_makes_for_it() {
    let (bench, engine) = (Bench::new(&[]), Recording::default());
    let owner = Owner::new("here", 7, 9);
    let call = test_host::call_among_the_dead();
    let find = |scope| {
        let plan = bench
            .runtime
            .block_on(cleanup::find(&engine, (&bench.config, &no_guards()), &call, &scope))
            .unwrap();
        plan.remove.into_iter().map(|item| item.name).collect::<Vec<_>>()
    };
    bench.launch(&engine).unwrap();
    let network = std::mem::take(&mut *engine.things.lock().unwrap());
    let network = network.into_iter().filter(|(_, (kind, ..))| *kind == Kind::Network).collect();
    let slow = |last| [(3, Default::default()), (3, Default::default()), (3, last)];
    *engine.abandoned.lock().unwrap() = slow(network).into();
    assert_eq!(find(CleanupScope::new(false)), Vec::<String>::new(), "a final answer was not asked for");
    assert_eq!(find(CleanupScope::new(false).killed(owner.clone())), ["claude-bottle-egress-dev-1"]);
    // What somebody else's process left in the meantime is not waited for.
    engine.things.lock().unwrap().clear();
    *engine.abandoned.lock().unwrap() = [(3, Default::default()), (4, Default::default())].into();
    assert_eq!(find(CleanupScope::new(false).killed(owner)), Vec::<String>::new());
    assert_eq!(engine.abandoned.lock().unwrap().len(), 0);
}

#[test]
fn a_listed_bottle_can_be_closed_by_its_record() {
    let (bench, engine) = (Bench::new(&[]), Recording::default());
    bench.launch(&engine).unwrap();
    let active = bench.runtime.block_on(active::list(&engine)).unwrap();
    assert_eq!((active.len(), active[0].agent.as_str(), active[0].id.as_str()), (1, "dev", "dev-1"));
    bench.runtime.block_on(close(&engine, &active[0].record)).unwrap();
    assert_eq!(engine.names(), Vec::<String>::new());
}

#[test]
fn an_engine_that_is_not_there_is_unusable_with_a_remedy() {
    let engine = Recording { fail: ["facts".to_owned()].into(), ..Recording::default() };
    let bench = Bench::new(&[]);
    let probe = bench.runtime.block_on(crate::probe::probe(&engine));
    assert!(probe.reason.is_some() && probe.remedy.is_some());
    assert!(crate::Docker::CAPABILITIES.len() > 5);
}

/// Checks that a probe reports an engine as unusable, and that a launch is refused with the same words and makes nothing.
fn check_unsupported(engine: &Recording, reason: &[&str], remedy: &str) {
    let bench = Bench::new(&[]);
    let probe = bench.runtime.block_on(crate::probe::probe(engine));
    assert_eq!(probe.health, Health::Unusable, "{probe:?}");
    assert!(probe.facts.is_empty() && probe.warnings.is_empty(), "{probe:?}");
    let said = probe.reason.unwrap();
    assert!(reason.iter().all(|part| said.contains(part)), "{said}");
    assert!(probe.remedy.as_ref().unwrap().starts_with(remedy), "{:?}", probe.remedy);

    let failure = bench.launch(engine).unwrap_err();
    assert_eq!((failure.kind, &failure.message), (FailureKind::Unsupported, &said));
    assert_eq!(failure.hints, [probe.remedy.unwrap()]);
    assert_eq!(*engine.calls.lock().unwrap(), ["facts", "facts"]);
}

#[test]
fn podman_is_refused_before_anything_is_made() {
    let engine = Recording { podman: true, ..Recording::default() };
    let missing =
        ["Podman 5.4.2", "part of Docker's API", "owners of tmpfs mounts", "no address of the host"];
    check_unsupported(&engine, &missing, "export CLAUDE_BOTTLE_BACKEND=podman ");
}

#[test]
fn an_engine_with_too_old_an_api_is_refused_before_anything_is_made() {
    let engine = Recording { fail: ["api".to_owned()].into(), ..Recording::default() };
    check_unsupported(&engine, &["speaks API 1.40", "1.41 or newer"], "update the engine to 20.10");
}

#[test]
fn what_an_unsupported_engine_holds_is_found_and_removed_all_the_same() {
    let (bench, mut engine) = (Bench::new(&[]), Recording::default());
    let bottle = bench.launch(&engine).unwrap();
    engine.podman = true;
    engine.fail.insert("api".to_owned());
    assert_eq!(bench.runtime.block_on(active::list(&engine)).unwrap().len(), 1);
    let (call, everything) = (Call::detached(), CleanupScope::new(true));
    let plan = bench
        .runtime
        .block_on(cleanup::find(&engine, (&bench.config, &no_guards()), &call, &everything))
        .unwrap();
    assert_eq!(plan.remove.len(), 4, "{plan:?}");
    bench.runtime.block_on(close(&engine, &bottle)).unwrap();
    assert_eq!(engine.names(), Vec::<String>::new());
}

#[test]
fn a_second_launch_of_a_run_is_refused_and_touches_nothing() {
    let engine = Recording::default();
    let bench = Bench::new(&[]);
    bench.launch(&engine).unwrap();
    let before = engine.things.lock().unwrap().clone();
    let failure = bench.launch(&engine).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert_eq!(failure.message, "run `dev-1` has a bottle already");
    assert_eq!(format!("{:?}", *engine.things.lock().unwrap()), format!("{before:?}"));
}

#[test]
fn a_sidecars_image_that_was_just_removed_is_loaded_again() {
    let engine = Recording::default();
    engine.gone.lock().unwrap().insert("claude-bottle-guard-dev".to_owned());
    Bench::new(&[]).launch(&engine).unwrap();
    let calls = engine.calls.lock().unwrap();
    let made = calls.iter().filter(|call| *call == "create-container claude-bottle-guard-dev").count();
    let looked = calls.iter().filter(|call| call.starts_with("image claude-bottle-guard:")).count();
    assert_eq!((made, looked), (2, 2), "{calls:#?}");
}

#[test]
fn what_the_agent_leaves_is_in_volumes_of_the_run_which_go_with_it() {
    let engine = Recording::default();
    let mut bench = Bench::new(&[]);
    let directory = tempfile::tempdir().unwrap();
    bench.spec.workspace = Some(claude_bottle_plugin_api::Workspace::new(directory.path()));
    let bottle = bench.launch(&engine).unwrap();
    let volumes = ["claude-bottle-work-dev-1", "claude-bottle-history-dev-1"];
    for (name, role) in volumes.iter().zip(["work", "history"]) {
        let (_, _, labels) = engine.things.lock().unwrap()[*name].clone();
        assert_eq!(labels["io.claude-bottle.id"], "dev-1");
        assert_eq!(labels["io.claude-bottle.role"], role);
    }
    let body = engine.bodies.lock().unwrap()["claude-bottle-dev"].clone();
    let mounts = body.host_config.unwrap().mounts.unwrap();
    let places: Vec<_> = mounts.iter().filter_map(|mount| mount.target.as_deref()).skip(1).collect();
    assert_eq!(places, ["/home/node/workspace", "/home/node/.claude"]);
    bench.runtime.block_on(crate::export::halt(&engine, &no_guards(), &bottle)).unwrap();
    assert!(volumes.iter().all(|name| engine.names().contains(&(*name).to_owned())));
    let calls = engine.calls.lock().unwrap().clone();
    assert!(
        position(&calls, "kill-container id-claude-bottle-dev")
            < position(&calls, "kill-container id-claude-bottle-guard-dev")
    );
    bench.runtime.block_on(close(&engine, &bottle)).unwrap();
    assert_eq!(engine.names(), Vec::<String>::new());
}
