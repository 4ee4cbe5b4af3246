//! The sandbox itself: what of the host is seen inside, and where.

use std::path::Path;

use claude_bottle_kit::bwrap::{self, Arguments};
use claude_bottle_kit::host_guard;
use claude_bottle_plugin_api::Result;

use crate::etc;
use crate::guest::{GUARD_DIR, INIT, OURS, SSH_DIR};
use crate::plan::{Planned, place, workspace};
use crate::rundir::RunDir;

/// The part's name.
pub(crate) const PART: &str = "sandbox";

/// The home, on the host.
pub(crate) const HOME: &str = "home";
pub(crate) const TMP: &str = "tmp";
pub(crate) const SSH: &str = "ssh";

/// Makes the directories that are bound in.
pub(crate) fn make_directories(state: &Planned, dir: &RunDir) -> Result<()> {
    dir.make_dir(HOME, 0o755, state.bwrap.run_as_uid)?;
    dir.make_dir(TMP, 0o1777, state.bwrap.run_as_uid)?;
    dir.make_dir(SSH, 0o755, state.bwrap.run_as_uid)?;
    Ok(())
}

/// Returns the arguments of the sandbox, up to and with process 1.
pub(crate) fn arguments(state: &Planned, dir: &RunDir) -> Result<Arguments> {
    let mut arguments = Arguments::new(&state.bwrap);
    arguments.add(["--unshare-net", "--hostname", &state.name]);
    bwrap::system(&mut arguments)?;
    arguments.bind("--ro-bind", &dir.join(etc::DIR), "/etc")?;
    arguments.bind("--ro-bind", &dir.join(etc::HOSTS), "/etc/hosts")?;
    bwrap::devices(&mut arguments, state.limits.bounds.shm_bytes);
    arguments.bind("--bind", &dir.join(TMP), "/tmp")?;
    arguments.add(["--dir", "/var"]);
    for database in etc::DATABASES.iter().filter(|database| Path::new(database).is_dir()) {
        arguments.bind("--ro-bind", Path::new(database), database)?;
    }
    arguments.add(["--symlink", "../tmp", "/var/tmp", "--dir", "/home", "--dir", "/root"]);
    arguments.bind("--bind", &dir.join(HOME), &state.home.path)?;
    arguments.add(["--dir", "/run", "--dir", OURS]);
    arguments.bind("--ro-bind", &state.bwrap.guest, INIT)?;
    arguments.bind("--ro-bind", &dir.join(host_guard::DIR), GUARD_DIR)?;
    arguments.bind("--ro-bind", &dir.join(SSH), SSH_DIR)?;
    for place in &state.grants.places {
        arguments.bind("--ro-bind", place, &place.to_string_lossy())?;
    }
    for bind in &state.program.binds {
        arguments.bind("--ro-bind", &bind.source, &bind.target)?;
    }
    // After what is granted: a directory of tools may be around it.
    if let (directory, true) = workspace(state) {
        arguments.bind("--bind", &dir.join(&directory), &place(&state.spec, &state.home).root)?;
    }
    for (target, name) in &state.program.links {
        arguments.add(["--symlink", target, name]);
    }
    arguments.add(["--remount-ro", "/", "--chdir", &state.home.path, "--", INIT, "init"]);
    Ok(arguments)
}
