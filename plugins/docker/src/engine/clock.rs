//! The difference between this machine's clock and that of an engine's machine. Events are asked for by the engine's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// By how many nanoseconds a clock is ahead of this machine's: the least and the most that it may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    least: i64,
    most: i64,
}

impl Ahead {
    /// Compares a time that the engine reported between two moments of this machine. One that cannot be read counts as no difference.
    pub(super) fn of(said: Option<&str>, before: SystemTime, after: SystemTime) -> Self {
        let nanos = |time: SystemTime| {
            let age = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)
        };
        match said.and_then(read) {
            Some(there) => {
                Self { least: there.saturating_sub(nanos(after)), most: there.saturating_sub(nanos(before)) }
            }
            None => Self::default(),
        }
    }

    /// Returns the earliest that it may be there at a moment of this machine's.
    pub(super) fn earliest(self, time: SystemTime) -> SystemTime {
        shifted(time, self.least)
    }

    /// Returns the latest that it may be there.
    pub(super) fn latest(self, time: SystemTime) -> SystemTime {
        shifted(time, self.most)
    }
}

fn shifted(time: SystemTime, nanos: i64) -> SystemTime {
    let by = Duration::from_nanos(nanos.unsigned_abs());
    let shifted = if nanos < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    shifted.unwrap_or(time)
}

/// Reads a time as in RFC 3339, as nanoseconds since 1970; days after
/// <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
fn read(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let rest = text.get(19..)?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, zone) =
        if digits == 0 { ("", rest) } else { (rest.get(1..=digits)?, rest.get(digits + 1..)?) };
    let nanos = format!("{fraction:0<9}").get(..9)?.parse::<i64>().ok()?;
    let east = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign @ ("+" | "-"), zone) => {
            let (hours, minutes) = zone.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
        _ => return None,
    };
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - east;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_any_zone() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000_000)),
            ("2024-02-29T01:30:00.5+01:30", Some(1_709_164_800_500_000_000)),
            ("2024-02-28T20:00:00.000000007-04:00", Some(1_709_164_800_000_000_007)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400_000_000_000)),
            ("2024-02-29T00:00:00", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(read(text), nanos, "{text}");
        }
    }

    #[test]
    fn a_clock_is_known_to_within_the_time_of_the_question() {
        let (before, after) = (UNIX_EPOCH + Duration::from_secs(100), UNIX_EPOCH + Duration::from_secs(102));
        let ahead = Ahead::of(Some("1970-01-01T00:10:01Z"), before, after);
        let asked = UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(ahead.earliest(asked), UNIX_EPOCH + Duration::from_secs(1499));
        assert_eq!(ahead.latest(asked), UNIX_EPOCH + Duration::from_secs(1501));
        let behind = Ahead::of(Some("1970-01-01T00:00:01Z"), before, after);
        assert_eq!(behind.latest(asked), UNIX_EPOCH + Duration::from_secs(901));
        assert_eq!(Ahead::of(Some("soon"), before, after).latest(asked), asked);
    }
}
