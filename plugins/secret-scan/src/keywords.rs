//! The keywords of the rules; and for those too short to say much, what has to follow them.

use memchr::memmem::Finder;

use super::words::{Hit, Words};

/// A keyword too short for [`Words`]. The pattern of its rule has it in this case alone and goes on with one class, so
/// a keyword without that behind it is part of no match.
struct Short {
    word: &'static str,
    /// What comes of it in the pattern, which a test holds the data against.
    #[cfg_attr(not(test), expect(dead_code, reason = "says where the class comes from, and is tested"))]
    pattern: &'static str,
    follows: fn(u8) -> bool,
    count: usize,
}

impl Short {
    const fn new(word: &'static str, pattern: &'static str, follows: fn(u8) -> bool, count: usize) -> Self {
        Self { word, pattern, follows, count }
    }
}

const SHORT: &[Short] = &[
    Short::new("A3-", "A3-[A-Z0-9]{6}", |b| b.is_ascii_uppercase() || b.is_ascii_digit(), 6),
    Short::new("A3T", "A3T[A-Z0-9]|", |b| b.is_ascii_uppercase() || b.is_ascii_digit(), 1),
    Short::new(
        "Q~",
        r"\dQ~[a-zA-Z0-9_~.-]{31,34}",
        |b| b.is_ascii_alphanumeric() || b"_~.-".contains(&b),
        31,
    ),
    Short::new(
        "SG.",
        r"\b(SG\.(?i)[a-z0-9=_\-\.]{66})",
        |b| b.is_ascii_alphanumeric() || b"=_-.".contains(&b),
        66,
    ),
    Short::new("SK", "SK[0-9a-fA-F]{32}", |b| b.is_ascii_hexdigit(), 32),
    Short::new("fm1", "|fm1[ar]_", |b| b"ar".contains(&b), 1),
    Short::new("hf_", r"\b(hf_(?i:[a-z]{34}))", |b| b.is_ascii_alphabetic(), 34),
    Short::new("pat", r"\b(pat[[:alnum:]]{14}", |b| b.is_ascii_alphanumeric(), 14),
    Short::new("r8_", r"\b(r8_[A-Za-z0-9]{37})", |b| b.is_ascii_alphanumeric(), 37),
    Short::new("s.", r"|s\.(?i:[a-z0-9]{24})", |b| b.is_ascii_alphanumeric(), 24),
    Short::new("sk-", r"\b(sk-[A-Za-z0-9]{48})", |b| b.is_ascii_alphanumeric(), 48),
    Short::new("sc_", r"(?:sc|ext|scauth|authress)_(?i)[a-z0-9]{5,30}", |b| b.is_ascii_alphanumeric(), 5),
];

/// All keywords.
pub(super) struct Keywords {
    /// Those of four bytes and more, and those of three with each byte that may follow.
    words: Words<1>,
    /// What each of the words stands for.
    meant: Vec<Meant>,
    /// Those of two bytes.
    pairs: Vec<(Finder<'static>, Meant)>,
}

#[derive(Clone, Copy)]
struct Meant {
    /// The number among all keywords.
    number: usize,
    /// Set for a short one.
    short: Option<&'static Short>,
}

impl Keywords {
    /// Returns the keywords, which keep their numbers.
    pub(super) fn new(all: &[String]) -> Result<Self, String> {
        let (mut words, mut meant, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for (number, word) in all.iter().enumerate() {
            if word.len() >= Words::<1>::SHORTEST {
                words.push(word.as_bytes().to_vec());
                meant.push(Meant { number, short: None });
                continue;
            }
            let short = SHORT.iter().find(|short| short.word.eq_ignore_ascii_case(word));
            let short = short.ok_or_else(|| format!("the keyword `{word}` is too short"))?;
            let means = Meant { number, short: Some(short) };
            if word.len() == 2 {
                pairs.push((Finder::new(short.word), means));
                continue;
            }
            for follows in (0..128).filter(|b| (short.follows)(*b)) {
                words.push([word.as_bytes(), &[follows]].concat());
                meant.push(means);
            }
        }
        let words = Words::new(words).ok_or("a keyword is too short")?;
        Ok(Self { words, meant, pairs })
    }

    /// Calls `found` for each keyword in the text that could be part of a match, in no order.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(Hit)) {
        self.words.each(text, |hit| {
            if let Some(hit) = self.meant[hit.word].confirm(text, hit.start, hit.end) {
                found(hit);
            }
            true
        });
        for (finder, meant) in &self.pairs {
            let hits = finder.find_iter(text).filter_map(|start| meant.confirm(text, start, start + 2));
            hits.for_each(&mut found);
        }
    }
}

impl Meant {
    /// Returns the hit of the keyword here, when it could be part of a match.
    fn confirm(self, text: &[u8], start: usize, end: usize) -> Option<Hit> {
        let hit = Hit { word: self.number, start, end };
        let Some(short) = self.short else { return Some(hit) };
        let rest = text.get(start..)?.strip_prefix(short.word.as_bytes())?;
        let follow = rest.iter().take(short.count).filter(|b| (short.follows)(**b)).count();
        (follow == short.count).then_some(hit)
    }
}

/// Returns what comes of a short keyword in its pattern.
#[cfg(test)]
pub(super) fn short_pattern(word: &str) -> Option<&'static str> {
    SHORT.iter().find(|short| short.word.eq_ignore_ascii_case(word)).map(|short| short.pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, usize)> {
        let words: Vec<String> = SHORT.iter().map(|short| short.word.to_ascii_lowercase()).collect();
        let words = [words, vec!["ghp_".to_owned()]].concat();
        let mut hits = Vec::new();
        Keywords::new(&words).unwrap().each(text.as_bytes(), |hit| hits.push((hit.word, hit.start)));
        hits
    }

    #[test]
    fn a_short_keyword_counts_with_what_follows_it() {
        assert_eq!(
            found("fm1a_ fm1_ GHP_ pat A3-12345 A3-123456 a3-123456"),
            [(5, 0), (SHORT.len(), 11), (0, 29)]
        );
        assert_eq!(found(&format!("x s.{} s.{}", "a".repeat(23), "B9".repeat(12))), [(9, 28)]);
    }
}
