//! Starting programs of the host in sandboxes of `bwrap`: a bottle of the bubblewrap backend, and the guard of any backend.
//!
//! Each is a process of the host that dies with it. On its way there it is `bottle-guest outer`, which closes what was inherited, joins
//! control groups, gives root up and adds the call filter. What protects and what does not is in `docs/bubblewrap.md`.

mod arguments;
mod error;
mod process;
mod stage;
mod system;
mod trial;
mod version;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::Result;
use serde::{Deserialize, Serialize};

use crate::companions::is_program;

pub use arguments::Arguments;
pub use error::{BwrapError, install_hint, last_words};
pub use process::{Killed, Process, spawn, sweep};
pub use stage::{Begun, MARK, PATIENCE, await_ready, begin, errors};
pub use system::{SHARED, devices, system};
pub use version::{Version, version};

/// The setting that names a `bwrap`.
pub const SETTING: &str = "BWRAP";

/// The first of the user numbers that no user has: <https://systemd.io/UIDS-GIDS/> leaves 1879048192 to 2147483647 to no one.
const UNUSED_IDS: u32 = 0x7000_0000;

/// How sandboxes are made on this machine, for one bottle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bwrap {
    /// The program `bwrap`, absolute.
    pub program: PathBuf,
    /// The program `bottle-guest`, absolute.
    pub guest: PathBuf,
    /// The user that root becomes; `None` for an ordinary user.
    pub run_as_uid: Option<u32>,
    /// Whether this `bwrap` can switch nested user namespaces off.
    pub can_disable_userns: bool,
}

impl Bwrap {
    /// Finds what is needed for the bottle of a run with this identifier, and which `bwrap` that is. `named` is the one that the user
    /// names by the setting [`SETTING`], `guest` is `bottle-guest`.
    ///
    /// # Errors
    /// Fails when `bwrap` is missing or too old, and when a switch of this system keeps it from working.
    pub fn find(named: Option<&str>, guest: PathBuf, id: &str) -> Result<(Self, Version)> {
        let program = find(named)?;
        let version = version(&program)?;
        if named.is_some() || trial::is_doubtful() {
            trial::run(&guest, &program, version)?;
        }
        let can_disable_userns = version >= version::DISABLES_USERNS;
        Ok((Self { program, guest, run_as_uid: run_as_uid(id), can_disable_userns }, version))
    }
}

/// Finds `bwrap` as [`Bwrap::find`] does, makes a sandbox that is left at once, and returns the program and its version.
///
/// # Errors
/// Fails with what is missing or what the system refuses, and with what helps.
pub fn try_out(named: Option<&str>, guest: &Path) -> Result<(PathBuf, Version)> {
    let program = find(named)?;
    let version = version(&program)?;
    trial::run(guest, &program, version)?;
    Ok((program, version))
}

/// Finds `bwrap`: the one that the user names, or the one on the search path.
fn find(named: Option<&str>) -> Result<PathBuf> {
    let found = match named {
        Some(path) => Some(PathBuf::from(path)).filter(|path| is_program(path)),
        None => find_on_path("bwrap"),
    };
    found.ok_or_else(|| BwrapError::FindProgram { program: "bwrap".to_owned() }.into())
}

/// Finds a program on the host's search path.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    find_in(name, &std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")))
}

/// Finds a program in a list of directories; relative ones do not count.
pub fn find_in(name: &str, path: &OsString) -> Option<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(name)).find(|path| is_program(path))
}

/// Returns the user that root becomes for this bottle: one of its own, so that bottles of root are strangers.
fn run_as_uid(id: &str) -> Option<u32> {
    rustix::process::geteuid().is_root().then(|| {
        // FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>; any even spread does.
        let hash =
            id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        UNUSED_IDS + (hash & 0x0fff_ffff)
    })
}

/// Where the guest program is in every sandbox.
pub const GUEST: &str = "/run/claude-bottle/bottle-guest";

/// Returns the path as a word of a command line.
fn word(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| error::not_utf8(path))
}
