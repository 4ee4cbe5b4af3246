//! Where a bottle's working directory is, and where in it programs start.
//!
//! It lies where it lies on the host, if that place can be had: a virtual environment's scripts and a CMake cache name it.

use std::path::{Component, Path};

use claude_bottle_plugin_api::Spec;

/// Its name in the home, when it lies there.
const NAME: &str = "workspace";
/// Longest path of the inside: the kernel takes 4096 bytes, and something is to lie below.
const MAX_PATH: usize = 2048;

/// Directories of the inside that are the system's, the bottle's or of one boot alone.
const TAKEN: [&str; 22] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt/claude-bottle",
    "/proc",
    "/run",
    "/sbin",
    "/selinux",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/lib",
    "/var/lock",
    "/var/log",
    "/var/run",
    "/var/tmp",
];

/// Places of the inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The copy of the working directory; an empty directory when there is none.
    pub root: String,
    /// Where programs start: there, or below.
    pub start: String,
    /// The place that was asked for and cannot be had.
    pub refused: Option<String>,
}

impl Place {
    /// Returns the places of a bottle with this home, where the backend can have more places or fewer.
    pub fn of(spec: &Spec, home: &str, can_have: impl Fn(&Path) -> bool) -> Self {
        let workspace = spec.workspace.as_ref();
        let wanted = workspace.and_then(|workspace| workspace.path.as_deref());
        let had = wanted.filter(|path| is_free(path, home) && can_have(Path::new(path)));
        let root = had.map_or_else(|| format!("{home}/{NAME}"), str::to_owned);
        let below = workspace.map(|workspace| workspace.start.as_path());
        let below = below.filter(|below| !below.as_os_str().is_empty());
        let start = below.map_or(root.clone(), |below| format!("{root}/{}", below.display()));
        let refused = wanted.filter(|_| had.is_none()).map(str::to_owned);
        Self { root, start, refused }
    }

    /// Returns for a plan where the directory lies, when a place was asked for.
    pub fn fact(&self, spec: &Spec) -> Option<(&'static str, String)> {
        let wanted = spec.workspace.as_ref()?.path.as_ref()?;
        let said = match &self.refused {
            None if self.root == *wanted => "the same place as on the host".to_owned(),
            _ => format!("{}, since the place on the host cannot be had inside", self.root),
        };
        Some(("lies at", said))
    }
}

/// Returns `true` if nothing else of a bottle is at a path, above it where it matters, or below it.
fn is_free(path: &str, home: &str) -> bool {
    let (path, home) = (Path::new(path), Path::new(home));
    let is_plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)))
        && path.components().count() > 1
        && path.is_absolute();
    let text = path.as_os_str().as_encoded_bytes();
    let is_taken =
        TAKEN.iter().map(Path::new).any(|taken| path.starts_with(taken) || taken.starts_with(path));
    // What begins with a dot in the home is a program's own.
    let is_private = path.strip_prefix(home).is_ok_and(|rest| {
        rest.components().next().is_none_or(|first| first.as_os_str().as_encoded_bytes().starts_with(b"."))
    });
    let is_above = home.starts_with(path);
    let is_printable = text.len() <= MAX_PATH && !text.iter().any(u8::is_ascii_control);
    is_plain && is_printable && !is_taken && !is_private && !is_above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_had_where_nothing_else_is() {
        for path in [
            "/home/ada/project",
            "/work/x",
            "/var/www/site",
            "/opt/x",
            "/home/node/code",
            "/root/x",
            "/tmp/x",
        ] {
            assert!(is_free(path, "/home/node"), "{path}");
        }
        for path in [
            "/",
            "/home",
            "/usr",
            "/usr/src/x",
            "/etc/x",
            "/proc/1",
            "/run/user/1",
            "/nix/store/x",
            "/opt",
            "/var",
            "/var/tmp/x",
            "/home/node",
            "/home/node/.claude",
            "/home/node/.claude/skills/x",
            "relative",
            "/a/../b",
            "/a\nb",
        ] {
            assert!(!is_free(path, "/home/node"), "{path}");
        }
        assert!(!is_free(&format!("/{}", "x/".repeat(2000)), "/home/node"));
    }
}
