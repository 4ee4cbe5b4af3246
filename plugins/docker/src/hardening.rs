//! What no program in a container of a bottle may do, whatever its user: capabilities, new privileges, system calls.

use bollard::models::HostConfig;
use bottle_guest::seccomp;

use crate::engine::EngineFacts;
use crate::plan::Planned;

/// Returns `true` if the engine takes a call filter, and there is one for its architecture.
pub(crate) fn can_filter(facts: &EngineFacts) -> bool {
    let takes = facts.security.iter().any(|option| option.contains("name=seccomp"));
    takes && seccomp::profile(&facts.arch).is_some()
}

/// Puts the hardening that agent and sidecar have in common into a container's settings.
///
/// The call filter is ours on every engine, whatever its age and its own settings: no wider than the bubblewrap backend's.
pub(crate) fn apply(plan: &Planned, host: &mut HostConfig) {
    host.cap_drop = Some(vec!["ALL".to_owned()]);
    let profile = if plan.call_filter { seccomp::profile(&plan.arch) } else { None };
    let filter = profile.map(|profile| format!("seccomp={profile}"));
    host.security_opt = Some(["no-new-privileges".to_owned()].into_iter().chain(filter).collect());
}
