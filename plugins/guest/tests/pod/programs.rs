//! Programs that process 1 starts: their streams, terminals, signals and ends.

use bottle_guest::pod::client::Said;
use bottle_guest::pod::verbs::{Outcome, Side, Verb};

use crate::support::{Host, Ran, hear, hear_until};

#[test]
fn a_program_has_its_streams_and_its_exit_code() {
    let host = Host::new();
    let ran = host.sh("echo out; echo err >&2; exit 7");
    assert_eq!(ran, Ran { out: "out\n".into(), err: "err\n".into(), code: 7 });
    let call = host.begin(&["sh", "-c", "cat; echo end"], None);
    call.send(b"first ").unwrap();
    call.send(b"second\n").unwrap();
    call.end().unwrap();
    assert_eq!(hear(&call).out, "first second\nend\n");
    assert_eq!(host.sh("kill -TERM $$").code, 143);
    let missing = host.begin(&["no-such-program"], None);
    assert_eq!(missing.next().unwrap(), Said::Result(Outcome::Missing));
}

#[test]
fn input_and_output_of_many_bytes_are_whole() {
    let host = Host::new();
    // Sixty-four megabytes in, and their hash; then as many out.
    let bytes: Vec<u8> = (0..64_u32 << 20).map(|at| (at ^ at >> 8) as u8).collect();
    let call = host.begin(&["sha256sum"], None);
    call.send(&bytes).unwrap();
    call.end().unwrap();
    let of_bytes = {
        use std::io::Write;
        let mut sum = std::process::Command::new("sha256sum")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        sum.stdin.take().unwrap().write_all(&bytes).unwrap();
        String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(hear(&call).out, of_bytes);
    let ran = host.sh("head -c 20000000 /dev/zero; echo x >&2");
    assert_eq!((ran.out.len(), ran.err.as_str(), ran.code), (20_000_000, "x\n", 0));
}

#[test]
fn a_program_that_reads_no_input_is_signalled_all_the_same() {
    let host = Host::new();
    let call = host.begin(&["sh", "-c", "echo begun; exec sleep 600"], None);
    hear_until(&call, "begun");
    // More than the pipe and the window hold is not waited for.
    call.send(&vec![0; 900_000]).unwrap();
    call.signal(15).unwrap();
    assert_eq!(hear(&call).code, 143);
}

#[test]
fn a_terminal_has_the_size_it_is_given() {
    let host = Host::new();
    let script = "stty size; read line; stty size; echo got $line; tty";
    let call = host.begin(&["sh", "-c", script], Some((80, 24)));
    hear_until(&call, "24 80");
    call.resize(132, 50).unwrap();
    call.send(b"words\r").unwrap();
    let ran = hear(&call);
    assert!(ran.out.contains("50 132") && ran.out.contains("got words"), "{ran:?}");
    assert_eq!((ran.err.as_str(), ran.code), ("", 0));
}

#[test]
fn an_interrupt_typed_at_a_terminal_reaches_the_program() {
    let host = Host::new();
    let call = host.begin(
        &["sh", "-c", "trap 'echo caught; exit 3' INT; echo begun; while :; do sleep 1; done"],
        Some((80, 24)),
    );
    hear_until(&call, "begun");
    call.send(b"\x03").unwrap();
    let ran = hear(&call);
    assert_eq!((ran.out.contains("caught"), ran.code), (true, 3));
}

#[test]
fn a_program_is_suspended_and_goes_on() {
    let host = Host::new();
    let call = host.begin(&["sh", "-c", "echo begun; kill -STOP $$; echo again"], Some((80, 24)));
    hear_until(&call, "begun");
    let said = std::iter::from_fn(|| call.next().ok()).find(|said| !matches!(said, Said::Out(_)));
    assert_eq!(said, Some(Said::Stopped));
    call.signal(18).unwrap();
    assert!(hear(&call).out.contains("again"));
}

#[test]
fn several_programs_run_at_once() {
    let host = Host::new();
    let calls: Vec<_> =
        (0..8).map(|_| host.begin(&["sh", "-c", "read line; echo got $line"], None)).collect();
    for (index, call) in calls.iter().enumerate().rev() {
        call.send(format!("{index}\n").as_bytes()).unwrap();
        assert_eq!(hear(call).out, format!("got {index}\n"));
    }
    // All of it by one connection.
    assert_eq!(host.pod.connections(), 1);
}

#[test]
fn a_program_whose_call_is_dropped_is_killed() {
    let host = Host::new();
    let call = host.begin(&["sh", "-c", "echo begun; exec sleep 4711"], None);
    hear_until(&call, "begun");
    drop(call);
    let gone = "until ! grep -qs 4711 /proc/[0-9]*/cmdline; do sleep 0.01; done; echo gone";
    // The shell's own words are not to be found.
    assert_eq!(host.sh(&gone.replace("4711", "47[1]1")).out, "gone\n");
}

#[test]
fn the_guest_program_is_found_by_its_name() {
    let host = Host::new();
    let serve = "perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,6); bind(S,sockaddr_in(8081,INADDR_LOOPBACK)); listen(S,9); \
                 $|=1; print qq(listens\\n); accept(C,S); print C qq(from inside\\n)'";
    let server = host.begin(&["sh", "-c", serve], None);
    hear_until(&server, "listens");
    let joined = host.run(&["bottle-guest", "join", "8081"]);
    assert_eq!((joined.out.as_str(), joined.code), ("from inside\n", 0));
    assert!(joined.err.contains("joined"), "{joined:?}");
}

#[test]
fn a_halted_bottle_runs_nothing_and_keeps_its_files() {
    let host = Host::new();
    let call = host.begin(&["sh", "-c", "echo kept > /tmp/file; echo begun; exec sleep 600"], None);
    hear_until(&call, "begun");
    assert_eq!(host.ask(Side::Bottle, &Verb::Halt, b""), Outcome::Done);
    assert_eq!(hear(&call).code, 137);
    let again = host.begin(&["true"], None);
    assert_eq!(
        again.next().unwrap(),
        Said::Result(Outcome::Failed { message: "the bottle is halted".into() })
    );
    let archive = crate::files::get(&host, "/tmp/file");
    assert_eq!(archive, [("file".to_owned(), b"kept\n".to_vec())]);
}
