//! The sandbox itself: what of the host is seen inside, and where.

use std::fs;
use std::path::Path;

use claude_bottle_plugin_api::Result;

use crate::error::PathExt;
use crate::guest::{GUARD_DIR, INIT, OURS, SSH_DIR};
use crate::launcher::Arguments;
use crate::plan::{Planned, place, workspace};
use crate::program::SHARED;
use crate::rundir::RunDir;
use crate::{etc, guard};

/// The part's name.
pub(crate) const PART: &str = "sandbox";

/// The home, on the host.
pub(crate) const HOME: &str = "home";
pub(crate) const TMP: &str = "tmp";
pub(crate) const SSH: &str = "ssh";

/// What of a fresh `/proc` is hidden: key rings are the whole machine's.
const HIDDEN: [&str; 1] = ["/proc/keys"];

/// Makes the directories that are bound in.
pub(crate) fn make_directories(state: &Planned, dir: &RunDir) -> Result<()> {
    dir.make_dir(HOME, 0o755, state.run_as_uid)?;
    dir.make_dir(TMP, 0o1777, state.run_as_uid)?;
    dir.make_dir(SSH, 0o755, state.run_as_uid)?;
    Ok(())
}

/// Returns the arguments of the sandbox, up to and with process 1.
pub(crate) fn arguments(state: &Planned, dir: &RunDir) -> Result<Arguments> {
    let mut arguments = Arguments::new(state);
    arguments.add(["--unshare-net", "--hostname", &state.name]);
    system(&mut arguments)?;
    arguments.bind("--ro-bind", &dir.join(etc::DIR), "/etc")?;
    arguments.bind("--ro-bind", &dir.join(etc::HOSTS), "/etc/hosts")?;
    devices(&mut arguments, state.limits.bounds.shm_bytes);
    arguments.bind("--bind", &dir.join(TMP), "/tmp")?;
    arguments.add(["--dir", "/var"]);
    for database in etc::DATABASES.iter().filter(|database| Path::new(database).is_dir()) {
        arguments.bind("--ro-bind", Path::new(database), database)?;
    }
    arguments.add(["--symlink", "../tmp", "/var/tmp", "--dir", "/home", "--dir", "/root"]);
    arguments.bind("--bind", &dir.join(HOME), &state.home.path)?;
    arguments.add(["--dir", "/run", "--dir", OURS]);
    arguments.bind("--ro-bind", &state.tools.init, INIT)?;
    arguments.bind("--ro-bind", &dir.join(guard::DIR), GUARD_DIR)?;
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

/// Shows the host's programs and libraries. Where `/bin` is a link to `/usr/bin`, it is one inside too.
pub(crate) fn system(arguments: &mut Arguments) -> Result<()> {
    let libraries = ["/lib32", "/lib64", "/libx32"];
    for path in SHARED.iter().chain(&libraries).map(Path::new) {
        let Ok(metadata) = fs::symlink_metadata(path) else { continue };
        let name = path.to_string_lossy();
        if metadata.is_symlink() {
            let target = fs::read_link(path).at("read", path)?;
            arguments.add(["--symlink", &*target.to_string_lossy(), &*name]);
        } else {
            arguments.bind("--ro-bind", path, &name)?;
        }
    }
    Ok(())
}

/// Makes `/proc` and `/dev`.
pub(crate) fn devices(arguments: &mut Arguments, shm_bytes: u64) {
    arguments.add(["--proc", "/proc"]);
    for path in HIDDEN.iter().filter(|path| Path::new(path).exists()) {
        arguments.add(["--ro-bind", "/dev/null", path]);
    }
    arguments.add(["--dev", "/dev", "--remount-ro", "/dev"]);
    arguments.add(["--perms", "1777", "--size", &shm_bytes.to_string(), "--tmpfs", "/dev/shm"]);
}
