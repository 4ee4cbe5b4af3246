//! The same tests once more, in this very program, with every bottle in gVisor: on an engine of this test's own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{base_image, guard, root};

/// Holds the engine's namespaces until its standard input ends, and leaves nothing.
const KEEPER: &str = include_str!("../../../../tests/e2e/support/private-engine.sh");

/// Names need node, which the image lacks; an end-to-end test has them.
const SAME: [&str; 5] = [
    "isolation::the_host_and_the_world_are_out_of_reach",
    "isolation::the_agent_has_no_power_and_the_proxy_one_client",
    "export::the_work_and_the_history_come_out_of_a_halted_bottle_and_nothing_is_left_of_it",
    "session::a_secret_is_inside_and_nowhere_else",
    "secrets::a_secret_goes_to_its_own_hosts_as_a_credential_and_nowhere_else",
];

/// Prepares a program in the namespaces that a process is the first of.
fn inside(holder: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", holder, "--net", "--mount", "--pid", "--"]).arg(program);
    command
}

/// Returns what a script of the set-up prints.
fn script(name: &str) -> String {
    let mut script = Command::new(root().join("tests/setup").join(name));
    let output = script.env("CLAUDE_BOTTLE_BASE_IMAGE", base_image()).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Starts an engine that has gVisor, and waits until it listens.
fn serve(directory: &Path, holder: &str, name: &str) -> Child {
    let [socket, data, run, pid] =
        ["docker.sock", "data", "exec", "docker.pid"].map(|file| directory.join(file));
    let settings = format!(
        r#"{{"hosts": ["unix://{}"], "data-root": {data:?}, "exec-root": {run:?}, "pidfile": {pid:?}, "cgroup-parent": "/{name}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"], "runtimes": {{"runsc": {{"path": {:?}}}}}}}"#,
        socket.display(),
        script("gvisor.sh")
    );
    let file = directory.join("daemon.json");
    fs::write(&file, settings).unwrap();
    let mut engine = inside(holder, "dockerd");
    engine.arg("--config-file").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut engine = engine.spawn().unwrap();
    let mut said = BufReader::new(engine.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("API listen on")), "the engine did not start");
    std::thread::spawn(move || said.for_each(drop));
    engine
}

#[test]
fn what_isolates_under_runc_isolates_under_gvisor() {
    let directory = tempfile::Builder::new().prefix("engine-").tempdir().unwrap().keep();
    let name = format!("claude-bottle-{}", directory.file_name().unwrap().to_str().unwrap());
    fs::create_dir(directory.join("data")).unwrap();
    let mut keeper = Command::new("sh");
    keeper
        .args(["-c", KEEPER, "private-engine"])
        .arg(&directory)
        .args(["2g", &name])
        .arg(root().join("tests/setup"));
    let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut holder = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut holder).unwrap();
    let holder = holder.trim();
    let mut engine = serve(&directory, holder, &name);

    let host = format!("unix://{}/docker.sock", directory.display());
    // Large enough for these tests, and quickly carried in.
    let image = script("small-image.sh");
    let carried =
        r#"docker save "$1" | docker --host "$0" load && docker --host "$0" tag "$1" claude-bottle:latest"#;
    let mut carry = Command::new("sh");
    carry.args(["-c", carried, &host, &image]).stdout(Stdio::null());
    assert!(carry.status().unwrap().success());
    let mut tests = inside(holder, std::env::current_exe().unwrap());
    tests
        .args(["--exact", "--test-threads=2"])
        .args(SAME)
        .env("DOCKER_HOST", host)
        .env("CLAUDE_BOTTLE_IMAGE", image);
    let output =
        tests.env("CLAUDE_BOTTLE_BASE_IMAGE", base_image()).env("EGRESS_GUARD", guard()).output().unwrap();
    drop(keeper.stdin.take());
    engine.wait().unwrap();
    keeper.wait().unwrap();
    assert!(!directory.exists(), "`{}` is left", directory.display());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("test result: ok. {} passed", SAME.len())), "{said}");
}
