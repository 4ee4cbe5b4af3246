//! The programs of claude-bottle that backends run, and where they are on the host.

use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Failure, FailureKind, Result, Spec};
use rustix::fs::{Access, access};

/// The name of the program for the inside of a bottle.
const GUEST: &str = "bottle-guest";

/// Finds `bottle-guest`: the user's setting `CLAUDE_BOTTLE_GUEST`, then what the host says, then next to the guard (a host of
/// contract 1.0 names that alone), then where it is installed or built with the host.
///
/// # Errors
/// Fails when it is nowhere, or what a setting names is not a program.
pub fn guest_program(setting: Option<&str>, spec: Option<&Spec>) -> Result<PathBuf> {
    let named = setting.map(PathBuf::from).or_else(|| spec?.guest.clone());
    if let Some(path) = named {
        return Some(path).filter(|path| is_program(path)).ok_or_else(|| missing(GUEST));
    }
    let guard = spec.and_then(|spec| spec.bottle.egress.guard.as_ref());
    let beside_guard = guard.map(|guard| guard.with_file_name(GUEST));
    let with_host = std::env::current_exe().ok().and_then(|exe| {
        let bin = exe.parent()?;
        Some([bin.join("../libexec/claude-bottle").join(GUEST), bin.join(GUEST)])
    });
    let mut places = beside_guard.into_iter().chain(with_host.into_iter().flatten());
    places.find(|path| is_program(path)).ok_or_else(|| missing(GUEST))
}

/// Returns `true` if a path is a file that this user may run.
pub fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// Returns the failure of a program of claude-bottle's own that is not there.
pub fn missing(name: &str) -> Failure {
    Failure::new(FailureKind::Missing, format!("claude-bottle's program `{name}` is missing"))
        .hint("install claude-bottle again: it comes with it, next to `claude-bottle` or in ../libexec/claude-bottle")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use claude_bottle_plugin_api::{AgentSpec, Owner};

    use super::*;

    #[test]
    fn a_setting_comes_first_then_the_host_then_the_guards_directory() {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            path
        };
        let (set, said, beside) = (program("set"), program("said"), program(GUEST));
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.bottle.egress.guard = Some(dir.path().join("egress-guard"));
        assert_eq!(guest_program(None, Some(&spec)).unwrap(), beside);
        spec.guest = Some(said.clone());
        assert_eq!(guest_program(None, Some(&spec)).unwrap(), said);
        assert_eq!(guest_program(set.to_str(), Some(&spec)).unwrap(), set);
        let failure = guest_program(Some("/nowhere"), Some(&spec)).unwrap_err();
        assert!(failure.kind == FailureKind::Missing && failure.message.contains(GUEST), "{failure}");
    }
}
