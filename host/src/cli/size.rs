//! Sizes as users read and write them.

use crate::error::{CliError, CliResult, Exit};
use crate::results::store::Saved;

/// Units, each 1,024 of the one before.
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Writes a number of bytes in the largest unit that fits: `312 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    let shift = 10 * unit;
    let (whole, rest) = (bytes >> shift, bytes & ((1 << shift) - 1));
    match (whole, unit) {
        (_, 0) => format!("{bytes} B"),
        (0..10, _) => format!("{whole}.{} {}", (rest * 10) >> shift, UNITS[unit]),
        _ => format!("{whole} {}", UNITS[unit]),
    }
}

/// Writes the size of a saved result.
pub(super) fn size_of(saved: &Saved) -> String {
    size(saved.bytes())
}

/// Reads such a number: `4GiB`, `500M`, or bytes.
///
/// # Errors
/// Fails on what is not one.
pub(super) fn parse(text: &str) -> CliResult<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().trim_end_matches(['B', 'b']).trim_end_matches('i').to_ascii_uppercase();
    let power = ["", "K", "M", "G", "T"].iter().position(|known| *known == unit);
    let bytes = power
        .zip(number.parse::<u64>().ok())
        .and_then(|(power, number)| number.checked_mul(1 << (10 * power)));
    bytes.ok_or_else(|| {
        CliError::new(Exit::Usage, format!("`{}` is not a size", text.escape_debug()))
            .hint("write it as 4GiB")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_and_read() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (327_155_712, "312 MiB"), (5 << 30, "5.0 GiB")]
        {
            assert_eq!(size(bytes), text);
        }
        for (text, bytes) in [("12", 12), ("4GiB", 4 << 30), ("4 GB", 4 << 30), ("1k", 1024), ("2T", 2 << 40)]
        {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1X", "99999999T"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
