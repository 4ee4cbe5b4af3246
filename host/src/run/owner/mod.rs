//! The process a run belongs to, and whether it is still alive.
//!
//! A process number says nothing outside its pid namespace, and two of those can have one host name. What cannot be
//! judged is never taken for dead.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use claude_bottle_plugin_api::Owner;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

/// Returns this process as an owner.
pub fn this_process() -> Owner {
    let (pid, started) = system::this_process();
    let mut owner = Owner::new(host_name(), pid, started);
    owner.boot_id = system::boot_id();
    owner.machine_id = system::machine_id();
    owner.pid_namespace = system::pid_namespace();
    owner
}

/// Returns whether the owner still runs.
///
/// # Errors
/// Says why that cannot be known from here.
pub fn is_alive(owner: &Owner) -> Result<bool, String> {
    let pid = owner.pid;
    match (place(owner, &this_process()), owner.host.as_str()) {
        (Place::Here, _) => system::is_alive(owner)
            .ok_or_else(|| format!("process {pid} exists, and when it started cannot be seen by this user")),
        (Place::EarlierBoot, _) => Ok(false),
        (Place::OtherNamespace, _) => system::is_alive_in_namespace(owner).ok_or_else(|| {
            format!("process {pid} is in another pid namespace, which cannot be seen from here")
        }),
        (Place::OtherKernel, host) => {
            Err(format!("process {pid} of host `{host}` ran under another kernel, which may still run"))
        }
        (Place::OtherHost, host) => Err(format!("process {pid} is on host `{host}`")),
    }
}

/// Where an owner's number counts, as seen from this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In this very pid namespace.
    Here,
    /// In this machine's, before it was started again.
    EarlierBoot,
    /// In another pid namespace of this kernel.
    OtherNamespace,
    /// Under another kernel with the same host name: a virtual machine, or a machine of the same name.
    OtherKernel,
    /// On a host with another name.
    OtherHost,
}

/// Compares what both owners say. An owner from before contract 1.1 says its host's name alone.
fn place(owner: &Owner, me: &Owner) -> Place {
    let same = |theirs: &str, mine: &str| (!theirs.is_empty() && !mine.is_empty()).then_some(theirs == mine);
    match same(&owner.boot_id, &me.boot_id) {
        Some(true) if owner.pid_namespace == 0 || me.pid_namespace == 0 => Place::OtherNamespace,
        Some(true) if owner.pid_namespace == me.pid_namespace => Place::Here,
        Some(true) => Place::OtherNamespace,
        Some(false) if same(&owner.machine_id, &me.machine_id) == Some(true) => Place::EarlierBoot,
        _ if owner.host != me.host => Place::OtherHost,
        Some(false) => Place::OtherKernel,
        None => Place::Here,
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
