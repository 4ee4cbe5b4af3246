//! Makes texts that a pattern fits: credentials of every form, for tests.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::ends::{END, ODD, SOURCE_END};
use crate::rules::builtin;

/// Marsaglia's xorshift: <https://doi.org/10.18637/jss.v008.i14>.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn text(&mut self, alphabet: &str, length: usize) -> String {
        let characters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| self.pick(&characters)).collect()
    }
}

/// Repetitions of what may come any number of times.
const MANY: u32 = 24;

/// Returns a text that the pattern fits, in printable ASCII.
pub fn of(pattern: &str, random: &mut Random) -> String {
    let parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    let mut text = Vec::new();
    add(&parser.clone().parse(pattern).unwrap(), random, &mut text);
    String::from_utf8(text).unwrap()
}

/// Returns a credential that the rule fits by all it knows, when a quote and a line's end are around it.
pub fn credential(id: &str, random: &mut Random) -> String {
    let rules = builtin().unwrap();
    let index = rules.find(id).unwrap();
    let (_, pattern, keyword) = rules.patterns().find(|(other, ..)| *other == id).unwrap();
    let bare = [
        (SOURCE_END, ""),
        (ODD[0].0, ""),
        (ODD[1].0, ""),
        (ODD[2].0, ""),
        ("(?:[^\\w-]|\\z)", ""),
        (END, ""),
    ];
    let bare = bare.iter().fold(pattern.to_owned(), |text, (end, none)| text.replace(end, none));
    for _ in 0..2_000 {
        let text = of(&bare, random);
        if rules.find_in(format!("{keyword} \"{text}\"").as_bytes(), |rule| rule == index).is_some() {
            return text;
        }
    }
    panic!("no credential for `{id}`: {bare}");
}

fn add(hir: &Hir, random: &mut Random, text: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
        HirKind::Class(class) => text.push(member(class, random)),
        HirKind::Repetition(repetition) => {
            let count = match (repetition.min, repetition.max) {
                (min @ 0..=1, None) => min + MANY,
                (min, _) => min,
            };
            (0..count).for_each(|_| add(&repetition.sub, random, text));
        }
        HirKind::Capture(capture) => add(&capture.sub, random, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| add(part, random, text)),
        HirKind::Alternation(parts) => add(&parts[random.below(parts.len())], random, text),
    }
}

fn member(class: &Class, random: &mut Random) -> u8 {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class.iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect(),
        Class::Bytes(class) => class.iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect(),
    };
    let has = |byte: &u8| ranges.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(*byte)));
    let plain: Vec<u8> = (b'!'..=b'~').filter(u8::is_ascii_alphanumeric).filter(has).collect();
    let other: Vec<u8> = (b' '..=b'~').filter(has).collect();
    random.pick(if plain.is_empty() { &other } else { &plain })
}
