//! International bank account numbers: <https://www.swift.com/standards/data-standards/iban-international-bank-account-number>,
//! with the check of ISO 7064 (MOD 97-10).

/// Countries and how many characters their numbers have, from the registry.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 \
    EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 \
    LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 \
    SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20";

/// Returns `true` if the text holds an account number, together or in groups.
pub(super) fn is_in(text: &[u8]) -> bool {
    let begins = |at: &usize| {
        let apart = at.checked_sub(1).is_none_or(|before| !text[before].is_ascii_alphanumeric());
        apart && text[at + 2].is_ascii_digit() && text[at + 3].is_ascii_digit()
    };
    let letters = |at: &usize| text[*at].is_ascii_uppercase() && text[at + 1].is_ascii_uppercase();
    (0..text.len().saturating_sub(3)).filter(letters).filter(begins).any(|at| is_account(text, at))
}

fn is_account(text: &[u8], start: usize) -> bool {
    let Some(length) = length(&text[start..start + 2]) else { return false };
    let (mut number, mut at) = (Vec::new(), start);
    while number.len() < length {
        match text.get(at) {
            Some(byte) if byte.is_ascii_digit() || byte.is_ascii_uppercase() => number.push(*byte),
            Some(b' ') if text.get(at - 1) != Some(&b' ') => {}
            _ => return false,
        }
        at += 1;
    }
    text.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric()) && remainder(&number) == 1
}

fn length(country: &[u8]) -> Option<usize> {
    let entry = LENGTHS.split_ascii_whitespace().find(|entry| entry.as_bytes().starts_with(country))?;
    entry[2..].parse().ok()
}

/// Returns the remainder by 97 of the number with its first four characters behind the others, a letter being two digits.
fn remainder(number: &[u8]) -> u32 {
    let (front, rest) = number.split_at(4);
    rest.iter().chain(front).fold(0, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        letter => (sum * 100 + u32::from(letter - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_right_check_are_found() {
        for text in [
            "iban=DE89370400440532013000&x=1",
            "DE89 3704 0044 0532 0130 00",
            "\"GB29NWBK60161331926819\"",
            "FR1420041010050500013M02606.",
            "NO9386011117947",
        ] {
            assert!(is_in(text.as_bytes()), "{text}");
        }
        for text in [
            "DE88370400440532013000",
            "DE893704004405320130001",
            "XDE89370400440532013000",
            "ZZ89370400440532013000",
            "DE89 3704",
            "DE89  370400440532013000",
            "IT",
            "",
        ] {
            assert!(!is_in(text.as_bytes()), "{text}");
        }
    }
}
