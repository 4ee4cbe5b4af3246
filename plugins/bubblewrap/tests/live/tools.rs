//! Directories of the host that a manifest grants.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use claude_bottle_plugin_api::{Backend, FailureKind, ToolSpec};

use crate::support::Bench;

/// Writes a program.
pub(crate) fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn tools_are_at_their_path_on_the_search_path_and_read_only() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    program(&dir.join("real/bin/granted-tool"), "#!/bin/sh\necho \"ran $0\"\n");
    program(&dir.join("other/secret-tool"), "#!/bin/sh\n");
    symlink("real", dir.join("linked")).unwrap();
    let mut spec = bench.spec("tools");
    spec.bottle.tools = vec![ToolSpec::new(dir.join("linked"))];
    spec.agent.command = vec!["granted-tool".to_owned()];
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap();
    let fact = plan.facts.iter().find(|fact| fact.label == "tools").unwrap();
    assert!(fact.value.contains("linked") && fact.value.ends_with("(read-only)"), "{}", fact.value);
    let live = bench.launch(&spec);
    let path = dir.display();
    let said = live.sh(&format!("granted-tool; {path}/real/bin/granted-tool; ls {path}"));
    let expected =
        format!("ran {path}/linked/bin/granted-tool\nran {path}/real/bin/granted-tool\nlinked\nreal\n");
    assert_eq!(said.out, expected, "{said:?}");
    for write in ["linked/new", "linked/bin/granted-tool", "real/new"] {
        assert_ne!(live.sh(&format!("echo x > {path}/{write}")).code, 0, "{write} was written");
    }
}

#[test]
fn tools_are_refused_where_secrets_are() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    for secret in ["home/.ssh", "home/.config/gh", "holder/.aws"] {
        fs::create_dir_all(dir.join(secret)).unwrap();
    }
    symlink("home/.ssh", dir.join("innocent")).unwrap();
    symlink("/etc", dir.join("etc")).unwrap();
    let inside = ["home/.ssh", "home/.config/gh", "home/.config", "home", "holder", "innocent", "etc"];
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let places = inside.map(|name| dir.join(name).display().to_string());
    for place in
        places.into_iter().chain(["/", "/etc", "/home", "/proc", "/run", "/tmp", &home].map(str::to_owned))
    {
        let mut spec = bench.spec("refused");
        spec.bottle.tools = vec![ToolSpec::new(&place)];
        let failure = bench.backend.prepare(&bench.call, &spec).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied, "{place}: {failure}");
        assert!(failure.message.starts_with(&format!("tools: `{place}` ")), "{failure}");
        assert!(failure.hints[0].contains("~/.cargo/bin"), "{failure:?}");
    }
}

#[test]
fn a_program_that_is_granted_by_itself_is_found_by_its_name() {
    let bench = Bench::new();
    let bin = bench.dir.path().join("bin");
    program(&bin.join("granted-tool"), "#!/bin/sh\necho ran\n");
    program(&bin.join("other-tool"), "#!/bin/sh\n");
    let path = std::env::join_paths(
        [bin.clone()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tools::granted_by_itself", "--nocapture"]);
    let output = child
        .env("PATH", path.unwrap())
        .env("GRANTED", &bin)
        .env(crate::support::AGAIN, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Runs in the process that the test above starts, with a search path of its own.
#[test]
fn granted_by_itself() {
    let Some(bin) = std::env::var_os("GRANTED").map(std::path::PathBuf::from) else { return };
    let bench = Bench::new();
    let mut spec = bench.spec("file");
    spec.bottle.tools = vec![ToolSpec::new(bin.join("granted-tool"))];
    let live = bench.launch(&spec);
    let said = live.sh(&format!("granted-tool; ls {}; command -v other-tool", bin.display()));
    assert_eq!(said.out, "ran\ngranted-tool\n", "{said:?}");
}

/// The real one, where Rust was installed by it.
#[test]
fn rustup_works_by_itself_and_with_its_directories_granted() {
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from).unwrap_or_default();
    let (rustup, shims) = (home.join(".rustup"), home.join(".cargo/bin"));
    if !rustup.is_dir() || !shims.join("rustup").exists() {
        eprintln!("skipped: this user has no rustup");
        return;
    }
    let bench = Bench::new();
    let mut spec = bench.spec("rustup");
    spec.agent.command = vec![shims.join("cargo").display().to_string()];
    let make = "cargo new -q --vcs none x && cd x && cargo run -q";
    let said = bench.launch(&spec).sh(make);
    assert_eq!(said.out, "Hello, world!\n", "{said:?}");
    let mut spec = bench.spec("granted");
    spec.agent.command = vec![shims.join("cargo").display().to_string()];
    spec.bottle.tools = vec![ToolSpec::new(&rustup), ToolSpec::new(&shims)];
    let live = bench.launch(&spec);
    let said = live.sh(&format!("{make} && rustup show active-toolchain && echo $RUSTUP_HOME"));
    assert!(said.out.starts_with("Hello, world!\n") && said.out.contains("(default)"), "{said:?}");
    assert!(said.out.ends_with(&format!("{}\n", rustup.display())), "{said:?}");
}
