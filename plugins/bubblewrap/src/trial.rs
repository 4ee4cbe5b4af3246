//! A sandbox that is made and left at once: whether this system lets bottles be made, tried as a launch does it.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bottle_guest::launcher::{DropRoot, Outer};
use claude_bottle_kit::limits::SHM_BYTES;
use claude_bottle_kit::printable;
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};

use crate::error::{BubblewrapError, hint_for, is_namespace_refusal};
use crate::launcher::Arguments;
use crate::probe::{DISABLES_USERNS, Version};
use crate::sandbox;

/// The user that root becomes for it.
const NOBODY: u32 = 65534;

/// Makes the sandbox, and fails with what the system refused and what helps.
pub(crate) fn run(init: &Path, bwrap: &Path, version: Version) -> Result<()> {
    let drop = rustix::process::geteuid().is_root().then_some(NOBODY);
    let mut arguments = Arguments::with(drop.is_some(), version >= DISABLES_USERNS);
    arguments.add(["--unshare-net"]);
    sandbox::system(&mut arguments)?;
    sandbox::devices(&mut arguments, SHM_BYTES);
    arguments.add(["--remount-ro", "/", "--chdir", "/", "--", "/bin/true"]);
    let (list, sources) = arguments.take();
    let drop = drop.zip(sources).map(|(id, sources)| DropRoot { id, sources });
    let outer = Outer { program: bwrap.to_owned(), arguments: list, drop };
    let output = become_it(init, &outer)
        .failure(FailureKind::Missing, || format!("cannot run `{}`", init.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = printable(String::from_utf8_lossy(&output.stderr).trim());
    if is_namespace_refusal(&said) {
        return Err(BubblewrapError::MakeNamespace { said }.into());
    }
    let hint = hint_for(&said).unwrap_or_else(crate::error::namespace_hint);
    Err(Failure::new(FailureKind::Denied, format!("bubblewrap fails here: {said}")).hint(hint))
}

/// The stage dies with the thread that starts it, which waits for its end here.
fn become_it(init: &Path, outer: &Outer) -> io::Result<Output> {
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
