//! SHA-256 as results have it: of contents, and of the document that names them.

use std::fmt::Write as _;
use std::io::{self, Read};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::results::model::SavedResult;

/// A SHA-256.
pub type Hash = [u8; 32];

/// How much is read at once.
const PART: usize = 128 << 10;

/// Writes bytes, such as a hash, in lower-case hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads such digits.
pub fn from_hex(digits: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let is_plain = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (at, byte) in hash.iter_mut().enumerate().filter(|_| is_plain) {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    is_plain.then_some(hash)
}

/// Returns the hash of bytes.
pub fn of_bytes(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Returns the size and the hash of what can be read.
pub fn of(source: impl Read) -> io::Result<(u64, Hash)> {
    of_parts(source, &mut |_| Ok(()))
}

/// Does the same, and hands on what was read, part by part.
pub fn of_parts(
    mut source: impl Read,
    part: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, Hash)> {
    let (mut hasher, mut buffer, mut size) = (Sha256::new(), vec![0; PART], 0);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok((size, hasher.finalize().into())),
            Ok(count) => {
                size += count as u64;
                hasher.update(&buffer[..count]);
                part(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the digest of a result: the hash of its document without the digest, in compact JSON.
pub fn of_document(result: &SavedResult) -> anyhow::Result<String> {
    /// Hashes what is written.
    struct Hasher(Sha256);
    impl io::Write for Hasher {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hasher = Hasher(Sha256::new());
    if result.digest.is_empty() {
        serde_json::to_writer(&mut hasher, result)
    } else {
        serde_json::to_writer(&mut hasher, &SavedResult { digest: String::new(), ..result.clone() })
    }
    .context("write the result as JSON")?;
    Ok(hex(hasher.0.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_hashes_are_the_same_thing() {
        let (size, hash) = of(&b"abc"[..]).unwrap();
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((size, hex(hash).as_str(), from_hex(digits)), (3, digits, Some(hash)));
        for wrong in ["", "ba", &digits.replace('b', "g"), &format!("{digits}00"), &"é".repeat(32)] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
