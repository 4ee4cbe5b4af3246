//! Numbers of payment cards: 13 to 19 digits that begin like an issuer's and whose last is Luhn's check digit
//! (ISO/IEC 7812-1).

/// Beginnings of issuers' numbers, and how many digits those have; after <https://en.wikipedia.org/wiki/Payment_card_number>.
const ISSUERS: &[(std::ops::RangeInclusive<u32>, &[usize])] = &[
    (4_000..=4_999, &[13, 16, 19]),
    (5_100..=5_599, &[16]),
    (2_221..=2_720, &[16]),
    (3_400..=3_499, &[15]),
    (3_700..=3_799, &[15]),
    (6_011..=6_011, &[16, 19]),
    (6_440..=6_599, &[16, 19]),
    (3_528..=3_589, &[16, 19]),
    (3_000..=3_059, &[14]),
    (3_600..=3_699, &[14]),
    (3_800..=3_999, &[14]),
];

/// Returns `true` if the text holds the number of a card, together or in groups.
pub(super) fn is_in(text: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(u8::is_ascii_digit) {
        let (digits, end) = number(text, from + at);
        let is_apart = |index: Option<usize>| {
            index.and_then(|index| text.get(index)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
        };
        if is_apart((from + at).checked_sub(1)) && is_apart(Some(end)) && is_card(&digits) {
            return true;
        }
        from = end;
    }
    false
}

/// Returns the digits from here on, with at most one blank or hyphen between two, and where they end.
fn number(text: &[u8], start: usize) -> (Vec<u8>, usize) {
    let (mut digits, mut end) = (Vec::new(), start);
    let mut at = start;
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                end = at + 1;
            }
            b' ' | b'-' if end == at => {}
            _ => break,
        }
        at += 1;
    }
    (digits, end)
}

fn is_card(digits: &[u8]) -> bool {
    let Some(first) = digits.get(..4) else { return false };
    let beginning = first.iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit));
    let is_issued = |(range, lengths): &(std::ops::RangeInclusive<u32>, &[usize])| {
        range.contains(&beginning) && lengths.contains(&digits.len())
    };
    ISSUERS.iter().any(is_issued) && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| u32::from(*digit) * if index % 2 == 1 { 2 } else { 1 })
        .map(|value| value / 10 + value % 10)
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_right_check_digit_are_found() {
        for text in [
            "card=4111111111111111&x=1",
            "5555 5555 5555 4444",
            "\"3782-822463-10005\"",
            "6011111111111117",
            "3530111333300000.",
            "a 2223003122003222 b",
        ] {
            assert!(is_in(text.as_bytes()), "{text}");
        }
        for text in [
            "4111111111111112",
            "94111111111111111",
            "x4111111111111111",
            "41111111111111111111",
            "4111  1111  1111  1111",
            "1732867200000",
            "4000000000000000",
            "1234567890123456",
        ] {
            assert!(!is_in(text.as_bytes()), "{text}");
        }
    }
}
