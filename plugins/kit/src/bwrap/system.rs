//! What sandboxes see of the host's system: its programs and libraries, and devices of their own.

use std::fs;
use std::path::Path;

use claude_bottle_plugin_api::Result;

use super::Arguments;
use crate::paths::PathExt;

/// What of a fresh `/proc` is hidden: key rings are the whole machine's.
const HIDDEN: [&str; 1] = ["/proc/keys"];

/// What every sandbox sees of the host, as it is there.
pub const SHARED: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/nix/store"];

/// Where further libraries are on some machines.
const LIBRARIES: [&str; 3] = ["/lib32", "/lib64", "/libx32"];

/// Shows the host's programs and libraries. Where `/bin` is a link to `/usr/bin`, it is one inside too.
///
/// # Errors
/// Fails for a link that cannot be read.
pub fn system(arguments: &mut Arguments) -> Result<()> {
    for path in SHARED.iter().chain(&LIBRARIES).map(Path::new) {
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
pub fn devices(arguments: &mut Arguments, shm_bytes: u64) {
    arguments.add(["--proc", "/proc"]);
    for path in HIDDEN.iter().filter(|path| Path::new(path).exists()) {
        arguments.add(["--ro-bind", "/dev/null", path]);
    }
    arguments.add(["--dev", "/dev", "--remount-ro", "/dev"]);
    arguments.add(["--perms", "1777", "--size", &shm_bytes.to_string(), "--tmpfs", "/dev/shm"]);
}
