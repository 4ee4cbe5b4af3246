//! The programs of the host this backend runs, and where they are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Context, Failure, FailureKind, Result, Spec};
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use crate::error::BubblewrapError;

/// Programs of the host, absolute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tools {
    pub(crate) bwrap: PathBuf,
    pub(crate) guard: PathBuf,
    pub(crate) init: PathBuf,
}

impl Tools {
    /// Finds them all.
    pub(crate) fn find(context: &Context, spec: &Spec) -> Result<Self> {
        let guard = spec.bottle.egress.guard.clone().ok_or_else(|| missing("egress-guard"))?;
        let init = match context.setting("BOTTLE_INIT") {
            Some(path) => PathBuf::from(path),
            None => beside(&guard),
        };
        for (name, path) in [("egress-guard", &guard), ("bottle-init", &init)] {
            if !is_program(path) {
                return Err(missing(name));
            }
        }
        Ok(Self { bwrap: find_bwrap(context)?, guard, init })
    }
}

/// Finds `bottle-init`: it comes with the guard, into the same directory; in a build tree it is beside the host.
fn beside(guard: &Path) -> PathBuf {
    let installed = guard.with_file_name("bottle-init");
    let built = std::env::current_exe().map(|exe| exe.with_file_name("bottle-init"));
    built.ok().filter(|built| !is_program(&installed) && is_program(built)).unwrap_or(installed)
}

/// Finds `bwrap`: the setting `BWRAP`, then the search path.
pub(crate) fn find_bwrap(context: &Context) -> Result<PathBuf> {
    let found = match context.setting("BWRAP") {
        Some(path) => Some(PathBuf::from(path)).filter(|path| is_program(path)),
        None => find_on_path("bwrap"),
    };
    found.ok_or_else(|| BubblewrapError::FindProgram { program: "bwrap".to_owned() }.into())
}

/// Finds a program on the host's search path.
pub(crate) fn find_on_path(name: &str) -> Option<PathBuf> {
    find_in(name, &std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")))
}

/// Finds a program in a list of directories; relative ones do not count.
pub(crate) fn find_in(name: &str, path: &OsString) -> Option<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(name)).find(|path| is_program(path))
}

pub(crate) fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

fn missing(name: &str) -> Failure {
    Failure::new(FailureKind::Missing, format!("claude-bottle's program `{name}` is missing"))
        .hint("install claude-bottle again: it comes with it, beside `claude-bottle` or in ../libexec/claude-bottle")
}
