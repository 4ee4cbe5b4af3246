//! The bottle's own secrets: every form of them that one pass can find.

use std::collections::BTreeSet;

use claude_bottle_egress_policy::{GuardSecrets, HostPattern};

use super::normalise;
use super::words::Words;
use crate::ScanError;

/// Shorter values are common words and flags; looking for them would stop everything.
const MIN_SECRET: usize = 8;

/// A line of a longer secret, such as a private key, that is looked for by itself.
const MIN_LINE: usize = 16;

/// A secret without its punctuation has to be this long to be looked for in text without punctuation.
const MIN_SQUEEZED: usize = BareForms::SHORTEST;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE16: &[u8; 16] = b"0123456789abcdef";

struct Secret {
    name: String,
    value: Vec<u8>,
    hosts: Vec<HostPattern>,
}

/// Forms of 8 bytes at least, looked for in the text as it is.
type RawForms = Words<{ MIN_SECRET - 3 }>;

/// Forms without punctuation, of 12 bytes at least, looked for in text without punctuation.
type BareForms = Words<9>;

/// All secrets, and every form of them.
pub struct SecretSet {
    secrets: Vec<Secret>,
    skipped: Vec<String>,
    /// Forms that are too short without their punctuation, and which secret each belongs to.
    raw: RawForms,
    raw_owner: Vec<usize>,
    /// All others. Where such a form is in a text as it is, it is there without punctuation too.
    bare: BareForms,
    bare_owner: Vec<usize>,
    longest: usize,
}

impl SecretSet {
    /// Returns the set for these secrets.
    pub fn new(source: &GuardSecrets) -> Result<Self, ScanError> {
        let (long, short): (Vec<_>, Vec<_>) =
            source.entries.iter().partition(|s| s.value.trim().len() >= MIN_SECRET);
        let secrets: Vec<Secret> = long
            .iter()
            .map(|s| Secret {
                name: s.name.clone(),
                value: s.value.trim().as_bytes().to_vec(),
                hosts: s.hosts.clone(),
            })
            .collect();
        let (mut raw, mut raw_owner, mut bare, mut bare_owner) = (vec![], vec![], vec![], vec![]);
        let mut longest = 0;
        for (index, secret) in secrets.iter().enumerate() {
            for form in forms_of(&secret.value) {
                longest = longest.max(form.len());
                let squeezed = normalise::squeeze(&form);
                if squeezed.len() >= MIN_SQUEEZED {
                    bare.push(squeezed);
                    bare_owner.push(index);
                } else {
                    raw.push(form);
                    raw_owner.push(index);
                }
            }
        }
        let (raw, bare) = (RawForms::new(raw), BareForms::new(bare));
        let (Some(raw), Some(bare)) = (raw, bare) else {
            return Err(ScanError { reason: "a form of a secret is too short".to_owned() });
        };
        let skipped = short.iter().map(|s| s.name.clone()).collect();
        Ok(Self { secrets, skipped, raw, raw_owner, bare, bare_owner, longest })
    }

    /// Returns names of secrets too short to be looked for.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Returns the length of the longest form.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Returns the name of the first secret in `text` that `may_pass` does not let through by its hosts.
    ///
    /// `scratch` is room for the text without punctuation, kept from one text to the next.
    pub fn find(
        &self,
        text: &[u8],
        scratch: &mut Vec<u8>,
        may_pass: impl Fn(&[HostPattern]) -> bool,
    ) -> Option<&str> {
        if self.secrets.is_empty() {
            return None;
        }
        let mut stopped = None;
        let mut note = |owner: usize| {
            let secret = &self.secrets[owner];
            stopped = stopped.or((!may_pass(&secret.hosts)).then_some(secret.name.as_str()));
            stopped.is_none()
        };
        self.raw.each(text, |hit| note(self.raw_owner[hit.word]));
        normalise::squeeze_into(text, scratch);
        self.bare.each(scratch, |hit| note(self.bare_owner[hit.word]));
        stopped
    }

    /// Returns each secret's name, value and hosts.
    pub fn values(&self) -> impl Iterator<Item = (&str, &[u8], &[HostPattern])> {
        self.secrets.iter().map(|s| (s.name.as_str(), s.value.as_slice(), s.hosts.as_slice()))
    }
}

/// Every form in which a value is found without decoding anything.
pub fn forms_of(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = value.split(|b| matches!(b, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    let mut forms = BTreeSet::new();
    for piece in std::iter::once(value).chain(lines.filter(|line| line.len() >= MIN_LINE)) {
        forms.insert(piece.to_vec());
        forms.insert(json_escaped(piece));
        for shift in 0..3 {
            forms.insert(encoded(piece, BASE64, shift));
            forms.insert(encoded(piece, BASE64_URL, shift));
        }
        for shift in 0..5 {
            forms.insert(encoded(piece, BASE32, shift));
        }
        forms.insert(encoded(piece, BASE16, 0));
    }
    forms.retain(|form| form.len() >= MIN_SECRET);
    forms
}

fn json_escaped(value: &[u8]) -> Vec<u8> {
    let text = serde_json::Value::from(String::from_utf8_lossy(value).into_owned()).to_string();
    text.trim_matches('"').as_bytes().to_vec()
}

/// Returns the characters that stand for `value` alone when it begins `shift` bytes into an encoded text.
///
/// The alphabet has a power of two of characters; those at the edges, which also hold bits of a neighbour, are left out.
fn encoded(value: &[u8], alphabet: &[u8], shift: usize) -> Vec<u8> {
    let bits = usize::try_from(alphabet.len().trailing_zeros()).unwrap_or(0);
    let padded: Vec<u8> = std::iter::repeat_n(0, shift).chain(value.iter().copied()).collect();
    let first = (shift * 8).div_ceil(bits);
    let last = padded.len() * 8 / bits;
    let bit = |at: usize| usize::from(padded[at / 8] >> (7 - at % 8) & 1);
    let character = |index: usize| (0..bits).fold(0, |sum, offset| sum << 1 | bit(index * bits + offset));
    (first..last).map(|index| alphabet[character(index)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "s3cr3t-Value_0123456789+/x";

    fn set(value: &str) -> SecretSet {
        let json = serde_json::json!([{ "name": "TOKEN", "value": value }]).to_string();
        SecretSet::new(&GuardSecrets::from_json(&json).unwrap()).unwrap()
    }

    fn finds(text: &str) -> bool {
        set(VALUE).find(text.as_bytes(), &mut Vec::new(), |_| false).is_some()
    }

    #[test]
    fn encodes_like_everybody() {
        assert_eq!(encoded(b"foobar", BASE64, 0), b"Zm9vYmFy");
        assert_eq!(encoded(b"foobar", BASE16, 0), b"666f6f626172");
        assert_eq!(encoded(b"fooba", BASE32, 0), b"MZXW6YTB");
        // "xfoobar" is eGZvb2Jhcg==; what depends on the x or on the end is left out.
        assert_eq!(
            encoded(b"foobar", BASE64, 1),
            b"ZvbJhc".iter().take(0).chain(b"Zvb2Jhc").copied().collect::<Vec<_>>()
        );
    }

    #[test]
    fn finds_every_form() {
        for text in [
            "x=s3cr3t-Value_0123456789+/x&y",
            "x=S3CR3T-VALUE_0123456789+/X",
            "s 3 c r 3 t - V a l u e _ 0 1 2 3 4 5 6 7 8 9 + / x",
            // base64 of the value with zero, one and two bytes in front.
            "czNjcjN0LVZhbHVlXzAxMjM0NTY3ODkrL3g=",
            "YXMzY3IzdC1WYWx1ZV8wMTIzNDU2Nzg5Ky94",
            "YWFzM2NyM3QtVmFsdWVfMDEyMzQ1Njc4OSsveA==",
            "7333637233742d56616c75655f303132333435363738392b2f78",
            "73-33-63-72-33-74-2d-56-61-6c-75-65-5f-30-31-32-33-34-35-36-37-38-39-2b-2f-78",
        ] {
            assert!(finds(text), "{text}");
        }
        assert!(!finds("an ordinary text about s3cr3t values and 0123456789"));
    }

    #[test]
    fn finds_lines_of_a_key() {
        let set = set("-----BEGIN X-----\nAbCdEfGhIjKlMnOpQrSt\nUvWxYz\n-----END X-----\n");
        assert_eq!(set.find(b"..AbCdEfGhIjKlMnOpQrSt..", &mut Vec::new(), |_| false), Some("TOKEN"));
    }

    #[test]
    fn short_values_are_named_and_skipped() {
        let set = set("short");
        assert_eq!(set.skipped(), ["TOKEN"]);
        assert_eq!(set.find(b"short", &mut Vec::new(), |_| false), None);
    }
}
