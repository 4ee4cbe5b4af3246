//! The Pod of a bottle: two containers, and nothing of the user's.
//!
//! But for its name and whose it is, every bottle of a template has the same Pod: policy, variables, secrets, prompt, skills, working
//! directory and command lines arrive over the stream of an exec, which no cluster keeps.

use std::collections::BTreeMap;

use claude_bottle_kit::{Labels, key};
use claude_bottle_plugin_api::Spec;
use serde_json::{Map, Value, json};

use crate::plan::{PlanState, Tools};

/// The containers.
pub(crate) const GUARD: &str = "guard";
pub(crate) const AGENT: &str = "agent";
/// The container that copies the guest program.
const TOOLS: &str = "tools";

/// The label by which Pods of bottles are found.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "claude-bottle");
/// What part of the bottle a Pod is.
pub(crate) const ROLE: &str = "agent";

/// The user of the guard, which is not the agent's: <https://kubernetes.io/docs/tasks/configure-pod-container/security-context/>.
const GUARD_USER: u32 = 1001;
/// The agent's user and group.
pub(crate) const AGENT_USER: u32 = 1000;

/// Where both containers have the directory of their sockets, and the agent's its guest program.
const LINK_DIR: &str = "/run/claude-bottle/link";
const TOOLS_DIR: &str = "/run/claude-bottle/tools";
pub(crate) const GUEST: &str = "/run/claude-bottle/tools/bottle-guest";

/// What is reserved for an agent: thousandths of a processor, and memory. Most of its time it waits for an answer.
const REQUEST: (f64, u64) = (100.0, 256 << 20);

/// How long containers may take to end when they are asked to, in seconds.
const GRACE: u32 = 5;

/// The label keys that a selector of the cluster can be about. The others are annotations, which may hold any text.
const SELECTABLE: [&str; 4] = [key::ID, key::AGENT, key::BOTTLE, key::ROLE];

/// Describes the Pod of a bottle.
pub(crate) fn document(spec: &Spec, plan: &PlanState) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": plan.name, "labels": labels(spec), "annotations": annotations(spec) },
        "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "shareProcessNamespace": false,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": plan.scheduling.deadline,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": { "runAsNonRoot": true },
            "containers": [guard(plan), agent(plan)],
            "volumes": volumes(plan),
        },
    });
    if plan.tools == Tools::Copied {
        pod["spec"]["initContainers"] = json!([tools(plan)]);
    }
    schedule(plan, &mut pod["spec"]);
    pod
}

fn labels(spec: &Spec) -> BTreeMap<String, String> {
    let ours = Labels::new(spec).with_role(ROLE);
    let selectable = ours.into_iter().filter(|(name, _)| SELECTABLE.contains(&name.as_str()));
    selectable.chain([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())]).collect()
}

/// Whose it is, and what keeps others from changing or moving it. A path of the user's machine is not in it.
fn annotations(spec: &Spec) -> BTreeMap<String, String> {
    let ours = Labels::new(spec).with_role(ROLE);
    let owner =
        ours.into_iter().filter(|(name, _)| name != key::STATE_DIR && !SELECTABLE.contains(&name.as_str()));
    // A sidecar of a mesh, and a node that is emptied for economy, would each end what a bottle is.
    let others = [
        ("sidecar.istio.io/inject", "false"),
        ("linkerd.io/inject", "disabled"),
        ("karpenter.sh/do-not-disrupt", "true"),
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
    ];
    owner.chain(others.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

fn guard(plan: &PlanState) -> Value {
    json!({
        "name": GUARD,
        "image": plan.guard_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/egress-guard", "pod"],
        "securityContext": context(GUARD_USER, true, Some("RuntimeDefault")),
        "resources": {
            "requests": { "cpu": "50m", "memory": "32Mi" },
            "limits": { "cpu": "1", "memory": "256Mi" },
        },
        "volumeMounts": [{ "name": "link", "mountPath": LINK_DIR }],
    })
}

fn agent(plan: &PlanState) -> Value {
    let bounds = &plan.bounds;
    let mut limits = json!({ "memory": bounds.memory_bytes.to_string() });
    let mut requests = json!({ "memory": bounds.memory_bytes.min(REQUEST.1).to_string() });
    if let Some(cpus) = bounds.cpus {
        limits["cpu"] = json!(format!("{}m", (cpus * 1000.0).round()));
        requests["cpu"] = json!(format!("{}m", (cpus * 1000.0).min(REQUEST.0).round()));
    }
    json!({
        "name": AGENT,
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [GUEST, "pod"],
        "workingDir": "/",
        "securityContext": context(AGENT_USER, false, plan.wall.call_filter()),
        "resources": { "requests": requests, "limits": limits },
        "volumeMounts": [
            { "name": "link", "mountPath": LINK_DIR, "readOnly": true },
            { "name": "tools", "mountPath": TOOLS_DIR, "readOnly": true },
            { "name": "shm", "mountPath": "/dev/shm" },
        ],
    })
}

/// Copies the guest program before both containers start.
fn tools(plan: &PlanState) -> Value {
    json!({
        "name": TOOLS,
        "image": plan.guard_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bottle-guest", "install", GUEST],
        "securityContext": context(GUARD_USER, true, Some("RuntimeDefault")),
        "resources": {
            "requests": { "cpu": "50m", "memory": "32Mi" },
            "limits": { "cpu": "1", "memory": "256Mi" },
        },
        "volumeMounts": [{ "name": "tools", "mountPath": TOOLS_DIR }],
    })
}

fn context(user: u32, read_only: bool, call_filter: Option<&str>) -> Value {
    let mut context = json!({
        "runAsUser": user,
        "runAsGroup": user,
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "privileged": false,
        "readOnlyRootFilesystem": read_only,
        "capabilities": { "drop": ["ALL"] },
    });
    if let Some(filter) = call_filter {
        context["seccompProfile"] = json!({ "type": filter });
    }
    context
}

fn volumes(plan: &PlanState) -> Value {
    let tools = match plan.tools {
        Tools::Volume => json!({ "reference": plan.guard_image, "pullPolicy": "IfNotPresent" }),
        Tools::Copied => json!({ "sizeLimit": "32Mi" }),
    };
    let kind = match plan.tools {
        Tools::Volume => "image",
        Tools::Copied => "emptyDir",
    };
    json!([
        { "name": "link", "emptyDir": { "medium": "Memory", "sizeLimit": "16Mi" } },
        { "name": "tools", kind: tools },
        { "name": "shm", "emptyDir": { "medium": "Memory", "sizeLimit": plan.bounds.shm_bytes.to_string() } },
    ])
}

/// Adds what the user said of where it runs, and nothing that was not said.
fn schedule(plan: &PlanState, spec: &mut Value) {
    let scheduling = &plan.scheduling;
    let mut add = |name: &str, value: Value| spec[name] = value;
    if let Some(class) = &scheduling.runtime_class {
        add("runtimeClassName", json!(class));
    }
    if let Some(class) = &scheduling.priority_class {
        add("priorityClassName", json!(class));
    }
    if !scheduling.node_selector.is_empty() {
        add("nodeSelector", Value::Object(Map::clone(&scheduling.node_selector)));
    }
    if !scheduling.tolerations.is_empty() {
        add("tolerations", json!(scheduling.tolerations));
    }
    if !scheduling.image_pull_secrets.is_empty() {
        let names = scheduling.image_pull_secrets.iter().map(|name| json!({ "name": name }));
        add("imagePullSecrets", names.collect());
    }
}
