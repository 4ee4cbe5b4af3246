//! What a cluster may change of a Pod, and what not.

use serde_json::{Value, json};

use super::changes;

/// A Pod as it is asked for, in short.
fn asked() -> Value {
    json!({ "spec": {
        "automountServiceAccountToken": false,
        "containers": [
            {
                "name": "guard", "image": "guard", "command": ["/egress-guard", "pod"],
                "resources": { "limits": { "cpu": "1" } },
                "securityContext": { "runAsUser": 1001, "capabilities": { "drop": ["ALL"] } },
                "volumeMounts": [{ "name": "link", "mountPath": "/run/link" }],
            },
            { "name": "agent", "image": "agent", "command": ["/guest", "pod"], "securityContext": { "runAsUser": 1000 } },
        ],
        "volumes": [{ "name": "link", "emptyDir": { "medium": "Memory", "sizeLimit": "16Mi" } }],
    }})
}

#[test]
fn what_servers_fill_in_is_not_a_change() {
    let mut found = asked();
    let spec = &mut found["spec"];
    spec["dnsPolicy"] = json!("ClusterFirst");
    spec["tolerations"] = json!([{ "key": "node.kubernetes.io/not-ready", "operator": "Exists" }]);
    spec["serviceAccountName"] = json!("default");
    spec["hostNetwork"] = json!(false);
    spec["nodeName"] = json!("node1");
    spec["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
    spec["containers"][0]["resources"] = json!({ "limits": { "cpu": "500m" } });
    spec["volumes"][0]["emptyDir"]["sizeLimit"] = json!("16777216");
    assert_eq!(changes(&asked(), &found), Vec::<String>::new());
}

#[test]
fn what_could_weaken_a_bottle_is_named() {
    let check = |path: &str, value: Value, expected: &str| {
        let mut found = asked();
        let place = found.pointer_mut(path.rsplit_once('/').unwrap().0).unwrap();
        match (place, path.rsplit_once('/').unwrap().1) {
            (Value::Array(items), "-") => items.push(value),
            (place, name) => place[name] = value,
        }
        assert_eq!(changes(&asked(), &found), [expected], "{path}");
    };
    check("/spec/hostNetwork", json!(true), "hostNetwork");
    check("/spec/shareProcessNamespace", json!(true), "shareProcessNamespace");
    check("/spec/automountServiceAccountToken", json!(true), "automountServiceAccountToken");
    check("/spec/containers/-", json!({ "name": "istio-proxy" }), "containers.istio-proxy");
    check("/spec/initContainers", json!([{ "name": "init" }]), "initContainers");
    check("/spec/ephemeralContainers", json!([{ "name": "debug" }]), "ephemeralContainers");
    check("/spec/volumes/-", json!({ "name": "token", "projected": {} }), "volumes.token");
    check("/spec/volumes/0/hostPath", json!({ "path": "/" }), "volumes.link.hostPath");
    check("/spec/containers/0/env", json!([{ "name": "A", "value": "b" }]), "containers.guard.env");
    check("/spec/containers/1/image", json!("other"), "containers.agent.image");
    check("/spec/containers/1/command", json!(["/bin/sh"]), "containers.agent.command");
    check("/spec/containers/1/lifecycle", json!({ "postStart": {} }), "containers.agent.lifecycle");
    check("/spec/containers/1/volumeMounts", json!([{ "name": "x" }]), "containers.agent.volumeMounts");
    check(
        "/spec/containers/0/volumeMounts/0/mountPath",
        json!("/"),
        "containers.guard.volumeMounts.link.mountPath",
    );
    check(
        "/spec/containers/0/securityContext/capabilities/add",
        json!(["NET_ADMIN"]),
        "containers.guard.securityContext.capabilities.add",
    );
    check(
        "/spec/containers/1/securityContext/runAsUser",
        json!(0),
        "containers.agent.securityContext.runAsUser",
    );
}

#[test]
fn a_switch_that_is_off_only_when_it_is_said_must_be_said() {
    let mut found = asked();
    found["spec"].as_object_mut().unwrap().remove("automountServiceAccountToken");
    assert_eq!(changes(&asked(), &found), ["automountServiceAccountToken"]);
    let mut found = asked();
    found["spec"]["containers"].as_array_mut().unwrap().pop();
    assert_eq!(changes(&asked(), &found), ["containers.agent"]);
}
