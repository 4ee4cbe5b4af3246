//! The time of day in the one form the log uses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claude_bottle_egress_policy::date_time;

/// Returns the present time as RFC 3339 in UTC with milliseconds.
pub(crate) fn now() -> String {
    rfc3339(since_epoch())
}

/// Returns the present time in seconds since 1970-01-01 UTC.
pub(crate) fn seconds() -> u64 {
    since_epoch().as_secs()
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn rfc3339(since_epoch: Duration) -> String {
    format!("{}.{:03}Z", date_time(since_epoch.as_secs()), since_epoch.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_milliseconds_always() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(millis)), text);
        }
    }
}
