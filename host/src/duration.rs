//! Lengths of time as users write them: `90s`, `30m`, `2h`, `1d`.

/// Units and their seconds.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

/// Reads a length of time, in seconds; `None` for what is not one, and for one of nothing or of more than `most`.
pub(crate) fn seconds(text: &str, most: u64) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*size).filter(|seconds| (1..=most).contains(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_a_number_and_a_unit() {
        const MOST: u64 = 30 * 86_400;
        for (text, length) in [("90s", 90), ("30m", 1800), ("2h", 7200), ("30d", MOST)] {
            assert_eq!(seconds(text, MOST), Some(length), "{text}");
        }
        for wrong in ["", "2", "h", "0h", "31d", "2 h", "-1h", "1.5h", "2H", "99999999999999999999d", "1h30m"]
        {
            assert_eq!(seconds(wrong, MOST), None, "{wrong}");
        }
    }
}
