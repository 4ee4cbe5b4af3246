//! Secrets overwritten where they stand: in what goes to a model, and in what a host sends back.
//!
//! What is overwritten keeps its length, and with it the length of the body, the form of JSON and the frames of a stream. Found
//! are values as they are, escaped for JSON and URLs, and encoded; not what was reversed, hashed or spread.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use bytes::{Bytes, BytesMut};
use claude_bottle_egress_policy::GuardSecrets;
use secret_scan::secrets::forms_of;

use crate::error::GuardError;

/// What stands for each byte of a secret. It needs no escape in JSON, in a URL, or in a header.
const FILLER: u8 = b'*';

/// Values that are shorter are words.
const SHORTEST: usize = 8;

/// So many bytes of a needle's beginning may go when nothing follows them for a while: a client may wait for just them.
const MAY_GO: usize = 4;

/// Everything that is overwritten.
pub(crate) struct Mask {
    needles: Vec<Vec<u8>>,
    /// The name of the secret that each belongs to.
    names: Vec<String>,
    finder: Option<AhoCorasick>,
    longest: usize,
    /// Which bytes one begins with.
    is_first: Box<[bool; 256]>,
}

impl Default for Mask {
    fn default() -> Self {
        let (needles, names, is_first) = (Vec::new(), Vec::new(), Box::new([false; 256]));
        Self { needles, names, finder: None, longest: 0, is_first }
    }
}

impl Mask {
    /// Returns a mask for these values.
    ///
    /// # Errors
    /// Fails when they are more than can be looked for.
    pub(crate) fn new<'v>(secrets: impl Iterator<Item = (&'v str, &'v str)>) -> Result<Self, GuardError> {
        let (mut needles, mut names) = (Vec::new(), Vec::new());
        for (name, value) in secrets.map(|(name, value)| (name, value.trim())) {
            let forms = if value.len() < SHORTEST { BTreeSet::new() } else { forms(value.as_bytes()) };
            names.extend(forms.iter().map(|_| name.to_owned()));
            needles.extend(forms);
        }
        if needles.is_empty() {
            return Ok(Self::default());
        }
        let built = AhoCorasickBuilder::new().match_kind(MatchKind::Standard).build(&needles);
        let finder = Some(built.map_err(|_| GuardError::TooManySecrets)?);
        let longest = needles.iter().map(Vec::len).max().unwrap_or(0);
        let mut is_first = Box::new([false; 256]);
        needles
            .iter()
            .filter_map(|needle| needle.first())
            .for_each(|byte| is_first[usize::from(*byte)] = true);
        Ok(Self { needles, names, finder, longest, is_first })
    }

    /// Returns a mask for all secrets of a bottle.
    ///
    /// # Errors
    /// Fails when they are more than can be looked for.
    pub(crate) fn of_all(secrets: &GuardSecrets) -> Result<Self, GuardError> {
        Self::new(secrets.entries.iter().map(|secret| (secret.name.as_str(), secret.value.as_str())))
    }

    /// Returns every form that is overwritten.
    #[cfg(fuzzing)]
    pub(super) fn needles(&self) -> &[Vec<u8>] {
        &self.needles
    }

    /// Returns `true` if there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.finder.is_none()
    }

    /// Returns where secrets are, overlapping ones too, and which.
    fn spans(&self, bytes: &[u8]) -> Vec<(Range<usize>, usize)> {
        let Some(finder) = &self.finder else { return Vec::new() };
        let found = finder.find_overlapping_iter(bytes);
        found.map(|found| (found.range(), found.pattern().as_usize())).collect()
    }

    /// Returns the text with its secrets overwritten; `None` when it has none.
    pub(crate) fn whole(&self, text: &[u8]) -> Option<Vec<u8>> {
        let spans = self.spans(text);
        if spans.is_empty() {
            return None;
        }
        let mut masked = text.to_vec();
        spans.into_iter().for_each(|(span, _)| masked[span].fill(FILLER));
        Some(masked)
    }

    /// Returns `true` if a secret begins in front of a place and ends behind it.
    pub(crate) fn crosses(&self, text: &[u8], at: usize) -> bool {
        self.spans(text).iter().any(|(span, _)| span.start < at && span.end > at)
    }

    /// Returns how many of the last bytes could be the beginning of a secret.
    pub(crate) fn open_end(&self, bytes: &[u8]) -> usize {
        let last = bytes.len().min(self.longest.saturating_sub(1));
        let begins = |count: &usize| {
            let end = &bytes[bytes.len() - count..];
            self.is_first[usize::from(end[0])]
                && self.needles.iter().any(|needle| needle.len() > *count && needle.starts_with(end))
        };
        (1..=last).rev().find(begins).unwrap_or(0)
    }
}

/// Every form of a value that can be overwritten where it stands.
fn forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = forms_of(value);
    let hex = |byte: &u8| format!("{byte:02X}");
    forms.insert(value.iter().map(hex).collect::<String>().into_bytes());
    for upper in [true, false] {
        let escaped = |byte: &u8| match (byte.is_ascii_alphanumeric() || b"-_.~".contains(byte), upper) {
            (true, _) => char::from(*byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        forms.insert(value.iter().map(escaped).collect::<String>().into_bytes());
    }
    let text = String::from_utf8_lossy(value);
    forms.insert(text.replace('\\', "\\\\").replace('"', "\\\"").replace('/', "\\/").into_bytes());
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// One stream of bytes, masked as it goes.
pub(crate) struct Masking<'m> {
    mask: &'m Mask,
    /// What came and may be the beginning of a secret, as it came.
    held: BytesMut,
    /// How many of the first of those belong to a secret that ends there.
    covered: usize,
    /// How many of the first of those have gone.
    gone: usize,
    /// The first secret that was found.
    found: Option<usize>,
}

impl<'m> Masking<'m> {
    pub(crate) fn new(mask: &'m Mask) -> Self {
        Self { mask, held: BytesMut::new(), covered: 0, gone: 0, found: None }
    }

    /// Returns the name of the first secret that was overwritten.
    pub(crate) fn found(&self) -> Option<&str> {
        self.found.map(|needle| self.mask.names[needle].as_str())
    }

    /// Returns how many bytes wait for what follows them.
    pub(crate) fn waiting(&self) -> usize {
        self.held.len() - self.gone
    }

    /// Takes the next bytes, and gives back all but those that may be the beginning of a secret.
    pub(crate) fn push(&mut self, data: Bytes) -> Bytes {
        if self.mask.is_empty() {
            return data;
        }
        if self.held.is_empty() && self.mask.spans(&data).is_empty() {
            let cut = data.len() - self.mask.open_end(&data);
            self.held.extend_from_slice(&data[cut..]);
            return data.slice(..cut);
        }
        self.held.extend_from_slice(&data);
        let keep = self.mask.open_end(&self.held);
        self.take(keep)
    }

    /// Gives back what waits, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.take(0)
    }

    /// Gives back what waits when nothing has come for a while, if it is too short to tell anything.
    pub(crate) fn pause(&mut self) -> Bytes {
        if self.waiting() == 0 || self.held.len() > MAY_GO {
            return Bytes::new();
        }
        let masked = self.masked();
        let rest = Bytes::copy_from_slice(&masked[self.gone..]);
        self.gone = self.held.len();
        rest
    }

    /// Returns what is held, its secrets overwritten.
    fn masked(&mut self) -> Vec<u8> {
        let mut masked = self.held.to_vec();
        masked[..self.covered].fill(FILLER);
        let spans = self.mask.spans(&self.held);
        self.found = self.found.or(spans.first().map(|(_, needle)| *needle));
        spans.into_iter().for_each(|(span, _)| masked[span].fill(FILLER));
        masked
    }

    /// Takes all but the last bytes.
    fn take(&mut self, keep: usize) -> Bytes {
        if self.held.is_empty() {
            return Bytes::new();
        }
        let masked = self.masked();
        let cut = self.held.len() - keep;
        let over = |span: &Range<usize>| span.start < cut && span.end > cut;
        let spans = self.mask.spans(&self.held);
        let covered =
            spans.iter().filter(|(span, _)| over(span)).map(|(span, _)| span.end - cut).max().unwrap_or(0);
        self.covered = covered.max(self.covered.saturating_sub(cut));
        let given = Bytes::copy_from_slice(&masked[self.gone.min(cut)..cut]);
        self.gone = self.gone.saturating_sub(cut);
        drop(self.held.split_to(cut));
        given
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
