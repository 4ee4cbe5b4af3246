//! What a program in a bottle is told of the terminal and the place it is used at: colours, and the time of day.

use std::collections::BTreeMap;
use std::path::Path;

/// The longest value that is passed on.
const MOST_BYTES: usize = 128;

/// Variables by which terminals say what they are and can do.
const OF_TERMINALS: [&str; 3] = ["COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION"];

/// Returns the variables for a program, with or without a terminal.
pub fn variables(has_terminal: bool) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for name in OF_TERMINALS.iter().filter(|_| has_terminal) {
        variables.extend(std::env::var(name).ok().map(|value| ((*name).to_owned(), value)));
    }
    let zone = std::env::var("TZ").ok().or_else(|| zone_of(Path::new("/etc/localtime")));
    variables.extend(zone.map(|zone| ("TZ".to_owned(), zone)));
    variables.retain(|_, value| is_plain(value));
    variables
}

/// Returns the zone's name that the system's link to its description ends in.
/// <https://www.freedesktop.org/software/systemd/man/latest/localtime.html>
fn zone_of(link: &Path) -> Option<String> {
    let target = std::fs::read_link(link).ok()?;
    Some(target.to_str()?.split_once("zoneinfo/")?.1.to_owned())
}

/// Returns `true` for a value that is no path and drives no terminal: the file behind a path is not in the bottle.
fn is_plain(value: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+-_/,.:<>".contains(c);
    !value.is_empty()
        && value.len() <= MOST_BYTES
        && value.chars().all(is_name)
        && !value.starts_with(['/', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_the_end_of_the_systems_link() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("localtime");
        std::os::unix::fs::symlink("../usr/share/zoneinfo/Europe/Berlin", &link).unwrap();
        assert_eq!(zone_of(&link).as_deref(), Some("Europe/Berlin"));
        assert_eq!(zone_of(dir.path()), None);
    }

    #[test]
    fn only_plain_values_are_passed_on() {
        for plain in ["truecolor", "24bit", "Europe/Berlin", "UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "<+03>-3"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in ["", ":/etc/localtime", "/etc/localtime", "a\u{1b}[2J", "a b", &"x".repeat(200)] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
