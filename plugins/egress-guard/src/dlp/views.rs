//! All readings of a text: as it is, folded, unescaped and decoded, and decoded again, within bounds.

use memchr::memchr_iter;

use super::{decode, normalise};

/// How often a decoded text is decoded again.
pub(super) const DEPTH: usize = 3;

/// Bytes around a place that changes which are read anew with it: more than any secret but a private key has, whose
/// every line changes.
const CONTEXT: usize = 1024;

/// Bytes that are asked at once whether they are ASCII.
const BLOCK: usize = 64;

/// Bytes looked at in all readings together, as a multiple of the text, and a floor for short ones.
const BUDGET_FACTOR: usize = 8;
const BUDGET_FLOOR: usize = 64 * 1024;

/// Calls `look` for the text and every reading of it, the nearest first, until `look` says that it has seen enough.
pub fn each(text: &[u8], look: &mut dyn FnMut(&[u8]) -> bool) {
    let mut budget = text.len().saturating_mul(BUDGET_FACTOR).max(BUDGET_FLOOR);
    if text.is_empty() || !look(text) {
        return;
    }
    let mut level = readings(text);
    for depth in 0..DEPTH {
        let mut next = Vec::new();
        for reading in &level {
            if budget < reading.len() {
                return;
            }
            budget -= reading.len();
            if !look(reading) {
                return;
            }
            if depth + 1 < DEPTH {
                next.extend(readings(reading));
            }
        }
        level = next;
    }
}

/// Applies a step to the neighbourhood of each place, given in order; nothing when there is none.
///
/// A text without such a place nearby reads the same before and after, and has been looked at before.
fn near(
    text: &[u8],
    places: impl Iterator<Item = usize>,
    step: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    for place in places {
        let (start, end) = (place.saturating_sub(CONTEXT), text.len().min(place + CONTEXT));
        match stretches.last_mut() {
            Some(last) if last.1 >= start => last.1 = end,
            _ => stretches.push((start, end)),
        }
    }
    let mut read = Vec::new();
    for (start, end) in stretches {
        if let Some(stretch) = step(&text[start..end]) {
            read.extend_from_slice(if read.is_empty() { b"" } else { b"\n" });
            read.extend_from_slice(&stretch);
        }
    }
    (!read.is_empty()).then_some(read)
}

/// Returns places near which all bytes beyond ASCII lie, so that none is further away than [`BLOCK`].
fn beyond_ascii(text: &[u8]) -> impl Iterator<Item = usize> {
    let blocks = text.chunks(BLOCK).enumerate().filter(|(_, block)| !block.is_ascii());
    blocks.flat_map(|(index, block)| [index * BLOCK, index * BLOCK + block.len()])
}

/// One step of every kind that changes the text.
fn readings(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    found.extend(near(text, memchr_iter(b'%', text), decode::percent));
    found.extend(near(text, memchr_iter(b'\\', text), decode::escapes));
    found.extend(near(text, beyond_ascii(text), normalise::fold));
    let runs = decode::Runs::new(text);
    found.extend((0..4).map(|shift| runs.base64(shift)));
    found.push(runs.hex());
    found.push(runs.base32());
    found.retain(|reading| !reading.is_empty() && reading != text);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaches(text: &str, hidden: &str) -> bool {
        let mut seen = false;
        each(text.as_bytes(), &mut |view| {
            seen |= view.windows(hidden.len()).any(|window| window == hidden.as_bytes());
            !seen
        });
        seen
    }

    #[test]
    fn reaches_nested_readings() {
        assert!(reaches("hidden-credential", "hidden-credential"));
        assert!(reaches("aGlkZGVuLWNyZWRlbnRpYWw=", "hidden-credential"));
        assert!(reaches("YUdsa1pHVnVMV055WldSbGJuUnBZV3c9", "hidden-credential"));
        assert!(reaches(
            "q=%61%47%6c%6b%5a%47%56%75%4c%57%4e%79%5a%57%52%6c%62%6e%52%70%59%57%77%3d",
            "hidden-credential"
        ));
        assert!(reaches(
            r"{\u0022a\u0022:\u002268696464656e2d63726564656e7469616c\u0022}",
            "hidden-credential"
        ));
        assert!(!reaches("nothing here", "hidden-credential"));
    }

    #[test]
    fn a_bomb_ends_with_the_budget() {
        let text = "YWFh".repeat(64 * 1024);
        let mut seen = 0;
        each(text.as_bytes(), &mut |view| {
            seen += view.len();
            true
        });
        assert!(seen <= text.len() * (BUDGET_FACTOR + 1), "{seen}");
    }
}
