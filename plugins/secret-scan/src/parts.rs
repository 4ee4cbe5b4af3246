//! Secrets that are cut into parts: in whatever order, by how much of a secret the parts make up; and in their order,
//! however short they are, by putting together what stands in a request's fields.

use super::decode;
use super::normalise;
use super::secrets::SecretSet;
use claude_bottle_egress_policy::HostPattern;

/// Letters and digits that a secret needs to be recognised by its parts.
const MIN_COVERED: usize = 16;

/// Letters and digits of a part that counts.
const MIN_PART: usize = 3;

/// Length from which a part counts in any case. There are fewer than 50,000 parts of three letters otherwise, and a long
/// list of short codes would make up anything.
const MIN_ANY_CASE: usize = 4;

/// Bits of the table of what secrets are made of, as a power of two.
const TABLE_BITS: u32 = 15;

/// How much of each secret lies in the parts seen so far.
pub struct Coverage<'a> {
    secrets: Vec<Covered<'a>>,
    /// The beginnings of parts that some secret has: most words of a request are none of them.
    table: Box<[u64; 1 << (TABLE_BITS - 6)]>,
}

struct Covered<'a> {
    name: &'a str,
    bare: Vec<u8>,
    seen: Vec<bool>,
}

impl<'a> Coverage<'a> {
    /// Returns an empty record for the secrets that `may_pass` does not let through by their hosts.
    pub fn new(set: &'a SecretSet, may_pass: impl Fn(&[HostPattern]) -> bool) -> Self {
        let wanted = set.values().filter(|(.., hosts)| !may_pass(hosts));
        let secrets: Vec<Covered<'a>> = wanted
            .map(|(name, value, _)| (name, normalise::squeeze(value)))
            .filter(|(_, bare)| bare.len() >= MIN_COVERED)
            .map(|(name, bare)| Covered { name, seen: vec![false; bare.len()], bare })
            .collect();
        let mut table = Box::new([0; 1 << (TABLE_BITS - 6)]);
        for three in secrets.iter().flat_map(|secret| secret.bare.windows(MIN_PART)) {
            let bit = hash(three);
            table[bit >> 6] |= 1 << (bit & 63);
        }
        Self { secrets, table }
    }

    /// Notes the parts of a text: its words, and what those decode to that are base64 or hexadecimal from end to end.
    pub fn add(&mut self, text: &[u8]) {
        if self.secrets.is_empty() {
            return;
        }
        let decoded = decode::percent(text);
        let text = decoded.as_deref().unwrap_or(text);
        self.add_words(text);
        for field in text.split(|b| b"/?&=;,: \t\r\n\"'()[]{}".contains(b)) {
            let plain = [decode::base64_part(field), decode::hex_part(field)];
            plain.into_iter().flatten().for_each(|plain| self.add_words(&plain));
        }
    }

    /// Returns the name of a secret nine tenths of which have been seen.
    pub fn whole(&self) -> Option<&'a str> {
        let is_whole = |secret: &&Covered<'_>| {
            secret.seen.iter().filter(|seen| **seen).count() * 10 >= secret.bare.len() * 9
        };
        self.secrets.iter().find(is_whole).map(|secret| secret.name)
    }

    /// Returns `true` if anything of a secret has been seen.
    pub fn any(&self) -> bool {
        self.secrets.iter().any(|secret| secret.seen.contains(&true))
    }

    fn add_words(&mut self, text: &[u8]) {
        for word in text.split(|b| !b.is_ascii_alphanumeric()) {
            let Some(three) = word.get(..MIN_PART) else { continue };
            let bit = hash(three);
            if self.table[bit >> 6] >> (bit & 63) & 1 != 0 {
                self.secrets.iter_mut().for_each(|secret| secret.add(word));
            }
        }
    }
}

impl Covered<'_> {
    fn add(&mut self, word: &[u8]) {
        let is_part = |place: &[u8]| match word.len() {
            MIN_ANY_CASE.. => place.eq_ignore_ascii_case(word),
            _ => place == word,
        };
        for start in 0..(self.bare.len() + 1).saturating_sub(word.len()) {
            if is_part(&self.bare[start..start + word.len()]) {
                self.seen[start..start + word.len()].fill(true);
            }
        }
    }
}

/// The same for both cases of a letter.
fn hash(three: &[u8]) -> usize {
    let number = three.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(byte | 0x20));
    (number.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

/// Adds the values of a query or form, without the names in front of them.
pub fn add_values(text: &[u8], values: &mut Vec<u8>) {
    for field in text.split(|b| b"?&".contains(b)) {
        let name = field.iter().position(|b| *b == b'=').map_or(0, |at| at + 1);
        values.extend_from_slice(&field[name..]);
    }
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::GuardSecrets;

    use super::*;

    fn set(value: &str) -> SecretSet {
        let json = serde_json::json!([{ "name": "TOKEN", "value": value }]).to_string();
        SecretSet::new(&GuardSecrets::from_json(&json).unwrap()).unwrap()
    }

    fn covered(text: &str) -> bool {
        let set = set("s3cr3tValue0123456789xyz");
        let mut coverage = Coverage::new(&set, |_| false);
        coverage.add(text.as_bytes());
        coverage.whole().is_some()
    }

    #[test]
    fn finds_a_secret_cut_into_parts_in_any_order() {
        assert!(covered("/x?a=s3cr3tVa&b=lue01234&c=56789xyz"));
        assert!(covered("/x?c=56789xyz&a=s3cr3tVa&b=lue01234"));
        assert!(covered("/s3cr3tVa/lue01234/56789xyz"));
        assert!(covered("/x?a=czNjcjN0VmFsdWUw&b=123456789xyz"));
        assert!(covered("xyz 789 456 123 ue0 Val r3t s3c"));
        assert!(covered("S3CR-3TVA_LUE0.1234~5678|9XYZ"));
        assert!(covered(&format!("{} s3cr3tVa lue01234 56789xyz", "word ".repeat(10_000))));
    }

    #[test]
    fn less_than_nine_tenths_and_parts_of_two_letters_are_no_secret() {
        assert!(!covered("/x?a=s3cr3tVa&b=other"));
        assert!(!covered("/x?a=1&b=2&c=3&d=s&e=t&f=Value&g=0123"));
        assert!(!covered("yz 9x 78 56 34 12 e0 lu Va 3t cr s3"));
        // Every word of three lower-case letters, of which the secret has some.
        let letters: Vec<char> = ('a'..='z').collect();
        let all = letters.iter().flat_map(|a| letters.iter().map(move |b| format!("{a}{b}x {a}{b}e ")));
        assert!(!covered(&all.collect::<String>()));
    }

    #[test]
    fn values_are_put_together_without_their_names() {
        let mut values = Vec::new();
        add_values(b"/p?a=s3&b=cr&3t&c=x=y", &mut values);
        assert_eq!(values, b"/ps3cr3tx=y");
    }
}
