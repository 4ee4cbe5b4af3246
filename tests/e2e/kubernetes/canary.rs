//! Nothing of the user's is where a cluster keeps things.

use std::process::Command;

use crate::failure::run::Run;
use crate::support::backend::Backend;
use crate::support::cluster::{directory, kubectl, pods_of};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, stdout};

/// What stands in the prompt, in an argument, in a plain variable and in the working directory.
const PROMPT: &str = "canary-prompt-a91b";
const ARGUMENT: &str = "canary-argument-77c0";
const VARIABLE: &str = "canary-variable-e4d2";
const WORK: &str = "canary-work-3f68";

/// Lists the files below a directory of the cluster's in which a text stands.
fn found(text: &str, below: &str) -> Vec<String> {
    let mut grep = Command::new("grep");
    let output =
        run(grep.args(["--recursive", "--files-with-matches", "--text", text]).arg(directory().join(below)));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn nothing_of_the_users_is_in_the_clusters_database_or_in_any_log() {
    let agent = "e2e-canary";
    let home = Home::new(&format!(
        "bottles:\n  dev:\n    env: {{ SECRET: '${{SECRET}}', PLAIN: {VARIABLE} }}\n    egress: {{ allowlist: [] }}\n\
         agents:\n  {agent}:\n    bottle: dev\n    prompt: {PROMPT}\n    \
         command: [sh, -c, 'echo ready; cat; test \"$SECRET\" = {TOKEN} && test -f note && echo {ARGUMENT}']\n"
    ))
    .env("SECRET", TOKEN);
    std::fs::write(home.work().join("note"), WORK).unwrap();
    let mut command = Backend::Kubernetes.command(&home, &["start", agent, "--yes", "--cwd"]);
    let mut started = Run::start(&mut command);
    started.wait_for("ready");
    let pods = pods_of(agent);
    assert_eq!(pods.len(), 1, "{pods:?}");

    // The search finds what is there: the run in the database and in the audit log, files of the agent's on the node's disk.
    assert!(!found(&format!("claude-bottle-{agent}"), "etcd").is_empty());
    assert!(!found(&format!("claude-bottle-{agent}"), "logs").is_empty());
    assert!(!found(WORK, "containerd").is_empty());
    for canary in [TOKEN, PROMPT, ARGUMENT, VARIABLE, WORK] {
        for place in ["etcd", "logs", "kubelet", "places"] {
            assert_eq!(found(canary, place), Vec::<String>::new(), "`{canary}`");
        }
    }
    // A secret is on no disk of the node at all.
    assert_eq!(found(TOKEN, ""), Vec::<String>::new());
    let pod = kubectl(&["get", "--output", "yaml", &pods[0]]);
    for canary in [TOKEN, PROMPT, ARGUMENT, VARIABLE, WORK, &home.path().display().to_string()] {
        assert!(!pod.contains(canary), "`{canary}` is in the Pod:\n{pod}");
    }
    started.close_stdin();
    let output = started.end();
    assert_code(&output, 0);
    assert!(stdout(&output).contains(ARGUMENT));
    Backend::Kubernetes.assert_nothing_left(&home, agent);
}
