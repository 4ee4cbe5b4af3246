//! The container for contributors: what it names is there, and it can do what the tests need. docs/testing.md says what of it was run.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::root;

fn read(name: &str) -> String {
    fs::read_to_string(root().join(".devcontainer").join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn settings() -> Value {
    serde_json::from_str(&read("devcontainer.json")).unwrap()
}

/// A key that its readers do not know is passed over by them without a word.
#[test]
fn it_has_keys_of_the_format_alone() {
    let known = [
        "build",
        "customizations",
        "init",
        "mounts",
        "name",
        "postCreateCommand",
        "postStartCommand",
        "privileged",
        "remoteUser",
    ];
    let settings = settings();
    let unknown: Vec<_> =
        settings.as_object().unwrap().keys().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(
        settings["build"]["dockerfile"] == "Dockerfile" && root().join(".devcontainer/Dockerfile").is_file()
    );
    for mount in settings["mounts"].as_array().unwrap() {
        let of_this_one = mount["source"].as_str().unwrap().ends_with("-${devcontainerId}");
        assert!(mount["type"] == "volume" && of_this_one && mount["target"].is_string(), "{mount}");
    }
}

/// An engine and bubblewrap inside take what an ordinary container has not, and the engine's files no layers below.
#[test]
fn an_engine_and_bubblewrap_can_run_in_it() {
    let settings = settings();
    assert_eq!((&settings["privileged"], &settings["remoteUser"]), (&true.into(), &"root".into()));
    let mounts = settings["mounts"].as_array().unwrap();
    for store in ["/var/lib/docker", "/var/lib/containers"] {
        assert!(mounts.iter().any(|mount| mount["target"] == store), "{store} is in no volume");
    }
    assert!(read("start.sh").ends_with("\ntests/setup/engine.sh\n"));
}

#[test]
fn its_scripts_are_there_and_call_scripts_that_are() {
    let call = regex::Regex::new(r"(?m)^(tests/setup/[a-z-]+\.sh)").unwrap();
    let settings = settings();
    for key in ["postCreateCommand", "postStartCommand"] {
        let script = settings[key].as_str().unwrap();
        let file = root().join(script);
        let mode =
            fs::metadata(&file).unwrap_or_else(|error| panic!("{script}: {error}")).permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} cannot be run");
        let text = fs::read_to_string(file).unwrap();
        let called: Vec<_> = call.captures_iter(&text).map(|found| found[1].to_owned()).collect();
        assert!(!called.is_empty(), "{script} calls nothing");
        for name in called {
            assert!(root().join(&name).is_file(), "{script} calls {name}");
        }
    }
}

/// The image of Rust that it begins with has the compiler that rust-toolchain.toml asks for.
#[test]
fn it_begins_with_the_rust_that_is_pinned() {
    let pinned = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = pinned.lines().find_map(|line| line.strip_prefix("channel = \"")).unwrap();
    let channel = channel.trim_end_matches('"');
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("ARG BASE=rust:{channel}-")), "{dockerfile}");
}
