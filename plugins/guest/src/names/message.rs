//! Messages of DNS, as far as a stub needs them: one question in, one answer out.
//!
//! Nothing is repaired: a message that is not one plain question is answered with an error, or not at all.
//! <https://www.rfc-editor.org/rfc/rfc1035#section-4>

use std::net::Ipv4Addr;

/// The longest message that is read; a question with its name has 271 bytes, options for the transport come on top.
pub(super) const MAX_MESSAGE: usize = 1232;

const HEADER: usize = 12;
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;

/// Seconds for which an address may be kept.
const TTL: u32 = 60;

const CLASS_INTERNET: u16 = 1;
const TYPE_ADDRESS: u16 = 1;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The name has this address.
    Address(Ipv4Addr),
    /// There is such a name, without what was asked for.
    Nothing,
    /// There is no such name.
    NoSuchName,
    /// It cannot be said now.
    Failed,
    /// The message is not a question.
    Malformed,
    /// It asks for something that is not done here.
    NotDone,
}

impl Outcome {
    /// Returns the response code, <https://www.iana.org/assignments/dns-parameters>.
    fn code(self) -> u8 {
        match self {
            Self::Address(_) | Self::Nothing => 0,
            Self::Malformed => 1,
            Self::Failed => 2,
            Self::NoSuchName => 3,
            Self::NotDone => 4,
        }
    }
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The name, in lower case, its labels joined by dots. What no host name has is written `\ddd`.
    pub(super) name: String,
    /// The type of what is asked for.
    pub(super) kind: u16,
}

impl Question {
    /// Returns `true` if an IPv4 address is asked for.
    pub(super) fn is_for_address(&self) -> bool {
        self.kind == TYPE_ADDRESS
    }
}

/// Reads a message.
///
/// # Errors
/// Fails with what to answer; `None` is silence, for what cannot be answered.
pub(super) fn parse(message: &[u8]) -> Result<Question, Option<Outcome>> {
    let (header, rest) = message.split_at_checked(HEADER).ok_or(None)?;
    // An answer to an answer could go on for ever.
    if header[2] & 0x80 != 0 {
        return Err(None);
    }
    if header[2] & 0x78 != 0 {
        return Err(Some(Outcome::NotDone));
    }
    // One question, no answers, and at most a record of the transport's options behind it.
    let counts = [4, 6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    if !matches!(counts, [1, 0, 0, 0 | 1]) {
        return Err(Some(Outcome::Malformed));
    }
    let (name, rest) = name(rest).ok_or(Some(Outcome::Malformed))?;
    let &[kind_high, kind_low, class_high, class_low, ..] = rest else {
        return Err(Some(Outcome::Malformed));
    };
    if u16::from_be_bytes([class_high, class_low]) != CLASS_INTERNET {
        return Err(Some(Outcome::NotDone));
    }
    Ok(Question { name, kind: u16::from_be_bytes([kind_high, kind_low]) })
}

/// Reads a name, and returns it with what follows. One that refers to another place is not one: there is none to refer to.
fn name(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut name, mut rest) = (String::new(), bytes);
    loop {
        let (&length, behind) = rest.split_first()?;
        let length = usize::from(length);
        if length > MAX_LABEL || bytes.len() - behind.len() + length > MAX_NAME {
            return None;
        }
        let (label, behind) = behind.split_at_checked(length)?;
        rest = behind;
        if length == 0 {
            return Some((name, rest));
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in label {
            match byte.to_ascii_lowercase() {
                plain @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => name.push(char::from(plain)),
                other => name.push_str(&format!("\\{other:03}")),
            }
        }
    }
}

/// Returns the answer to a message of which at least the header is there. It repeats the question and nothing else of it.
pub(super) fn answer(message: &[u8], outcome: Outcome) -> Vec<u8> {
    let question = match outcome {
        Outcome::Malformed | Outcome::NotDone => &[],
        _ => message.get(HEADER..).and_then(question).unwrap_or_default(),
    };
    let mut answer = Vec::with_capacity(HEADER + question.len() + 16);
    answer.extend_from_slice(&message[..2]);
    // A response, with what was asked of recursion, which is to be had.
    answer.extend([0x80 | message[2] & 0x79, 0x80 | outcome.code()]);
    let count = |is_there: bool| u16::from(is_there).to_be_bytes();
    answer.extend(count(!question.is_empty()));
    answer.extend(count(matches!(outcome, Outcome::Address(_))));
    answer.extend([0; 4]);
    answer.extend_from_slice(question);
    if let Outcome::Address(address) = outcome {
        // The name is that of the question, by a reference to it.
        answer.extend([0xc0, 0x0c]);
        answer.extend(TYPE_ADDRESS.to_be_bytes());
        answer.extend(CLASS_INTERNET.to_be_bytes());
        answer.extend(TTL.to_be_bytes());
        answer.extend(4_u16.to_be_bytes());
        answer.extend(address.octets());
    }
    answer
}

/// Returns the bytes of the question at the beginning of these.
fn question(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = name(bytes)?;
    bytes.get(..bytes.len() - rest.len() + 4)
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
