//! probe: whether bottles can be made here and, if not, what mends it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use claude_bottle_kit::printable;
use claude_bottle_plugin_api::{Context, ErrorExt, Failure, FailureKind, Probe, Result};

use crate::error::install_hint;
use crate::tools::{Tools, find_bwrap};
use crate::{etc, trial};

/// The first `bwrap` with everything used here: `--size` came last.
const OLDEST: Version = Version(0, 6, 3);

/// The first that can switch nested user namespaces off.
pub(crate) const DISABLES_USERNS: Version = Version(0, 8, 0);

/// A version of `bwrap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Looks and tries.
pub(crate) fn probe(context: &Context) -> Probe {
    let bwrap = match find_bwrap(context) {
        Ok(bwrap) => bwrap,
        Err(failure) => return unusable(&failure),
    };
    let version = match version(&bwrap) {
        Ok(version) => version,
        Err(failure) => return unusable(&failure),
    };
    match claude_bottle_kit::companions::guest_program(context.setting("GUEST"), None)
        .and_then(|init| trial::run(&init, &bwrap, version))
    {
        Err(failure) => unusable(&failure),
        Ok(()) => {
            let probe = Probe::usable()
                .fact("bubblewrap", version.to_string())
                .fact("program", bwrap.display().to_string());
            match etc::changed() {
                changed if changed.is_empty() => probe,
                changed => probe.fact("left out of /etc, changed here", listed(&changed)),
            }
        }
    }
}

/// Names a few of many.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| name.escape_default().to_string()).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn unusable(failure: &Failure) -> Probe {
    Probe::unusable(failure.to_string(), failure.hints.first().cloned().unwrap_or_default())
}

/// Asks `bwrap` which one it is, and refuses one that is too old.
pub(crate) fn version(bwrap: &Path) -> Result<Version> {
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

/// Tries it before the launch does, where a switch of the system makes a refusal likely.
pub(crate) fn check_switches(context: &Context, tools: &Tools, version: Version) -> Result<()> {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    let is_doubtful = is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
        || is("/proc/sys/kernel/unprivileged_userns_clone", "0")
        || is("/proc/sys/user/max_user_namespaces", "0")
        || context.setting("BWRAP").is_some();
    if is_doubtful { trial::run(&tools.init, &tools.bwrap, version) } else { Ok(()) }
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
