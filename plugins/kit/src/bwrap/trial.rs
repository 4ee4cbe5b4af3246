//! A sandbox that is made and left at once: whether this system lets bottles be made, tried as a launch does it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};

use super::error::{hint_for, is_namespace_refusal, namespace_hint};
use super::stage::{DropRoot, Outer};
use super::version::{DISABLES_USERNS, Version};
use super::{Arguments, BwrapError, system};
use crate::limits::SHM_BYTES;
use crate::printable;

/// The user that root becomes for it.
const NOBODY: u32 = 65534;

/// Makes the sandbox, and fails with what the system refused and what helps.
pub(super) fn run(init: &Path, bwrap: &Path, version: Version) -> Result<()> {
    let drop = rustix::process::geteuid().is_root().then_some(NOBODY);
    let mut arguments = Arguments::with(drop.is_some(), version >= DISABLES_USERNS);
    arguments.add(["--unshare-net"]);
    system::system(&mut arguments)?;
    system::devices(&mut arguments, SHM_BYTES);
    arguments.add(["--remount-ro", "/", "--chdir", "/", "--", "/bin/true"]);
    let (list, sources) = arguments.take();
    let drop = drop.zip(sources).map(|(id, sources)| DropRoot { id, sources });
    let outer = Outer { program: bwrap, arguments: list, drop };
    let output = become_it(init, &outer)
        .failure(FailureKind::Missing, || format!("cannot run `{}`", init.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = printable(String::from_utf8_lossy(&output.stderr).trim());
    if is_namespace_refusal(&said) {
        return Err(BwrapError::MakeNamespace { said }.into());
    }
    let hint = hint_for(&said).unwrap_or_else(namespace_hint);
    Err(Failure::new(FailureKind::Denied, format!("bubblewrap fails here: {said}")).hint(hint))
}

/// Returns `true` if a switch of the system makes a refusal likely, so that it is tried before a launch.
pub(super) fn is_doubtful() -> bool {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
        || is("/proc/sys/kernel/unprivileged_userns_clone", "0")
        || is("/proc/sys/user/max_user_namespaces", "0")
}

/// The stage dies with the thread that starts it, which waits for its end here.
fn become_it(init: &Path, outer: &Outer<'_>) -> io::Result<Output> {
    let (reader, mut description) = io::pipe()?;
    let mut command = Command::new(init);
    command.arg("outer").arg(std::process::id().to_string()).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::from(reader)).stderr(Stdio::piped());
    let stage = command.spawn()?;
    // It may have ended already, with a reason that counts more than this one.
    description.write_all(&serde_json::to_vec(outer)?).ok();
    drop(description);
    stage.wait_with_output()
}
