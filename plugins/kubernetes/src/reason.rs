//! Why a Pod does not start, or has ended, in the words of the cluster.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// Reasons of a waiting container that waiting does not mend:
/// <https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff>.
const FINAL: [&str; 6] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// Returns `true` if a Pod, or a container of it that is not started again, has ended.
pub(crate) fn has_ended(pod: &Pod, container: &str) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let is_over = |found: &ContainerStatus| {
        found.name == container && found.state.as_ref().is_some_and(|state| state.terminated.is_some())
    };
    matches!(phase, Some("Failed" | "Succeeded")) || containers(pod).any(is_over)
}

/// Returns why a Pod that is being made will not start, if that is known. One that cannot be placed may be later, when another ends:
/// that is said once the patience of a launch is over.
pub(crate) fn final_reason(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return Some(end(pod).unwrap_or_else(|| "it has ended".to_owned()));
    }
    containers(pod).find_map(|container| {
        let state = container.state.as_ref()?;
        let waiting = state.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| FINAL.contains(reason))?;
        Some(said(&container.name, reason, waiting.message.as_deref()))
    })
}

/// Returns what a Pod that is not running waits for.
pub(crate) fn waits_for(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let placed =
        conditions.clone().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = placed {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        return Some(said("", reason, condition.message.as_deref()));
    }
    containers(pod).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        Some(said(&container.name, reason, waiting.message.as_deref()))
    })
}

/// Returns why a Pod has ended: what the cluster did to it, or else how its containers ended.
pub(crate) fn end(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if let Some(reason) = status.reason.as_deref() {
        return Some(said("", reason, status.message.as_deref()));
    }
    let disrupted = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    if let Some(condition) = disrupted {
        return Some(said(
            "",
            condition.reason.as_deref().unwrap_or("Disrupted"),
            condition.message.as_deref(),
        ));
    }
    containers(pod).find_map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        let reason = ended.reason.as_deref().filter(|reason| *reason != "Completed")?;
        let code = format!("exit code {}", ended.exit_code);
        let message = ended.message.as_deref().filter(|message| !message.is_empty()).unwrap_or(&code);
        Some(said(&container.name, reason, Some(message)))
    })
}

/// Returns `true` if a container was ended by the kernel for its memory.
pub(crate) fn was_out_of_memory(pod: &Pod) -> bool {
    containers(pod).any(|container| {
        let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        ended.and_then(|ended| ended.reason.as_deref()) == Some("OOMKilled")
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| {
        let first = status.init_container_statuses.iter().flatten();
        first.chain(status.container_statuses.iter().flatten())
    })
}

fn said(container: &str, reason: &str, message: Option<&str>) -> String {
    let container = if container.is_empty() { String::new() } else { format!("{container}: ") };
    let message = message.filter(|message| !message.is_empty()).map(|message| format!(": {message}"));
    claude_bottle_kit::printable(&format!("{container}{reason}{}", message.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "status": status })).unwrap()
    }

    #[test]
    fn an_image_that_cannot_be_had_ends_the_wait_and_a_full_cluster_does_not() {
        let waiting = |reason: &str, message: &str| {
            pod(&json!({ "phase": "Pending", "containerStatuses": [{
                "name": "agent", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": reason, "message": message } },
            }]}))
        };
        let refused = waiting("ImagePullBackOff", "Back-off pulling image \"x\"");
        let words = "agent: ImagePullBackOff: Back-off pulling image \"x\"";
        assert_eq!(final_reason(&refused).as_deref(), Some(words));
        assert_eq!(final_reason(&waiting("ContainerCreating", "")), None);
        assert_eq!(waits_for(&waiting("ContainerCreating", "")).as_deref(), Some("agent: ContainerCreating"));
        let full = pod(&json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes" },
        ]}));
        assert_eq!(final_reason(&full), None);
        assert_eq!(waits_for(&full).as_deref(), Some("Unschedulable: 0/1 nodes"));
    }

    #[test]
    fn an_end_has_the_name_that_the_cluster_gives_it() {
        let late = pod(&json!({ "phase": "Failed", "reason": "DeadlineExceeded", "message": "too long" }));
        assert_eq!(end(&late).as_deref(), Some("DeadlineExceeded: too long"));
        let killed = pod(&json!({ "phase": "Failed", "containerStatuses": [{
            "name": "agent", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
        }]}));
        assert_eq!(end(&killed).as_deref(), Some("agent: OOMKilled: exit code 137"));
        assert!(was_out_of_memory(&killed) && !was_out_of_memory(&late));
        let drained = pod(&json!({ "phase": "Failed", "conditions": [
            { "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drain" },
        ]}));
        assert_eq!(final_reason(&drained).as_deref(), Some("EvictionByEvictionAPI: drain"));
    }
}
