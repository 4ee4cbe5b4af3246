//! The container: its rights, its limits and its mounts.
//!
//! The document is that of `POST /libpod/containers/create`:
//! <https://github.com/containers/podman/blob/v4.3.1/pkg/specgen/specgen.go>.

use std::fs;
use std::path::Path;

use bottle_guest::seccomp;
use claude_bottle_directory::{RunDir, inside, layout};
use claude_bottle_door as door;
use claude_bottle_kit::host_files::write_new;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::{Labels, host_guard, hostname, trust};
use claude_bottle_plugin_api::{Failure, FailureKind, Result};
use serde_json::{Value, json};

use crate::limits::Limits;
use crate::plan::Planned;

/// Where process 1 is handed the bottle's door.
const INSIDE_DOOR_DIR: &str = "/run/claude-bottle/handover";
const INSIDE_DOOR: &str = "/run/claude-bottle/handover/door.sock";

/// The one part of a bottle that Podman has.
pub(crate) const ROLE: &str = "agent";

/// Files in the bottle's directory that the container is made from.
const FILTER: &str = "seccomp.json";
const HOSTS: &str = "hosts";
const RESOLVER: &str = "resolv.conf";

/// Writes the files that the container is made from.
pub(crate) fn write_files(plan: &Planned, dir: &RunDir) -> Result<()> {
    let Some(filter) = seccomp::profile(&plan.arch) else {
        let message = format!("there is no call filter for the processor `{}`", plan.arch);
        return Err(Failure::new(FailureKind::Unsupported, message));
    };
    write_new(&dir.join(FILTER), filter.as_bytes(), 0o644)?;
    let hosts = format!("127.0.0.1 localhost {}\n::1 localhost\n", hostname(&plan.base.name));
    write_new(&dir.join(HOSTS), hosts.as_bytes(), 0o644)?;
    // Process 1 answers names by itself. Podman would write the host's name servers.
    write_new(&dir.join(RESOLVER), b"nameserver 127.0.0.1\n", 0o644)?;
    // Helpers of the bottle are programs of the host, and look up their user there.
    let etc = dir.make_dir(layout::ETC, 0o755, plan.base.bwrap.run_as_uid)?;
    let (user, id, home) = (inside::USER, inside::ID, &plan.base.home.path);
    write_new(&etc.join("passwd"), format!("{user}:x:{id}:{id}::{home}:/bin/sh\n").as_bytes(), 0o644)?;
    write_new(&etc.join("group"), format!("{user}:x:{id}:\n").as_bytes(), 0o644)
}

/// Describes the container of a bottle.
pub(crate) fn document(plan: &Planned, dir: &RunDir) -> Result<Value> {
    let mut document = json!({
        "name": plan.base.name,
        "image": plan.image.reference(),
        "hostname": hostname(&plan.base.name),
        "labels": Labels::new(&plan.spec).with_role(ROLE),
        "entrypoint": [inside::INIT, "init", INSIDE_DOOR],
        "command": [],
        "work_dir": "/",
        "user": format!("{}:{}", inside::ID, inside::ID),
        // No variable of the host goes in, and the guest program is process 1.
        "env": {},
        "httpproxy": false,
        "init": false,
        "stdin": false,
        "terminal": false,
        "log_configuration": { "driver": "none" },
        "restart_policy": "no",
        "netns": { "nsmode": "none" },
        "ipcns": { "nsmode": "private" },
        "pidns": { "nsmode": "private" },
        "utsns": { "nsmode": "private" },
        "use_image_hosts": true,
        "use_image_resolve_conf": true,
        "image_volume_mode": "ignore",
        "cap_drop": ["ALL"],
        "privileged": false,
        "no_new_privileges": true,
        "seccomp_profile_path": dir.join(FILTER),
        // Names are asked for on port 53, and what is caught arrives on 443 and 80.
        "sysctl": { "net.ipv4.ip_unprivileged_port_start": "0" },
        "shm_size": plan.limits.bounds.shm_bytes,
        "resource_limits": plan.limits.of_container(),
        "r_limits": Limits::of_process_1(),
        "mounts": mounts(plan, dir)?,
    });
    if plan.rootless {
        // The user's own files are the agent's inside, whatever number the user has.
        let value = format!("uid={},gid={}", inside::ID, inside::ID);
        document["userns"] = json!({ "nsmode": "keep-id", "value": value });
    }
    Ok(document)
}

/// Returns the bind mounts of the bottle's directory: the agent's own are writable, the others read-only.
fn mounts(plan: &Planned, dir: &RunDir) -> Result<Vec<Value>> {
    let own = |name: &str, target: &str| bind(&dir.join(name), target, "rw");
    let ours = |name: &str, target: &str| bind(&dir.join(name), target, "ro");
    let mut mounts = vec![
        own(layout::HOME, &plan.base.home.path)?,
        own(layout::TMP, "/tmp")?,
        ours(host_guard::DIR, inside::GUARD_DIR)?,
        ours(layout::SSH, inside::SSH_DIR)?,
        ours(door::DIR, INSIDE_DOOR_DIR)?,
        ours(HOSTS, "/etc/hosts")?,
        ours(RESOLVER, "/etc/resolv.conf")?,
        bind(&plan.base.bwrap.guest, inside::INIT, "ro")?,
        bind(&plan.base.bwrap.guest, inside::COMMAND, "ro")?,
    ];
    if trust::is_needed(&plan.spec) {
        for (source, target) in trust::mounts(&dir.join(host_guard::DIR)) {
            mounts.push(bind(&source, &target, "ro")?);
        }
    }
    if let (directory, true) = layout::workspace(&plan.spec, &plan.base.home) {
        mounts.push(own(&directory, &layout::place(&plan.spec, &plan.base.home).root)?);
    }
    Ok(mounts)
}

fn bind(source: &Path, target: &str, access: &str) -> Result<Value> {
    // Podman would mount the target of a link.
    let source = fs::canonicalize(source).at("find", source)?;
    let source = source.to_str().ok_or_else(|| {
        let shown = claude_bottle_kit::paths::show(&source);
        Failure::new(FailureKind::Invalid, format!("the path `{shown}` is not UTF-8"))
    })?;
    let options = ["rbind", "rprivate", "nosuid", "nodev", access];
    Ok(json!({ "type": "bind", "source": source, "destination": target, "options": options }))
}
