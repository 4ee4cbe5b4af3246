//! The chain of a log, and every way to break it.

use super::*;

fn log(count: u64) -> (Vec<Vec<u8>>, Head) {
    let mut head = Head::default();
    let lines = (1..=count).map(|number| {
        let line = head.stamp(format!(r#"{{"host":"h{number}.test"}}"#).as_bytes());
        head = head.after(&line);
        line
    });
    (lines.collect(), head)
}

/// Returns what is wrong with lines that were recorded to end at `recorded`.
fn breaks(lines: &[Vec<u8>], recorded: &Head) -> Vec<Break> {
    let mut head = Head::default();
    let mut breaks: Vec<_> = lines.iter().filter_map(|line| head.follow(line).err()).collect();
    breaks.extend(head.ends_at(recorded).err());
    breaks
}

#[test]
fn a_log_that_is_whole_has_no_break() {
    for count in [0, 1, 2, 50] {
        let (lines, head) = log(count);
        assert_eq!(breaks(&lines, &head), []);
        assert_eq!(Head::last(&lines.concat()).unwrap_or_default(), head);
    }
    let (lines, _) = log(1);
    let text = String::from_utf8(lines[0].clone()).unwrap();
    assert_eq!(text, format!("{{\"host\":\"h1.test\",\"line\":1,\"before\":\"{}\"}}\n", "0".repeat(64)));
}

#[test]
fn every_changed_byte_is_found_in_its_line() {
    let (lines, head) = log(3);
    for at in 0..lines.len() {
        for byte in 0..lines[at].len() - 1 {
            for bit in 0..8 {
                let mut changed = lines.clone();
                changed[at][byte] ^= 1 << bit;
                let found = breaks(&changed, &head);
                assert!(!found.is_empty(), "line {at}, byte {byte}, bit {bit}");
            }
        }
    }
    let mut changed = lines;
    changed[1][9] = b'x';
    assert_eq!(breaks(&changed, &head), [Break::Changed { line: 2 }]);
}

#[test]
fn what_was_cut_moved_and_added_is_named() {
    let (lines, head) = log(6);
    let without = |range: std::ops::Range<usize>| {
        let mut left = lines.clone();
        left.drain(range);
        breaks(&left, &head)
    };
    assert_eq!(without(0..1), [Break::Missing { from: 1, to: 1 }]);
    assert_eq!(without(2..4), [Break::Missing { from: 3, to: 4 }]);
    assert_eq!(without(4..6), [Break::Missing { from: 5, to: 6 }]);
    assert_eq!(without(0..6), [Break::Missing { from: 1, to: 6 }]);

    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    assert_eq!(breaks(&swapped, &head), [Break::Missing { from: 3, to: 3 }, Break::Moved { line: 3 }]);

    let mut twice = lines.clone();
    twice.insert(3, lines[1].clone());
    assert_eq!(breaks(&twice, &head), [Break::Moved { line: 2 }]);

    let mut foreign = lines.clone();
    foreign.insert(3, b"{\"host\":\"a.test\"}\n".to_vec());
    foreign.push(b"\n".to_vec());
    assert_eq!(breaks(&foreign, &head), [Break::Foreign, Break::Foreign]);

    let mut longer = lines.clone();
    longer.push(head.stamp(b"{\"host\":\"a.test\"}"));
    assert_eq!(breaks(&longer, &head), [Break::Added { from: 7, to: 7 }]);
}

/// Whoever knows how a chain is made can make another one. Its end is another.
#[test]
fn a_chain_that_was_made_again_ends_elsewhere() {
    let (_, head) = log(3);
    let mut forged = Head::default();
    let lines: Vec<_> = (0..3)
        .map(|_| {
            let line = forged.stamp(b"{\"host\":\"forged.test\"}");
            forged = forged.after(&line);
            line
        })
        .collect();
    assert_eq!(breaks(&lines, &head), [Break::Changed { line: 3 }]);
}

#[test]
fn a_hash_has_one_spelling() {
    let hash = LineHash::of(b"x");
    let text = serde_json::to_string(&hash).unwrap();
    assert_eq!(serde_json::from_str::<LineHash>(&text).unwrap(), hash);
    for wrong in [text.to_uppercase(), text.replacen(char::is_alphanumeric, "", 1), "\"+1\"".to_owned()] {
        assert!(serde_json::from_str::<LineHash>(&wrong).is_err(), "{wrong}");
    }
}
