//! The programs of the host this backend runs, and where they are.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) use claude_bottle_kit::companions::is_program;
use claude_bottle_kit::companions::{self, missing};
use claude_bottle_plugin_api::{Context, Result, Spec};
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
        if !is_program(&guard) {
            return Err(missing("egress-guard"));
        }
        let init = companions::guest_program(context.setting("GUEST"), Some(spec))?;
        Ok(Self { bwrap: find_bwrap(context)?, guard, init })
    }
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
