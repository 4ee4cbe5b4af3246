//! Which `bwrap` this machine has, and whether it is new enough.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result};

use super::install_hint;
use crate::printable;

/// The first `bwrap` with everything used here: `--size` came last.
const OLDEST: Version = Version(0, 6, 3);

/// The first that can switch nested user namespaces off.
pub(super) const DISABLES_USERNS: Version = Version(0, 8, 0);

/// A version of `bwrap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Asks `bwrap` which one it is, and refuses one that is too old.
///
/// # Errors
/// Fails when it cannot be run or is too old.
pub fn version(bwrap: &Path) -> Result<Version> {
    let output = Command::new(bwrap).arg("--version").stdin(Stdio::null()).output();
    let output = output.failure(FailureKind::Missing, || format!("cannot run `{}`", bwrap.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = parse(&text).ok_or_else(|| {
        let said = printable(text.trim());
        Failure::new(FailureKind::Invalid, format!("`{}` says it is `{said}`", bwrap.display()))
    })?;
    if version < OLDEST {
        let message = format!("bubblewrap {version} is too old; {OLDEST} or later is needed");
        return Err(Failure::new(FailureKind::Missing, message).hint(install_hint("bwrap")));
    }
    Ok(version)
}

fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.trim().strip_prefix("bubblewrap ")?.split('.').map(|number| number.parse().ok());
    Some(Version(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(parse("bubblewrap 0.8.0\n"), Some(Version(0, 8, 0)));
        assert_eq!(parse("bubblewrap 1.2"), Some(Version(1, 2, 0)));
        assert_eq!(parse("something else"), None);
        assert!(Version(0, 11, 0) > DISABLES_USERNS);
    }
}
