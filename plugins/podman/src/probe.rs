//! probe: whether bottles can be made here and, if not, what fixes it.

use claude_bottle_kit::{bwrap, companions};
use claude_bottle_plugin_api::{Context, Failure, Probe, Result};

use crate::engine::{Facts, Podman};
use crate::error::PodmanError;

/// The first version with everything used here: `keep-id` takes a number since.
/// <https://github.com/containers/podman/blob/main/RELEASE_NOTES.md#430>
const OLDEST: (u32, u32) = (4, 3);

/// Looks for everything, and starts a sandbox.
pub(crate) fn probe(context: &Context, podman: Result<&Podman>) -> Probe {
    let tried = || {
        let facts = podman?.facts()?;
        supported(&facts)?;
        let guest = companions::guest_program(context.setting("GUEST"), None)?;
        // The guard's sandbox.
        bwrap::try_out(context.setting(bwrap::SETTING), &guest)?;
        Ok::<_, Failure>(facts)
    };
    match tried() {
        Err(failure) => {
            Probe::unusable(failure.to_string(), failure.hints.first().cloned().unwrap_or_default())
        }
        Ok(facts) => Probe::usable()
            .fact("podman", facts.version.clone())
            .fact("user", whose(&facts))
            .fact("runtime", facts.runtime),
    }
}

/// Returns whose Podman it is, for a person.
pub(crate) fn whose(facts: &Facts) -> &'static str {
    if facts.rootless { "an ordinary user (rootless)" } else { "root" }
}

/// Refuses a Podman that lacks something every bottle needs.
pub(crate) fn supported(facts: &Facts) -> Result<(), PodmanError> {
    let mut numbers = facts.version.split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        return Err(PodmanError::TooOld { version: facts.version.clone() });
    }
    match facts.call_filter {
        true => Ok(()),
        false => Err(PodmanError::WithoutFilter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_podman_that_is_too_old_or_filters_no_calls_is_refused() {
        let check = |version: &str, call_filter: bool, expected: bool| {
            let facts = Facts { version: version.to_owned(), call_filter, ..Facts::default() };
            assert_eq!(supported(&facts).is_ok(), expected, "{version} {call_filter}");
        };
        check("4.3.1", true, true);
        check("5.4.2", true, true);
        check("4.2.0", true, false);
        check("unknown", true, false);
        check("4.3.1", false, false);
    }
}
