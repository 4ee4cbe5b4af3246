//! Lengths of time as users write them.

use crate::error::CliError;

use super::usage;

/// Units and their seconds.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

/// The longest that is taken; what is to last longer belongs into the manifest.
const MOST: u64 = 30 * 86_400;

/// Reads a length of time, in seconds: `90s`, `30m`, `2h`, `1d`.
///
/// # Errors
/// Fails on what is not one.
pub(super) fn parse(text: &str) -> Result<u64, CliError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let seconds = unit
        .zip(number.parse::<u64>().ok())
        .and_then(|((_, seconds), number)| number.checked_mul(*seconds))
        .filter(|seconds| (1..=MOST).contains(seconds));
    seconds.ok_or_else(|| {
        let message = format!("`{}` is not a valid length of time", text.escape_debug());
        usage(message).hint("write it as 30m or 2h; the longest is 30d")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("2h", 7200), ("30d", MOST)] {
            assert_eq!(parse(text).unwrap(), seconds, "{text}");
        }
        for wrong in ["", "2", "h", "0h", "31d", "2 h", "-1h", "1.5h", "2H", "99999999999999999999d", "1h30m"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
