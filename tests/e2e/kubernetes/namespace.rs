//! The namespace that `cluster manifest` describes: what a team may do there, and what not even its members may.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::support::cluster::{kubectl, try_kubectl};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

/// A Pod of the shape of a bottle, which sleeps.
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: bottle}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  containers:
  - {name: guard, image: 'busybox:1', command: [sleep, '1000'], resources: {limits: {cpu: 1, memory: 100Mi}}}
  - {name: agent, image: 'busybox:1', command: [sleep, '1000'], resources: {limits: {cpu: 1, memory: 100Mi}}}
  volumes: [{name: link, emptyDir: {medium: Memory}}, {name: tools, image: {reference: 'busybox:1'}}]
";

/// Makes a namespace as the command describes it.
pub(super) fn make(namespace: &str, more: &[&str]) {
    let home = Home::empty();
    let manifest = run(home.command(&["cluster", "manifest", "--namespace", namespace]).args(more));
    assert_code(&manifest, 0);
    let applied = apply(&["apply"], &stdout(&manifest));
    assert!(applied.status.success(), "{}", stderr(&applied));
}

/// Gives `kubectl` a document.
fn apply(arguments: &[&str], document: &str) -> Output {
    let mut kubectl = Command::new("kubectl");
    kubectl.args(arguments).args(["--filename", "-"]);
    let mut child =
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn it_takes_bottles_and_nothing_else() {
    let namespace = "shape";
    make(namespace, &["--bottles", "1"]);
    let create = |pod: &str| apply(&["create", "--namespace", namespace], pod);
    // An admission policy counts a moment after it was made.
    let refused = |pod: &str, why: &str| {
        for _ in 0..100 {
            let output = create(pod);
            if !output.status.success() && stderr(&output).contains(why) {
                return;
            }
            kubectl(&[
                "delete",
                "--namespace",
                namespace,
                "pods",
                "--all",
                "--grace-period=0",
                "--force",
                "--wait",
            ]);
        }
        panic!("it is not refused with `{why}`: {pod}");
    };
    let with = |from: &str, to: &str| POD.replace(from, to);
    refused(&with("name: agent,", "name: other,"), "a bottle has the containers guard and agent");
    refused(
        &with("emptyDir: {medium: Memory}", "secret: {secretName: x}"),
        "a bottle has no volume but memory",
    );
    refused(
        &with("{name: agent,", "{name: agent, env: [{name: A, value: b}],"),
        "a bottle has nothing of its user's",
    );
    refused(&with("emptyDir: {medium: Memory}", "hostPath: {path: /}"), "violates PodSecurity");
    let created = create(POD);
    assert!(created.status.success(), "{}", stderr(&created));
    let second = create(&with("name: bottle", "name: second"));
    assert!(stderr(&second).contains("exceeded quota"), "{}", stderr(&second));
    kubectl(&["delete", "namespace", namespace, "--wait=false"]);
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn nothing_but_the_guards_door_leads_into_a_bottle() {
    let namespace = "door";
    make(namespace, &[]);
    let created = apply(&["create", "--namespace", namespace], POD);
    assert!(created.status.success(), "{}", stderr(&created));
    kubectl(&["wait", "--namespace", namespace, "--for=condition=Ready", "pod/bottle", "--timeout=60s"]);
    let exec = |arguments: &[&str]| {
        let output =
            try_kubectl(&[&["exec", "--namespace", namespace, "bottle", "--container"], arguments].concat());
        stderr(&output)
    };
    let refusal = "a bottle is reached by its guard alone";
    for arguments in [
        &["agent", "--", "id"][..],
        &["guard", "--", "id"],
        &["agent", "--", "/egress-guard", "knock"],
        &["guard", "--", "/egress-guard", "knock", "more"],
    ] {
        assert!(exec(arguments).contains(refusal), "{arguments:?}: {}", exec(arguments));
    }
    // That one is let through, to a container that has no such program.
    assert!(exec(&["guard", "--", "/egress-guard", "knock"]).contains("no such file or directory"));
    let attached = try_kubectl(&["attach", "--namespace", namespace, "bottle", "--container", "guard"]);
    assert!(stderr(&attached).contains(refusal), "{}", stderr(&attached));
    kubectl(&["delete", "namespace", namespace, "--wait=false"]);
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn the_rights_are_what_is_asked_for_and_no_more() {
    let namespace = "rights";
    make(namespace, &["--user", "ada"]);
    let can = |verb: &str, what: &str| {
        let (what, part) = what.split_once('/').unwrap_or((what, ""));
        let part = format!("--subresource={part}");
        let output =
            try_kubectl(&["auth", "can-i", verb, what, &part, "--namespace", namespace, "--as", "ada"]);
        stdout(&output).trim() == "yes"
    };
    for (verb, what) in [("create", "pods"), ("delete", "pods"), ("create", "pods/exec"), ("get", "pods/log")]
    {
        // The server learns of a binding a moment after it took it.
        assert!((0..100).any(|_| can(verb, what)), "{verb} {what}");
    }
    for (verb, what) in [
        ("get", "secrets"),
        ("create", "secrets"),
        ("get", "configmaps"),
        ("create", "pods/portforward"),
        ("create", "pods/attach"),
        ("patch", "pods"),
        ("update", "pods/ephemeralcontainers"),
        ("get", "nodes"),
    ] {
        assert!(!can(verb, what), "{verb} {what}");
    }
    kubectl(&["delete", "namespace", namespace, "--wait=false"]);
}
