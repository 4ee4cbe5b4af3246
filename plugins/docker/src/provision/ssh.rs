//! SSH: keys the agent can use and cannot read.
//!
//! The keys go from the host over standard input straight into an ssh-agent that root runs inside; they are in no file of the
//! bottle. See [`bottle_guest::ssh`].

use claude_bottle_kit::ssh::{self, Way};
use claude_bottle_plugin_api::{Failure, FailureKind, Result, Spec};
use zeroize::Zeroizing;

use super::{Command, Files, Guest, Task};
use crate::image::guard::GUEST;

/// Where root's ssh-agent listens.
const AGENT_SOCKET: &str = "/run/claude-bottle-agent.sock";
/// Where the bridge listens, for everyone inside.
const PUBLIC_SOCKET: &str = "/run/claude-bottle-agent-public.sock";

/// Checks the entries and their keys on the host.
pub(super) fn survey(spec: &Spec) -> Result<()> {
    ssh::check(&spec.bottle.ssh)
}

/// Adds the settings by which every ssh inside finds the keys and the way out.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    let entries = &task.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(());
    }
    let proxy = task.proxy.and_then(|url| url.strip_prefix("http://"));
    let proxy = proxy
        .ok_or_else(|| Failure::new(FailureKind::Internal, "the bottle's record does not name its proxy"))?;
    let proxy_command = |_: &str| format!("{GUEST} connect {proxy} %h %p");
    let way = Way { agent_socket: PUBLIC_SOCKET, proxy_command: &proxy_command };
    let dir = format!("{}/.ssh", task.home);
    files.dir(&dir, 0o700);
    for file in ssh::client_files(entries, way)? {
        files.file(format!("{dir}/{}", file.name), 0o600, file.content);
    }
    Ok(())
}

/// Returns the variable by which `ssh-add` and git's signing find the keys. One of the manifest's own wins.
pub(super) fn variable(spec: &Spec) -> Option<(&'static str, &'static str)> {
    const NAME: &str = "SSH_AUTH_SOCK";
    let is_set = spec.bottle.env.iter().any(|variable| variable.name == NAME);
    (!spec.bottle.ssh.is_empty() && !is_set).then_some((NAME, PUBLIC_SOCKET))
}

/// Starts the ssh-agent and its bridge, and gives it the keys.
pub(super) async fn start(guest: &impl Guest, task: &Task<'_>) -> Result<()> {
    let entries = &task.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(());
    }
    let mut input = Zeroizing::new(Vec::new());
    for key in ssh::private_keys(entries)? {
        input.extend_from_slice(&key.text);
    }
    let words = ["ssh-agent", AGENT_SOCKET, PUBLIC_SOCKET].map(str::to_owned).into();
    guest.run(Command { action: "start the ssh agent", words, input, root: true }).await.map(drop)
}
