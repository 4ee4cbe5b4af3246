//! The sandbox itself: what of the host is seen inside, and where.

use std::fs;
use std::path::Path;

use claude_bottle_plugin_api::Result;

use crate::agent::SHARED;
use crate::error::PathExt;
use crate::guest::{GUARD_DIR, INIT, OURS, SSH_DIR};
use crate::outer::Arguments;
use crate::plan::PlanState;
use crate::rundir::RunDir;
use crate::{etc, guard};

/// The part's name.
pub(crate) const PART: &str = "sandbox";

/// The home, on the host.
pub(crate) const HOME: &str = "home";
const TMP: &str = "tmp";
pub(crate) const SSH: &str = "ssh";

/// Shared memory; more would let a bottle take the machine's.
const SHM_BYTES: u64 = 256 << 20;

/// What of a fresh `/proc` is hidden: key rings are the whole machine's.
const HIDDEN: [&str; 1] = ["/proc/keys"];

/// Makes the directories that are bound in.
pub(crate) fn make_directories(state: &PlanState, dir: &RunDir) -> Result<()> {
    dir.make_dir(HOME, 0o755, state.drop_to)?;
    dir.make_dir(TMP, 0o1777, state.drop_to)?;
    dir.make_dir(SSH, 0o755, state.drop_to)?;
    Ok(())
}

/// Returns the arguments of the sandbox, up to and with process 1.
pub(crate) fn arguments(state: &PlanState, dir: &RunDir) -> Result<Arguments> {
    let mut arguments = Arguments::new(state);
    arguments.add(["--unshare-net", "--hostname", &state.name]);
    system(&mut arguments)?;
    arguments.bind("--ro-bind", &dir.join(etc::DIR), "/etc")?;
    for directory in etc::make(dir, &state.name, &state.home)? {
        let directory = format!("/etc/{directory}");
        arguments.bind("--ro-bind", Path::new(&directory), &directory)?;
    }
    devices(&mut arguments);
    arguments.bind("--bind", &dir.join(TMP), "/tmp")?;
    arguments.add(["--dir", "/var", "--symlink", "../tmp", "/var/tmp", "--dir", "/home", "--dir", "/root"]);
    arguments.bind("--bind", &dir.join(HOME), &state.home.path)?;
    arguments.add(["--dir", "/run", "--dir", OURS]);
    arguments.bind("--ro-bind", &state.tools.init, INIT)?;
    arguments.bind("--ro-bind", &dir.join(guard::DIR), GUARD_DIR)?;
    arguments.bind("--ro-bind", &dir.join(SSH), SSH_DIR)?;
    for bind in &state.program.binds {
        arguments.bind("--ro-bind", &bind.source, &bind.target)?;
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

fn devices(arguments: &mut Arguments) {
    arguments.add(["--proc", "/proc"]);
    for path in HIDDEN.iter().filter(|path| Path::new(path).exists()) {
        arguments.add(["--ro-bind", "/dev/null", path]);
    }
    arguments.add(["--dev", "/dev", "--remount-ro", "/dev"]);
    arguments.add(["--perms", "1777", "--size", &SHM_BYTES.to_string(), "--tmpfs", "/dev/shm"]);
}
