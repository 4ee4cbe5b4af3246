//! Questions as clients ask them, and as none should.

use super::*;

/// A header with these counts.
fn header(flags: u8, counts: [u8; 4]) -> Vec<u8> {
    let [questions, answers, authorities, others] = counts;
    vec![7, 9, flags, 0, 0, questions, 0, answers, 0, authorities, 0, others]
}

fn labels(labels: &[&[u8]]) -> Vec<u8> {
    let length = |label: &&[u8]| u8::try_from(label.len()).unwrap();
    let mut name: Vec<u8> = labels.iter().flat_map(|label| [&[length(label)], *label].concat()).collect();
    name.push(0);
    name
}

fn asked(name: &[u8], kind: u16, class: u16) -> Vec<u8> {
    [&header(1, [1, 0, 0, 0])[..], name, &kind.to_be_bytes(), &class.to_be_bytes()].concat()
}

fn check(message: &[u8], expected: Result<&str, Option<Outcome>>) {
    let got = parse(message).map(|question| question.name);
    assert_eq!(got.as_deref().map_err(|error| *error), expected, "{}", message.escape_ascii());
}

#[test]
fn a_plain_question_is_read() {
    check(&asked(&labels(&[b"Api", b"EXAMPLE"]), 1, 1), Ok("api.example"));
    check(&asked(&labels(&[b"_x-1", b"test"]), 28, 1), Ok("_x-1.test"));
    check(&asked(&labels(&[]), 2, 1), Ok(""));
    // What no host name has stays visible, and can neither be a dot nor end a line.
    check(
        &asked(&labels(&[b"a.b", b"\r\n \0/@:\xff"]), 1, 1),
        Ok(r"a\046b.\013\010\032\000\047\064\058\255"),
    );
    // Options of the transport are passed over.
    let with_options = [&asked(&labels(&[b"a"]), 1, 1)[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
    check(&with_options, Ok("a"));
}

#[test]
fn the_longest_name_is_read_and_one_byte_more_is_not() {
    let full = [b'a'; 63];
    let longest = labels(&[&full, &full, &full, &full[..61]]);
    assert_eq!(longest.len(), 255);
    let text = [&full[..], &full, &full, &full[..61]].map(|label| String::from_utf8(label.to_vec()).unwrap());
    check(&asked(&longest, 1, 1), Ok(&text.join(".")));
    check(&asked(&labels(&[&full, &full, &full, &full[..62]]), 1, 1), Err(Some(Outcome::Malformed)));
}

#[test]
fn what_is_not_one_question_is_an_error() {
    let name = labels(&[b"a", b"test"]);
    let malformed = Err(Some(Outcome::Malformed));
    for counts in [[0, 0, 0, 0], [2, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 2]] {
        let message = [&header(1, counts)[..], &name, &[0, 1, 0, 1], &name, &[0, 1, 0, 1]].concat();
        check(&message, malformed);
    }
    // A label of 64 bytes, references to itself and forwards, and the two kinds of label that were never given out.
    for start in [&[64][..], &[0xc0, 0x0c], &[1, b'a', 0xc0, 0x0e], &[0xc0, 0xff], &[0x80, 1], &[0x41, 1]] {
        check(&asked(&[start, &[b'a'; 70], &[0]].concat(), 1, 1), malformed);
    }
    check(&asked(&name, 1, 3), Err(Some(Outcome::NotDone)));
    check(&asked(&name, 1, 255), Err(Some(Outcome::NotDone)));
    for opcode in 1..16 {
        let mut message = asked(&name, 1, 1);
        message[2] |= opcode << 3;
        check(&message, Err(Some(Outcome::NotDone)));
    }
}

#[test]
fn what_cannot_be_answered_is_not() {
    let mut answer = asked(&labels(&[b"a"]), 1, 1);
    answer[2] |= 0x80;
    check(&answer, Err(None));
    for length in 0..HEADER {
        check(&asked(&labels(&[b"a"]), 1, 1)[..length], Err(None));
    }
}

#[test]
fn a_message_that_is_cut_anywhere_or_changed_anywhere_is_read_without_harm() {
    let whole = asked(&labels(&[b"abc", b"def"]), 1, 1);
    for length in HEADER..whole.len() {
        check(&whole[..length], Err(Some(Outcome::Malformed)));
    }
    for at in 0..whole.len() {
        for value in 0..=255 {
            let mut changed = whole.clone();
            changed[at] = value;
            let outcome = match parse(&changed) {
                Ok(question) => {
                    assert!(question.name.bytes().all(|byte| byte.is_ascii_graphic()));
                    Outcome::Address(Ipv4Addr::LOCALHOST)
                }
                Err(Some(outcome)) => outcome,
                Err(None) => continue,
            };
            assert!(answer(&changed, outcome).len() <= changed.len() + 16);
        }
    }
}

#[test]
fn an_answer_repeats_the_question_alone() {
    let question = labels(&[b"A", b"test"]);
    let message = [&asked(&question, 1, 1)[..], b"and a secret behind it"].concat();
    let given = answer(&message, Outcome::Address(Ipv4Addr::new(127, 64, 0, 9)));
    let expected = [
        &[7, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..],
        &question,
        &[0, 1, 0, 1, 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 64, 0, 9],
    ];
    assert_eq!(given, expected.concat());
    let given = answer(&message, Outcome::NoSuchName);
    assert_eq!(given, [&[7, 9, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0][..], &question, &[0, 1, 0, 1]].concat());
    assert_eq!(answer(&message, Outcome::Malformed), [7, 9, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
}
