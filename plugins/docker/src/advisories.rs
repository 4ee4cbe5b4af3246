//! Faults of known engine versions that matter to a bottle. A version says what was fixed upstream; a distribution may have
//! fixed an older one, so these are warnings and never refusals.

/// A fault, and the first version of each line of releases that is free of it.
struct Advisory {
    what: &'static str,
    fixed: &'static [Version],
}

/// Major, minor, patch.
type Version = (u32, u32, u32);

const ADVISORIES: &[Advisory] = &[
    // <https://github.com/moby/moby/security/advisories/GHSA-mq39-4gv4-mvpx>
    Advisory {
        what: "its resolver forwards names out of internal networks (CVE-2024-29018); a bottle's resolver has nothing to \
               forward to, other containers' may",
        fixed: &[(23, 0, 11), (25, 0, 5), (26, 0, 0)],
    },
    // <https://github.com/opencontainers/runc/security/advisories/GHSA-xr7r-f8xq-vfvv>; the fixed runc came with these.
    Advisory {
        what: "the runc of its time let a container out through a leaked descriptor (CVE-2024-21626), unless runc was \
               updated by itself",
        fixed: &[(24, 0, 9), (25, 0, 2)],
    },
];

/// Returns a warning for each known fault of an engine's version; an unreadable version is one too.
pub(crate) fn warnings(engine: &str) -> Vec<String> {
    let Some(version) = parse(engine) else {
        return vec![format!(
            "the engine's version `{}` cannot be read, so its known faults are not known",
            engine.escape_debug()
        )];
    };
    let affected = ADVISORIES.iter().filter(|advisory| is_affected(version, advisory.fixed));
    affected.map(|advisory| format!("engine {engine}: {}; update the engine", advisory.what)).collect()
}

/// A version is free of a fault when it is at least the fix of its own line, or newer than every line.
fn is_affected(version: Version, fixed: &[Version]) -> bool {
    let own_line = fixed.iter().find(|fix| (fix.0, fix.1) == (version.0, version.1));
    match own_line {
        Some(fix) => version < *fix,
        None => fixed.iter().max().is_some_and(|newest| version < *newest),
    }
}

/// Reads `20.10.24+dfsg1` and the like.
fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.split(['.', '+', '-', '~']).map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_releases_has_its_own_fix() {
        let count = |version: &str| warnings(version).len();
        assert_eq!(count("20.10.24+dfsg1"), 2);
        assert_eq!(count("23.0.11"), 1, "the leak is mended, runc is not");
        assert_eq!(count("24.0.9"), 1, "runc is mended, the leak is not");
        assert_eq!(count("25.0.2"), 1);
        assert_eq!(count("25.0.5"), 0);
        assert_eq!(count("26.0.0"), 0);
        assert_eq!(count("28.2.2"), 0);
        assert_eq!(count("29.0.0-rc.1"), 0);
    }

    #[test]
    fn a_version_that_cannot_be_read_is_said() {
        for text in ["", "dev", "20.10", "x.y.z"] {
            assert!(warnings(text)[0].contains("cannot be read"), "{text}");
        }
    }
}
