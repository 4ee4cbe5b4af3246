//! Connections that are lost: nothing is lost with them, and nothing comes twice.

use bottle_guest::pod::client::{Link, Said};
use bottle_guest::pod::verbs::{Hello, Outcome, VERSION};

use crate::support::{Host, hear, hear_until};

/// How many lines a program prints: a hundred megabytes of them.
const LINES: usize = 2_000_000;
const WIDTH: usize = 50;

#[test]
fn a_hundred_megabytes_come_once_over_connections_that_are_killed() {
    let host = Host::new();
    let print = format!("perl -e 'printf(qq(%0{}d\\n), $_) for 0..{}'", WIDTH - 1, LINES - 1);
    let call = host.begin(&["sh", "-c", &print], None);
    let (mut rest, mut next, mut cuts) = (Vec::new(), 0, 0);
    let code = loop {
        match call.next().unwrap() {
            Said::Out(bytes) => {
                rest.extend(bytes);
                let whole = rest.len() / WIDTH * WIDTH;
                for line in rest.drain(..whole).collect::<Vec<_>>().chunks(WIDTH) {
                    let number: usize = std::str::from_utf8(line).unwrap().trim().parse().unwrap();
                    assert_eq!(number, next);
                    next += 1;
                }
                if next > (cuts + 1) * LINES / 6 {
                    cuts += 1;
                    host.pod.cut();
                }
            }
            Said::Result(Outcome::Ended { code }) => break code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((next, code, rest.len()), (LINES, 0, 0));
    assert!(cuts >= 5 && host.pod.connections() > cuts);
}

#[test]
fn input_goes_on_where_it_was_cut() {
    let host = Host::new();
    let call = host.begin(&["wc", "-c"], None);
    for _ in 0..5 {
        call.send(&vec![7; 2_000_000]).unwrap();
        host.pod.cut();
    }
    call.end().unwrap();
    assert_eq!(hear(&call).out.trim(), "10000000");
}

#[test]
fn a_terminal_is_taken_over_by_another_process() {
    let host = Host::new();
    let call =
        host.begin(&["sh", "-c", "echo begun; while read line; do echo got $line; done"], Some((80, 24)));
    hear_until(&call, "begun");
    let id = call.leave();
    let other = Link::open(host.pod.dial(), Hello { version: VERSION, grace: None }).unwrap();
    let taken = other.attach(id).unwrap();
    taken.send(b"here\r").unwrap();
    hear_until(&taken, "got here");
    taken.send(b"\x04").unwrap();
    assert_eq!(hear(&taken).code, 0);
}
