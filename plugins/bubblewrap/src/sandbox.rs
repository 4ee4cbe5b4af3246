//! The sandbox itself: what of the host is seen inside, and where.

use std::path::Path;

use claude_bottle_directory::RunDir;
use claude_bottle_directory::inside::{COMMAND, GUARD_DIR, INIT, OURS, SSH_DIR};
use claude_bottle_directory::layout::{self, HOME, SSH, TMP, place, workspace};
use claude_bottle_kit::bwrap::{self, Arguments};
use claude_bottle_kit::host_guard;
use claude_bottle_plugin_api::Result;

use crate::etc;
use crate::plan::Planned;

/// The part's name.
pub(crate) const PART: &str = "sandbox";

/// Returns the arguments of the sandbox, up to and with process 1.
pub(crate) fn arguments(state: &Planned, dir: &RunDir) -> Result<Arguments> {
    let mut arguments = Arguments::new(&state.base.bwrap);
    arguments.add(["--unshare-net", "--hostname", &state.base.name]);
    bwrap::system(&mut arguments)?;
    arguments.bind("--ro-bind", &dir.join(layout::ETC), "/etc")?;
    arguments.bind("--ro-bind", &dir.join(etc::HOSTS), "/etc/hosts")?;
    bwrap::devices(&mut arguments, state.limits.bounds.shm_bytes);
    arguments.bind("--bind", &dir.join(TMP), "/tmp")?;
    arguments.add(["--dir", "/var"]);
    for database in etc::DATABASES.iter().filter(|database| Path::new(database).is_dir()) {
        arguments.bind("--ro-bind", Path::new(database), database)?;
    }
    arguments.add(["--symlink", "../tmp", "/var/tmp", "--dir", "/home", "--dir", "/root"]);
    arguments.bind("--bind", &dir.join(HOME), &state.base.home.path)?;
    arguments.add(["--dir", "/run", "--dir", OURS]);
    arguments.bind("--ro-bind", &state.base.bwrap.guest, INIT)?;
    arguments.add(["--symlink", "../bottle-guest", COMMAND]);
    arguments.bind("--ro-bind", &dir.join(host_guard::DIR), GUARD_DIR)?;
    arguments.bind("--ro-bind", &dir.join(SSH), SSH_DIR)?;
    for place in &state.grants.places {
        arguments.bind("--ro-bind", place, &place.to_string_lossy())?;
    }
    for bind in &state.program.binds {
        arguments.bind("--ro-bind", &bind.source, &bind.target)?;
    }
    // After what is granted: a directory of tools may be around it.
    if let (directory, true) = workspace(&state.spec, &state.base.home) {
        arguments.bind("--bind", &dir.join(&directory), &place(&state.spec, &state.base.home).root)?;
    }
    for (target, name) in &state.program.links {
        arguments.add(["--symlink", target, name]);
    }
    arguments.add(["--remount-ro", "/", "--chdir", &state.base.home.path, "--", INIT, "init"]);
    Ok(arguments)
}
