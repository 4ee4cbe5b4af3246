//! Compares two texts line by line, within bounds that no input exceeds.

use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// The largest side that is compared line by line, in bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// The same in lines.
pub const MOST_LINES: usize = 20_000;
/// How long one comparison may look for a small answer.
const EACH: Duration = Duration::from_millis(300);
/// How long all of them may together.
const TOGETHER: Duration = Duration::from_secs(8);

/// The time that is left for comparisons.
#[derive(Debug)]
pub struct Budget(Duration);

impl Default for Budget {
    fn default() -> Self {
        Self(TOGETHER)
    }
}

/// What a comparison said.
#[derive(Debug)]
pub enum Compared<'a> {
    /// One side is not text.
    Binary,
    /// Too large, or too late, to compare line by line.
    Rewritten,
    /// Line by line.
    Lines(Lines<'a>),
}

/// Two texts and where they differ.
#[derive(Debug)]
pub struct Lines<'a> {
    /// The lines of the old text, with their ends.
    pub old: Vec<&'a [u8]>,
    /// The lines of the new text, with their ends.
    pub new: Vec<&'a [u8]>,
    ops: Vec<DiffOp>,
}

/// Returns `true` if bytes are not text.
pub fn is_binary(bytes: &[u8]) -> bool {
    bytes.contains(&0)
}

/// Splits a text into lines that keep their ends.
pub fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Compares two texts.
pub fn compare<'a>(old: &'a [u8], new: &'a [u8], budget: &mut Budget) -> Compared<'a> {
    if is_binary(old) || is_binary(new) {
        return Compared::Binary;
    }
    if old.len().max(new.len()) > MOST_BYTES || budget.0.is_zero() {
        return Compared::Rewritten;
    }
    let (old, new) = (lines(old), lines(new));
    if old.len().max(new.len()) > MOST_LINES {
        return Compared::Rewritten;
    }
    let begun = Instant::now();
    let deadline = begun.checked_add(EACH.min(budget.0));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    budget.0 = budget.0.saturating_sub(begun.elapsed());
    Compared::Lines(Lines { old, new, ops })
}

impl Lines<'_> {
    /// Returns how many lines were added, and how many removed.
    pub fn count(&self) -> (u64, u64) {
        let changed = self.ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
        changed.fold((0, 0), |(added, removed), op| {
            (added + op.new_range().len() as u64, removed + op.old_range().len() as u64)
        })
    }

    /// Returns the changes with `around` lines before and behind, those that touch in one group.
    pub fn hunks(&self, around: usize) -> Vec<Vec<DiffOp>> {
        similar::group_diff_ops(self.ops.clone(), around)
    }

    /// Returns each added line, with its number from 1.
    pub fn added(&self) -> impl Iterator<Item = (usize, &[u8])> + Clone {
        let ranges = self.ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. })).map(DiffOp::new_range);
        ranges.flatten().map(|index| (index + 1, self.new[index]))
    }

    /// Returns each removed line.
    pub fn removed(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let ranges = self.ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. })).map(DiffOp::old_range);
        ranges.flatten().map(|index| self.old[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(old: &str, new: &str) -> (u64, u64) {
        match compare(old.as_bytes(), new.as_bytes(), &mut Budget::default()) {
            Compared::Lines(lines) => lines.count(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_counted() {
        assert_eq!(count("a\nb\nc\n", "a\nx\ny\nc\n"), (2, 1));
        assert_eq!(count("", "a\nb"), (2, 0));
        assert_eq!(count("a\r\n", "a\n"), (1, 1));
        let Compared::Lines(lines) = compare(b"a\nb\n", b"a\nc\n", &mut Budget::default()) else { panic!() };
        assert_eq!(lines.added().collect::<Vec<_>>(), [(2, &b"c\n"[..])]);
        assert_eq!(lines.removed().collect::<Vec<_>>(), [b"b\n"]);
    }

    #[test]
    fn hostile_input_does_not_stall_a_comparison() {
        let text = |mut seed: u64| {
            let mut line = || {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                format!("{}\n", seed % 1_000)
            };
            (0..19_000).map(|_| line()).collect::<String>()
        };
        let (old, new) = (text(0x5eed_0001), text(0x5eed_0002));
        let mut budget = Budget::default();
        let Compared::Lines(lines) = compare(old.as_bytes(), new.as_bytes(), &mut budget) else { panic!() };
        let (added, removed) = lines.count();
        assert_eq!(added + 19_000, removed + 19_000);
        assert!(budget.0 > TOGETHER - 20 * EACH, "{budget:?}");
        let one_line = "x".repeat(MOST_BYTES);
        assert_eq!(count(&one_line, &one_line[1..]), (1, 1));
    }

    #[test]
    fn what_is_too_large_or_too_late_is_said_to_be_rewritten() {
        let large = vec![b'x'; MOST_BYTES + 1];
        let many = b"\n".repeat(MOST_LINES + 1);
        for side in [&large[..], &many] {
            assert!(matches!(compare(side, b"a\n", &mut Budget::default()), Compared::Rewritten));
        }
        assert!(matches!(compare(b"a", b"b", &mut Budget(Duration::ZERO)), Compared::Rewritten));
        assert!(matches!(compare(b"a\0", b"b", &mut Budget::default()), Compared::Binary));
    }
}
