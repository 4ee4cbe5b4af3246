//! What lists of bottles have in common.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Says how old something is, in its two largest units: `3h 12m`.
pub(super) fn age(created_unix: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    describe(now.saturating_sub(Duration::from_secs(created_unix)).as_secs())
}

fn describe(seconds: u64) -> String {
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
    use super::describe;

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3_661, "1h 1m"), (86_400, "1d"), (90_061, "1d 1h")]
        {
            assert_eq!(describe(seconds), text);
        }
    }
}
