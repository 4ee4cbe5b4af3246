//! A secret's way: into the agent's environment, and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use claude_bottle_plugin_api::EnvVar;

use crate::support::{Bench, Services};

const CANARY: &str = "canary-b7f3e1\nwith a second line";

fn holds(path: &Path, needle: &str) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    if metadata.is_dir() {
        return fs::read_dir(path).unwrap().flatten().any(|entry| holds(&entry.path(), needle));
    }
    metadata.is_file() && String::from_utf8_lossy(&fs::read(path).unwrap()).contains(needle)
}

#[test]
fn a_secret_reaches_the_agent_and_nothing_else() {
    let secrets = BTreeMap::from([("TOKEN".to_owned(), CANARY.to_owned())]);
    let bench = Bench::with(Services { secrets, ..Services::default() }, &[]);
    let mut spec = bench.spec("secret");
    spec.bottle.env =
        vec![EnvVar::secret("TOKEN"), EnvVar::literal("PLAIN", "seen"), EnvVar::literal("LANG", "C")];
    let live = bench.launch(&spec);
    let said = live.sh("printf %s \"$TOKEN\"; echo; echo $PLAIN $LANG");
    assert_eq!(said.out, format!("{CANARY}\nseen C\n"));
    assert!(!holds(bench.dir.path(), "canary-b7f3e1"), "on the disk");
    assert!(!serde_json::to_string(&live.bottle).unwrap().contains("canary-b7f3e1"));
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("canary-b7f3e1"), "{}", entry.path().display());
    }
    live.close();
    assert!(!holds(bench.dir.path(), "canary-b7f3e1"), "on the disk, later");
}

#[test]
fn a_secret_that_is_not_granted_ends_the_launch_and_leaves_nothing() {
    use claude_bottle_plugin_api::Backend;
    let bench = Bench::new();
    let mut spec = bench.spec("ungranted");
    spec.bottle.env = vec![EnvVar::secret("TOKEN")];
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let failure = bench.backend.launch(&bench.call, &plan).unwrap_err();
    assert!(failure.to_string().contains("TOKEN"));
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
}

#[test]
fn the_users_other_variables_stay_outside() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("host-env"));
    let environments = live.sh("cat /proc/[0-9]*/environ | tr '\\0' '\\n'").out;
    for (name, value) in std::env::vars() {
        let line = format!("{name}={value}");
        let is_the_same =
            ["LANG", "SHELL", "PWD", "HOME", "USER", "LOGNAME", "SHLVL", "_"].contains(&name.as_str());
        assert!(is_the_same || !environments.lines().any(|other| other == line), "{name}");
    }
}
