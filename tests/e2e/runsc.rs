//! Bottles in gVisor: found by itself, never replaced in silence, and as tight as under runc by the same tests.
//!
//! An engine that lists the runtime is used with it for every bottle, so each test has an engine of its own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine, small_image};
use crate::support::{assert_code, run, stderr, stdout};
use crate::verify;

/// The tests that pass under runc and are to pass here, in this very program.
const SAME: [&str; 10] = [
    "egress::below_http::nothing_goes_out_below_http_and_siblings_are_apart",
    "egress::below_http::a_refused_name_is_never_looked_up",
    "egress::below_http::a_sidecar_that_restarts_or_dies_opens_no_way_past_it",
    "ssh::the_key_cannot_be_read::docker",
    "ssh::a_granted_key_logs_in_clones_pushes_and_signs::docker",
    "headless::skills_are_in_place_and_a_host_not_on_the_list_is_refused_with_a_reason::docker",
    "terminal::the_screen_of_the_real_cli_works::docker",
    "results::ends::what_the_agent_changed_is_saved_when_it_ends::docker",
    "results::ends::the_work_of_a_killed_run_is_saved_by_its_watcher::docker",
    "results::keep::a_bottle_that_is_stopped_can_be_kept::docker",
];

/// Starts an engine that has this program as gVisor.
fn engine_with(runsc: &str) -> PrivateEngine {
    let settings = json!({ "runtimes": { "runsc": { "path": runsc } } });
    PrivateEngine::start(&Options { size: "4g", settings, ..Options::default() })
}

/// Returns the path of the real one.
fn gvisor() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/setup/gvisor.sh");
    let output = run(&mut Command::new(script));
    assert_code(&output, 0);
    stdout(&output).trim().to_owned()
}

/// Makes a home with one agent, a shell that reads its standard input, and a secret.
fn home(agent: &str) -> Home {
    Home::new(&format!(
        "\
bottles:
  dev:
    env: {{ CANARY: '${{CANARY}}' }}
    limits: {{ memory: 256m, pids: 64 }}
    egress: {{ allowlist: [] }}
agents:
  {agent}: {{ bottle: dev, command: [sh] }}
"
    ))
}

/// Prepares a call of the program on this engine, with an image that is quickly carried in.
fn command(engine: &PrivateEngine, home: &Home, arguments: &[&str]) -> Command {
    let mut command = Backend::Docker.command(home, arguments);
    command.env("DOCKER_HOST", engine.host()).env("CLAUDE_BOTTLE_IMAGE", "claude-bottle-small:latest");
    command.env("CANARY", "canary-of-gvisor-81c3");
    command
}

/// Starts the agent with a script.
fn start(engine: &PrivateEngine, home: &Home, agent: &str, script: &str) -> Output {
    let mut command = command(engine, home, &["--quiet", "start", agent, "--yes"]);
    let input = home.path().join("script.sh");
    std::fs::write(&input, script).unwrap();
    command.stdin(Stdio::from(std::fs::File::open(input).unwrap()));
    run(&mut command)
}

fn planned(engine: &PrivateEngine, home: &Home, agent: &str) -> Value {
    let output = run(&mut command(engine, home, &["start", agent, "--dry-run", "--format", "json"]));
    assert_code(&output, 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn gvisor_is_found_and_isolates_and_its_limits_are_named() {
    let (engine, agent) = (engine_with(&gvisor()), "e2e-gvisor");
    engine.load(&small_image());
    let home = home(agent);
    assert_eq!(planned(&engine, &home, agent)["runtime"], "runsc (gVisor)");
    let doctor = stdout(&run(&mut command(&engine, &home, &["doctor"])));
    assert!(doctor.contains("runsc (gVisor)"), "{doctor}");

    let script = r#"
        dmesg | grep -o 'Starting gVisor'
        grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status
        for try in 'mount -t tmpfs x /mnt' 'unshare -n true' 'nsenter -t 1 -n true' 'setpriv --reuid 0 true'; do
            $try 2>/dev/null && echo "done: $try"
        done
        printf %s "$CANARY" | wc -c"#;
    let output = start(&engine, &home, agent, script);
    assert_code(&output, 0);
    let none = "0000000000000000";
    let expected = format!("Starting gVisor\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\n21\n");
    assert_eq!(stdout(&output), expected);

    // A limit ends the bottle as a whole, the machine goes on, and the user is told.
    let hog = "exec tail /dev/zero";
    let bomb = "while :; do sleep 100 & done";
    for (script, limit) in [(hog, "memory limit of 256 MiB"), (bomb, "process limit of 64")] {
        let output = start(&engine, &home, agent, script);
        assert!(stderr(&output).contains(limit), "{output:?}");
        assert_ne!(output.status.code(), Some(0));
        assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
    }
}

/// What another kernel answers, and limits that end a bottle as a whole, are claimed elsewhere.
#[test]
fn verify_says_what_holds_in_gvisor_and_what_is_not_tried_there() {
    let (engine, agent) = (engine_with(&gvisor()), "e2e-gvisor-verify");
    engine.load(&small_image());
    let home =
        Home::new(&verify::manifest(agent, "api.test")).env("API_KEY", "of-the-users-own-and-not-used");
    let output = run(&mut command(&engine, &home, &["verify", agent, "--format", "json"]));
    let rows = verify::rows(&output);
    let here =
        |row: &Value| (row["id"].as_str().unwrap().to_owned(), row["here"].as_str().unwrap().to_owned());
    let expected = verify::ROWS.map(|row| {
        let is_tried = !matches!(row, "powers" | "calls" | "limit-processes" | "limit-memory");
        (row.to_owned(), if is_tried { "holds" } else { "not-tried" }.to_owned())
    });
    assert_eq!(rows.iter().map(here).collect::<Vec<_>>(), expected, "{rows:#?}");
    assert_code(&output, 0);
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
}

#[test]
fn a_gvisor_that_does_not_start_is_told_and_not_replaced() {
    let (engine, agent) = (engine_with("/bin/false"), "e2e-gvisor-broken");
    engine.load(&small_image());
    let home = home(agent);
    // It is the engine's word that it is there; whether it works shows at the start.
    assert_eq!(planned(&engine, &home, agent)["runtime"], "runsc (gVisor)");
    let output = start(&engine, &home, agent, "echo ran");
    assert_code(&output, 125);
    let said = stderr(&output);
    assert!(said.contains("start container") && said.contains("/bin/false"), "{said}");
    assert!(said.contains("hint: docker info") && said.contains("repair the runtime"), "{said}");
    assert_eq!(stdout(&output), "");
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());

    // The control: on an engine that does not list it, the same bottle runs under runc, and the plan says so.
    let engine = PrivateEngine::start(&Options::default());
    engine.load(&small_image());
    assert_eq!(planned(&engine, &home, agent)["runtime"], "runc (default)");
    assert_eq!(stdout(&start(&engine, &home, agent, "echo ran")), "ran\n");
}

#[test]
fn what_passes_under_runc_passes_under_gvisor() {
    // The agent's image is made by the machine's engine; the other has no way to the registries.
    let warm =
        Home::new("bottles:\n  dev: {}\nagents:\n  e2e-gvisor-image: { bottle: dev, command: ['true'] }\n");
    let made = run(&mut Backend::Docker.command(&warm, &["--quiet", "start", "e2e-gvisor-image", "--yes"]));
    assert_code(&made, 0);
    let engine = engine_with(&gvisor());
    engine.load("claude-bottle:latest");

    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(["--exact", "--test-threads=3"]).args(SAME).env("DOCKER_HOST", engine.host());
    // Their servers are to be where this engine's bottles could reach them.
    let output = engine.inside(|| run(&mut tests));
    let said = stdout(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("test result: ok. {} passed", SAME.len())), "{said}");
}
