//! Walls of a bottle, and the comparison of a Pod that was asked for with the one that a cluster makes of it.
//!
//! Everything that an admission of the cluster's adds is judged by one rule: what is not in the short list of things that cannot
//! weaken a bottle is a change, and refuses it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What keeps the agent from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wall {
    /// A network namespace of its own, made by process 1 before all else.
    Netns,
    /// Process 1 is asked for each socket, by the kernel.
    Notify,
}

impl Wall {
    /// Those that process 1 can make, the strongest first.
    pub(crate) const USABLE: &[Self] = &[Self::Netns];

    /// Returns the call filter that the agent's container is asked to have of the container engine. For [`Wall::Netns`] there is none: that of
    /// engines forbids namespaces, and process 1 loads one of ours.
    pub(crate) const fn call_filter(self) -> Option<&'static str> {
        match self {
            Self::Netns => None,
            Self::Notify => Some("RuntimeDefault"),
        }
    }

    /// Returns the name that process 1 has for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Netns => "netns",
            Self::Notify => "notify",
        }
    }

    /// Says it for a plan.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Netns => {
                "none; the agent has a network namespace of its own, and reaches the guard through a socket"
            }
            Self::Notify => {
                "none; the agent's sockets are made by the guest program, and reach the guard alone"
            }
        }
    }
}

/// What servers and schedulers fill in of a Pod's specification.
const FILLED_IN: [&str; 15] = [
    "affinity",
    "dnsPolicy",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "schedulerName",
    "serviceAccount",
    "serviceAccountName",
    "tolerations",
    "topologySpreadConstraints",
    "hostUsers",
];

/// The same of a container, whose amounts a namespace may bound.
const FILLED_IN_CONTAINER: [&str; 4] =
    ["imagePullPolicy", "resources", "terminationMessagePath", "terminationMessagePolicy"];

/// What a server says of each volume mount and source when it was not said.
const FILLED_IN_VOLUME: [&str; 2] = ["pullPolicy", "recursiveReadOnly"];

/// Returns what is different between the Pod that was asked for and the one that there is, each by its name.
pub(crate) fn changes(asked: &Value, found: &Value) -> Vec<String> {
    let (asked, found) = (&asked["spec"], &found["spec"]);
    let mut changes = Vec::new();
    compare_fields(asked, found, "", &FILLED_IN, &mut changes);
    changes
}

/// Compares two objects, but for fields that may be there besides.
fn compare_fields(asked: &Value, found: &Value, place: &str, besides: &[&str], changes: &mut Vec<String>) {
    let empty = Map::new();
    let (asked, found) = (asked.as_object().unwrap_or(&empty), found.as_object().unwrap_or(&empty));
    for (name, value) in asked {
        let place = join(place, name);
        match found.get(name) {
            // Some switches are on when they are not said to be off.
            None if is_nothing(value) && *value != Value::Bool(false) => {}
            None => changes.push(place),
            // A namespace's limits may be lower than what was asked for, and its Pods may be given other nodes.
            Some(_) if besides.contains(&name.as_str()) => {}
            Some(other) => compare(value, other, &place, changes),
        }
    }
    for (name, value) in found {
        if !asked.contains_key(name) && !besides.contains(&name.as_str()) && !is_nothing(value) {
            changes.push(join(place, name));
        }
    }
}

fn compare(asked: &Value, found: &Value, place: &str, changes: &mut Vec<String>) {
    match (asked, found) {
        (Value::Object(_), Value::Object(_)) => {
            compare_fields(asked, found, place, &FILLED_IN_VOLUME, changes);
        }
        (Value::Array(asked), Value::Array(found)) if place_is_named(place) => {
            compare_named(asked, found, place, changes);
        }
        // An amount may be written in another way.
        (Value::String(_), Value::String(_)) if place.ends_with("sizeLimit") => {}
        (asked, found) if asked == found => {}
        _ => changes.push(place.to_owned()),
    }
}

/// Returns `true` if the list at this place holds things with names.
fn place_is_named(place: &str) -> bool {
    ["containers", "initContainers", "volumes", "volumeMounts"].iter().any(|list| place.ends_with(list))
}

/// Compares lists of things with names, which are the same ones in the same order.
fn compare_named(asked: &[Value], found: &[Value], place: &str, changes: &mut Vec<String>) {
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    for value in found {
        if !asked.iter().any(|other| name(other) == name(value)) {
            changes.push(join(place, &name(value)));
        }
    }
    for value in asked {
        let besides = if place.ends_with("ontainers") { &FILLED_IN_CONTAINER[..] } else { &FILLED_IN_VOLUME };
        match found.iter().filter(|other| name(other) == name(value)).collect::<Vec<_>>()[..] {
            [other] => compare_fields(value, other, &join(place, &name(value)), besides, changes),
            _ => changes.push(join(place, &name(value))),
        }
    }
}

/// Returns `true` for what means as much as its absence.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

#[cfg(test)]
mod tests;
