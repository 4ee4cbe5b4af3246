//! A disk that is full, by a small file system in a mount namespace of the test's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use claude_bottle_plugin_api::{Backend, Workspace};

use crate::support::{AGAIN, Bench, programs};

/// In a process of its own: the directory its answer goes to.
const FULL: &str = "BUBBLEWRAP_TESTS_FULL";

/// Runs in a process of its own, whose bottles are on a small file system.
#[test]
fn launch_on_a_full_disk() {
    let Some(dir) = std::env::var_os(FULL).map(PathBuf::from) else { return };
    let bench = Bench::in_dir(&dir);
    let mut spec = bench.spec(&format!("full-{}", std::process::id()));
    spec.workspace = Some(Workspace::new(dir.join("work")));
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let failure = bench.backend.launch(&bench.call, &plan).unwrap_err();
    let text = [vec![failure.message], failure.causes, failure.hints].concat().join("\n");
    let left = fs::read_dir(bench.bottles()).unwrap().count();
    fs::write(dir.join("said"), format!("{text}\n{left} left")).unwrap();
}

#[test]
fn a_full_disk_is_named_with_what_helps_and_nothing_is_left() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root may mount; what is tested is the same for an ordinary user.
    }
    programs();
    let cases = [
        ("size=64k", "head -c 65536 /dev/zero > data/fill 2>/dev/null", "record.json"),
        ("size=4m", ":", "/workspace/large"),
    ];
    for (size, fill, subject) in cases {
        let dir = tempfile::tempdir().unwrap();
        for name in ["data", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("work/large"), vec![b'x'; 8 << 20]).unwrap();
        let script = format!("mount -t tmpfs -o {size} none data; {fill}; exec \"$@\"");
        let mut victim = Command::new("unshare");
        victim.args(["-m", "sh", "-c", &script, "sh"]).arg(std::env::current_exe().unwrap());
        victim.args(["--exact", "full::launch_on_a_full_disk"]).current_dir(dir.path());
        let output = victim.env(FULL, dir.path()).env(AGAIN, "1").output().unwrap();
        let said = fs::read_to_string(dir.path().join("said"));
        let said = said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)));
        assert!(said.contains(subject) && said.contains("No space left on device"), "{said}");
        let bottles = dir.path().join("data/bottles");
        assert!(said.contains(&format!("df -h '{}'   # it is full", bottles.display())), "{said}");
        assert!(!said.contains("claude-bottle stop") && said.ends_with("\n0 left"), "{said}");
    }
}
