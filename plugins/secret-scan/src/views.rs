//! All readings of a text: as it is, folded, unescaped and decoded, and decoded again, within bounds.

use memchr::{memchr, memrchr};

use super::{decode, normalise};

/// How often a decoded text is decoded again.
pub const DEPTH: usize = 3;

/// Bytes around a place that changes which are read anew with it: more than any secret but a private key has, whose
/// every line changes.
const CONTEXT: usize = 1024;

/// Bytes looked at in all readings together, as a multiple of the text, and a floor for short ones. Text in which each
/// step changes every stretch has about 24 times its length in all readings; what has more is made to have it.
const BUDGET_FACTOR: usize = 48;
const BUDGET_FLOOR: usize = 64 * 1024;

/// Readings whose memory is kept.
const SPARE: usize = 3;

/// Memory for readings, kept from one text to the next, since the system takes its time to give and take it.
#[derive(Default)]
pub struct Spare(Vec<Vec<u8>>);

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    fn give(&mut self, mut reading: Vec<u8>) {
        if self.0.len() < SPARE {
            reading.clear();
            self.0.push(reading);
        }
    }
}

/// Calls `look` for the text and every reading of it, the nearest first, until `look` says that it has seen enough.
///
/// Returns `false` if there are more readings than can be looked at.
pub fn each(text: &[u8], spare: &mut Spare, look: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    each_within(text.len().saturating_mul(BUDGET_FACTOR).max(BUDGET_FLOOR), text, spare, look)
}

fn each_within(
    mut budget: usize,
    text: &[u8],
    spare: &mut Spare,
    look: &mut dyn FnMut(&[u8]) -> bool,
) -> bool {
    if text.is_empty() || !look(text) {
        return true;
    }
    let mut level = readings(text, spare);
    for depth in 0..DEPTH {
        let mut next = Vec::new();
        for reading in level {
            if budget < reading.len() {
                return false;
            }
            budget -= reading.len();
            if !look(&reading) {
                return true;
            }
            if depth + 1 < DEPTH {
                next.extend(readings(&reading, spare));
            }
            spare.give(reading);
        }
        level = next;
    }
    true
}

/// Applies a step to the neighbourhood of each place that `first` and `last` find; nothing when there is none.
///
/// A text without such a place nearby reads the same before and after, and has been looked at before.
fn near(
    text: &[u8],
    spare: &mut Spare,
    first: impl Fn(&[u8]) -> Option<usize>,
    last: impl Fn(&[u8]) -> Option<usize>,
    step: impl Fn(&[u8], &mut Vec<u8>) -> bool,
) -> Vec<u8> {
    let (mut read, mut from) = (Vec::new(), 0);
    while let Some(at) = first(&text[from..]) {
        let (start, mut place) = ((from + at).saturating_sub(CONTEXT), from + at);
        // Places whose neighbourhoods touch are read together. Only the last of many matters.
        while let Some(further) = last(&text[place + 1..text.len().min(place + 1 + 2 * CONTEXT)]) {
            place += 1 + further;
        }
        if read.capacity() == 0 {
            read = spare.take();
            // No step makes a text longer, but for a few characters.
            read.reserve(text.len() - start);
        }
        if step(&text[start..text.len().min(place + CONTEXT)], &mut read) {
            read.push(b'\n');
        }
        from = place + 1;
    }
    read
}

/// One step of every kind that changes the text.
fn readings(text: &[u8], spare: &mut Spare) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    found.push(near(
        text,
        spare,
        |part| memchr(b'%', part),
        |part| memrchr(b'%', part),
        decode::percent_into,
    ));
    found.push(near(
        text,
        spare,
        |part| memchr(b'\\', part),
        |part| memrchr(b'\\', part),
        decode::escapes_into,
    ));
    found.push(near(
        text,
        spare,
        normalise::first_beyond_ascii,
        normalise::last_beyond_ascii,
        normalise::fold_into,
    ));
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
        let whole = each(text.as_bytes(), &mut Spare::default(), &mut |view| {
            seen |= view.windows(hidden.len()).any(|window| window == hidden.as_bytes());
            !seen
        });
        assert!(whole, "the budget ended");
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
    fn text_with_more_readings_than_the_budget_is_told_of() {
        let text = format!("%41 {} \\n \u{e9}", "YUdsa1pHVnVMV055WldSbGJuUnBZV3c9".repeat(8));
        let whole = |budget| each_within(budget, text.as_bytes(), &mut Spare::default(), &mut |_| true);
        assert!(whole(text.len() * BUDGET_FACTOR));
        assert!(!whole(text.len()));
    }

    #[test]
    fn a_bomb_ends_with_the_budget() {
        let text = "YWFh".repeat(64 * 1024);
        let mut seen = 0;
        each(text.as_bytes(), &mut Spare::default(), &mut |view| {
            seen += view.len();
            true
        });
        assert!(seen <= text.len() * (BUDGET_FACTOR + 1), "{seen}");
    }
}
