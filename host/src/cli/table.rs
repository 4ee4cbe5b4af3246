//! What lists of bottles have in common.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns a path as a shell would take it, with `~` for the home directory.
pub(super) fn below_home(path: &Path, home: &Path) -> String {
    match path.strip_prefix(home) {
        Ok(below) if below.as_os_str().is_empty() => "~".to_owned(),
        Ok(below) => format!("~/{}", below.display()),
        Err(_) => path.display().to_string(),
    }
}

/// Says how old something is, in its two largest units: `3h 12m`.
pub(super) fn age(created_unix: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    lasting(now.saturating_sub(Duration::from_secs(created_unix)).as_secs())
}

/// Says how long something lasts, in its two largest units.
pub(super) fn lasting(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let parts: Vec<String> = units
        .iter()
        .scan(seconds, |rest, (size, unit)| {
            let count = *rest / size;
            *rest %= size;
            Some((count, unit))
        })
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{below_home, lasting};

    #[test]
    fn a_path_in_the_home_directory_is_short() {
        let home = Path::new("/home/me");
        for (path, shown) in
            [("/home/me/work/app", "~/work/app"), ("/home/me", "~"), ("/home/meg/work", "/home/meg/work")]
        {
            assert_eq!(below_home(Path::new(path), home), shown);
        }
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3_661, "1h 1m"), (86_400, "1d"), (90_061, "1d 1h")]
        {
            assert_eq!(lasting(seconds), text);
        }
    }
}
