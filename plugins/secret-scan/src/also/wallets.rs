//! Private keys of wallets: those with a check of their own, and 32 bytes in hexadecimal behind a word that says what they
//! are. The words of a recovery phrase are not known here.

use std::sync::LazyLock;

use regex::bytes::Regex;
use sha2::{Digest, Sha256};

use super::{fits, pattern};

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Bytes of the check behind the others.
const CHECK: usize = 4;

/// Single keys (<https://en.bitcoin.it/wiki/Wallet_import_format>) of 51 and 52 characters, and extended private keys
/// (<https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki#serialization-format>) of 111.
const LENGTHS: &[(usize, &[&str])] =
    &[(51, &["5", "9"]), (52, &["K", "L", "c"]), (111, &["xprv", "yprv", "zprv", "tprv"])];

const NAMED: &str = r"(?i)(?:priv(?:ate)?[ _-]?key|(?:eth(?:ereum)?|wallet)[ _-]?(?:secret[ _-]?)?key)[^0-9a-z]{1,8}(?:0x)?[0-9a-f]{64}(?:[^0-9a-z]|$)";

static NAMED_KEYS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(NAMED));

/// Returns `true` if the text holds a private key.
pub(super) fn is_in(text: &[u8]) -> bool {
    text.split(|byte| !byte.is_ascii_alphanumeric()).any(is_key) || fits(&NAMED_KEYS, text)
}

fn is_key(word: &[u8]) -> bool {
    let fits = |(length, beginnings): &(usize, &[&str])| {
        *length == word.len() && beginnings.iter().any(|beginning| word.starts_with(beginning.as_bytes()))
    };
    LENGTHS.iter().any(fits) && decoded(word).is_some_and(|bytes| has_check(&bytes))
}

fn decoded(word: &[u8]) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    for character in word {
        let mut carry = u32::try_from(BASE58.iter().position(|known| known == character)?).ok()?;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.insert(0, (carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    Some(bytes)
}

fn has_check(bytes: &[u8]) -> bool {
    let Some((rest, check)) = bytes.split_last_chunk::<CHECK>() else { return false };
    Sha256::digest(Sha256::digest(rest)).starts_with(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_a_right_check_are_found() {
        // Examples of the documents named above, in pieces, so that no scanner takes this file for a leak.
        let single = ["5HueCGU8rMjxEXxiPuD5BDk", "u4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"].concat();
        let extended = [
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPP",
            "qjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
        ]
        .concat();
        for key in [&single, &extended] {
            assert!(is_in(format!("/?k={key}&x=1").as_bytes()), "{key}");
            let last = if key.ends_with('J') { "K" } else { "j" };
            assert!(!is_in(format!("/?k={}{last}", &key[..key.len() - 1]).as_bytes()), "{key}");
        }
        let hex = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
        assert!(is_in(format!("{{\"private_key\": \"0x{hex}\"}}").as_bytes()));
        assert!(is_in(format!("ETH_KEY={hex}").as_bytes()));
        assert!(!is_in(format!("sha256:{hex}").as_bytes()));
        assert!(!is_in(format!("private_key={hex}00").as_bytes()));
    }
}
