//! Whose number counts where, and what is seen of processes of this machine.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use super::*;

fn owner(host: &str, boot: &str, machine: &str, namespace: u64) -> Owner {
    let mut owner = Owner::new(host, 7, 1);
    (owner.boot_id, owner.machine_id, owner.pid_namespace) = (boot.to_owned(), machine.to_owned(), namespace);
    owner
}

#[test]
fn a_number_counts_in_its_own_pid_namespace_of_its_own_kernel_alone() {
    let me = owner("here", "boot", "machine", 5);
    let cases = [
        (owner("here", "boot", "machine", 5), Place::Here),
        // A container with another name, in the pid namespace of the machine.
        (owner("there", "boot", "", 5), Place::Here),
        (owner("here", "boot", "machine", 6), Place::OtherNamespace),
        (owner("there", "boot", "", 6), Place::OtherNamespace),
        (owner("here", "boot", "machine", 0), Place::OtherNamespace),
        (owner("here", "before", "machine", 5), Place::EarlierBoot),
        (owner("here", "before", "", 5), Place::OtherKernel),
        (owner("here", "before", "another", 5), Place::OtherKernel),
        (owner("there", "before", "another", 5), Place::OtherHost),
        // From before contract 1.1.
        (owner("here", "", "", 0), Place::Here),
        (owner("there", "", "", 0), Place::OtherHost),
    ];
    for (owner, expected) in cases {
        assert_eq!(place(&owner, &me), expected, "{owner:?}");
    }
    // A system that says nothing of itself goes by the host's name.
    let poor = owner("here", "", "", 0);
    assert_eq!(place(&me, &poor), Place::Here);
}

#[test]
fn this_process_is_alive_and_its_number_with_another_start_is_not() {
    let me = this_process();
    assert_eq!(is_alive(&me), Ok(true));
    let mut later = me.clone();
    later.started += 1;
    assert_eq!(is_alive(&later), Ok(false));
    assert_eq!(is_alive(&Owner::new(me.host.clone(), me.pid, me.started + 1)), Ok(false));
    let reason = is_alive(&Owner::new("another-machine", me.pid, me.started)).unwrap_err();
    assert!(reason.contains("`another-machine`"), "{reason}");
}

#[test]
fn a_process_that_ended_is_dead_before_and_after_it_is_reaped() {
    let mut child = Command::new("true").spawn().unwrap();
    let mut owner = this_process();
    owner.pid = child.id();
    owner.started = system::start_time(Path::new(&format!("/proc/{}", child.id()))).unwrap();
    child.wait().unwrap();
    assert_eq!(is_alive(&owner), Ok(false));
}

/// Runs a shell as the first process of another pid namespace, and passes its words on when it is there.
fn in_another_namespace(script: &str) -> std::process::Child {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare
        .args(["sh", "-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    unshare.spawn().unwrap()
}

#[test]
fn a_process_of_a_namespace_below_is_seen_by_who_may_look_at_all_and_judged_by_nobody_else() {
    use std::io::{BufRead, BufReader};
    let mut child =
        in_another_namespace("stat -Lc %i /proc/self/ns/pid; cut -d' ' -f22 /proc/1/stat; read end");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap().parse::<u64>().unwrap();
    let mut inside = this_process();
    (inside.pid_namespace, inside.pid, inside.started) = (next(), 1, next());
    let sees_all = std::fs::metadata("/proc/1/ns/pid").is_ok();
    let judged = |alive: bool| sees_all.then_some(alive);
    assert_eq!(is_alive(&inside).ok(), judged(true));
    let mut never = inside.clone();
    never.started += 1;
    assert_eq!(is_alive(&never).ok(), judged(false));
    drop(child.stdin.take());
    child.wait().unwrap();
    // Only the first namespace of a machine sees that one is gone.
    assert_ne!(is_alive(&inside), Ok(true));
}
