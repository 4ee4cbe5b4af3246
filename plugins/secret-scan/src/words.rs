//! Many words looked for at once, in upper or lower case, in text that hardly ever has one of them.
//!
//! Four neighbouring bytes of each word are noted. Where a text has four such bytes the word is compared; everywhere
//! else one look into a table of 8 KiB is all. An automaton is exact at once, and takes three times as long.

/// Neighbouring bytes that are noted of a word.
const GRAM: usize = 4;

/// Bits of the table, as a power of two.
const TABLE_BITS: u32 = 16;

/// Letters that text is full of, so that four bytes without them are met less often.
const COMMON: &[u8] = b"etaoinsrhl";

/// A set of words, asked at every `STRIDE`th byte of a text, for which each has to be `STRIDE + 3` bytes long.
pub(super) struct Words<const STRIDE: usize> {
    words: Vec<Vec<u8>>,
    table: Box<[u64; 1 << (TABLE_BITS - 6)]>,
    /// In the order of their bytes.
    grams: Vec<Gram>,
}

struct Gram {
    bytes: u32,
    word: usize,
    /// Where in the word.
    offset: usize,
}

/// One word found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Its number.
    pub(super) word: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<const STRIDE: usize> Words<STRIDE> {
    /// Bytes that a word needs.
    pub(super) const SHORTEST: usize = STRIDE + GRAM - 1;

    /// Returns the set; nothing when a word is too short for it.
    pub(super) fn new(words: Vec<Vec<u8>>) -> Option<Self> {
        let mut grams = Vec::new();
        for (word, bytes) in words.iter().enumerate() {
            let first = rarest(bytes, Self::SHORTEST)?;
            let noted = bytes.windows(GRAM).enumerate().skip(first).take(STRIDE);
            grams.extend(noted.map(|(offset, four)| Gram { bytes: folded(four), word, offset }));
        }
        grams.sort_by_key(|gram| gram.bytes);
        let mut table = Box::new([0; 1 << (TABLE_BITS - 6)]);
        for gram in &grams {
            let bit = hash(gram.bytes);
            table[bit >> 6] |= 1 << (bit & 63);
        }
        Some(Self { words, table, grams })
    }

    /// Calls `found` for each word in the text, until it says that it has seen enough.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(Hit) -> bool) {
        if self.words.is_empty() {
            return;
        }
        for (index, four) in text.windows(GRAM).step_by(STRIDE).enumerate() {
            if self.may_have(four) && !self.compare(text, index * STRIDE, folded(four), &mut found) {
                return;
            }
        }
    }

    /// Tells whether these bytes may be some that were noted.
    fn may_have(&self, four: &[u8]) -> bool {
        let bit = hash(folded(four));
        self.table[bit >> 6] >> (bit & 63) & 1 != 0
    }

    /// Compares the words that have these four bytes; false when enough has been seen.
    #[cold]
    fn compare(&self, text: &[u8], at: usize, bytes: u32, found: &mut impl FnMut(Hit) -> bool) -> bool {
        let first = self.grams.partition_point(|gram| gram.bytes < bytes);
        let same = self.grams[first..].iter().take_while(|gram| gram.bytes == bytes);
        for Gram { word, offset, .. } in same {
            let Some(start) = at.checked_sub(*offset) else { continue };
            let end = start + self.words[*word].len();
            let there =
                text.get(start..end).is_some_and(|part| part.eq_ignore_ascii_case(&self.words[*word]));
            if there && !found(Hit { word: *word, start, end }) {
                return false;
            }
        }
        true
    }
}

/// Returns where the stretch of this length begins that has the fewest common letters; nothing in a shorter word.
fn rarest(word: &[u8], length: usize) -> Option<usize> {
    let common = |part: &[u8]| part.iter().filter(|b| COMMON.contains(&b.to_ascii_lowercase())).count();
    let stretches = word.windows(length).enumerate();
    stretches.min_by_key(|(_, part)| common(part)).map(|(start, _)| start)
}

/// Four bytes as a number that is the same for both cases of a letter, and for some other pairs of bytes as well.
fn folded(four: &[u8]) -> u32 {
    four.try_into().map_or(0, u32::from_le_bytes) | 0x2020_2020
}

/// The upper bits of a product with Fibonacci's factor depend on all bits of the number.
fn hash(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits<const STRIDE: usize>(words: &[&str], text: &str) -> Vec<(usize, usize)> {
        let words = Words::<STRIDE>::new(words.iter().map(|word| word.as_bytes().to_vec()).collect());
        let mut hits = Vec::new();
        words.unwrap().each(text.as_bytes(), |hit| {
            assert_eq!(hit.end - hit.start, text[hit.start..hit.end].len());
            hits.push((hit.word, hit.start));
            true
        });
        hits
    }

    #[test]
    fn finds_every_word_at_every_place() {
        for before in 0..40 {
            let text = format!("{}Correct-Horse{}", "x".repeat(before), "y".repeat(40 - before));
            assert!(hits::<9>(&["correct-horse"], &text).contains(&(0, before)), "{before}");
            assert!(hits::<5>(&["CORRECT-"], &text).contains(&(0, before)), "{before}");
            assert_eq!(hits::<1>(&["orse", "HORSE", "none"], &text), [(1, before + 8), (0, before + 9)]);
            assert_eq!(hits::<9>(&["correct_horse"], &text), []);
        }
    }

    #[test]
    fn finds_words_at_both_ends_and_within_each_other() {
        assert_eq!(hits::<1>(&["abcd"], "abcd"), [(0, 0)]);
        assert_eq!(hits::<1>(&["abcd"], "abc"), []);
        assert_eq!(hits::<1>(&["aaaa"], "aaaaaa"), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(hits::<9>(&["correct-horse"], "correct-hors"), []);
    }

    #[test]
    fn a_short_word_makes_no_set() {
        assert!(Words::<1>::new(vec![b"abc".to_vec()]).is_none());
        assert!(Words::<9>::new(vec![b"correct-hor".to_vec()]).is_none());
    }

    #[test]
    fn stops_when_enough_is_seen() {
        let words = Words::<1>::new(vec![b"abcd".to_vec()]).unwrap();
        let mut count = 0;
        words.each(b"abcd abcd abcd", |_| {
            count += 1;
            count < 2
        });
        assert_eq!(count, 2);
    }
}
