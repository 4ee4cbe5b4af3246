//! A backend by a stranger: written outside the project from the guide alone, built with another optimisation and a lock file of
//! its own, loaded, and held against every rule.

use std::fs;
use std::path::Path;
use std::process::Command;

use claude_bottle::plugins::scaffold::{Api, files};
use claude_bottle::plugins::{Identity, Pins, registry, scaffold};

use crate::support::{assert_says, build};

fn api() -> Api {
    Api::Directory(build::root().join("plugin-api"))
}

/// Makes a cargo command for a stranger's crate.
fn cargo(directory: &Path, verb: &str) -> Command {
    let mut cargo = build::cargo_in(directory, verb);
    // Dependencies as the other test plug-ins have them, so that each is compiled once; the crate itself is optimised.
    cargo.args(["--config", "profile.dev.debug=\"line-tables-only\""]);
    cargo.args(["--config", "profile.dev.package.\"*\".debug=false"]);
    cargo.args(["--config", "profile.dev.package.claude-bottle-backend-shed.opt-level=3"]);
    cargo.arg("--offline");
    cargo
}

/// Takes the files out of the guide: each is a fenced block after a line that names it.
fn from_the_guide(directory: &Path) -> Vec<String> {
    let guide = fs::read_to_string(build::root().join("docs/plugin-authors.md")).unwrap();
    let mut found = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("**`").and_then(|rest| rest.strip_suffix("`**")) else { continue };
        let block = lines.by_ref().skip_while(|line| !line.starts_with("```")).skip(1);
        let text: String = block.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        found.push(name.to_owned());
    }
    found
}

#[test]
fn the_guide_shows_what_plugin_new_writes() {
    let dir = tempfile::tempdir().unwrap();
    let shown = from_the_guide(dir.path());
    assert_eq!(
        shown,
        [
            "Cargo.toml",
            "src/lib.rs",
            "src/backend.rs",
            "src/bottles.rs",
            "src/files.rs",
            "src/processes.rs",
            "tests/conformance.rs"
        ]
    );
    let written = files("shed", &Api::Registry);
    for name in shown {
        let (_, text) = written.iter().find(|(file, _)| *file == name).unwrap();
        let guide = fs::read_to_string(dir.path().join(&name)).unwrap();
        assert!(guide == *text, "docs/plugin-authors.md shows another {name} than host/templates/plugin has");
    }
}

#[test]
fn a_backend_from_the_guide_alone_builds_and_keeps_every_rule() {
    let dir = tempfile::tempdir().unwrap();
    from_the_guide(dir.path());
    // The crates are not taken from a registry here, and that is all that differs.
    let file = dir.path().join("Cargo.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (name, place) in [("plugin-api", "plugin-api"), ("kit", "plugins/kit")] {
        let dependency = format!("claude-bottle-{name} = {{ ");
        let local = format!("{dependency}path = {:?}, ", build::root().join(place).to_str().unwrap());
        text = text.replace(&dependency, &local);
    }
    fs::write(&file, text).unwrap();
    let output = cargo(dir.path(), "test").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_says(
        &out,
        &["backend `shed` 0.1.0, contract 1.1", "  pass  launch-cancelled", " 0 failed, 20 skipped"],
    );
    assert!(!err.contains("warning:"), "{err}");
    let names = ["backend", "bottles", "files", "lib", "processes"];
    let text = |name: &str| fs::read_to_string(dir.path().join(format!("src/{name}.rs"))).unwrap();
    let lines: usize = names.iter().map(|name| text(name).lines().count()).sum();
    assert!(lines <= 500, "a backend by a stranger has {lines} lines");
    assert!(dir.path().join("Cargo.lock").exists());
}

#[test]
fn a_new_crate_builds_and_its_file_loads() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("claude-bottle-backend-shed");
    let written = scaffold(&directory, "shed", &api()).unwrap();
    assert!(written.contains(&directory.join("README.md")));
    let file = build::library(&mut cargo(&directory, "build"));
    let loaded = registry::load_file(file, &Identity::current(), &Pins::default()).unwrap();
    assert_eq!((loaded.note.name.as_str(), loaded.note.version.as_str()), ("shed", "0.1.0"));
}
