//! What the process that asks for a bottle is must not decide what the bottle is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use claude_bottle_plugin_api::Backend;

use crate::support::{AGAIN, Bench, programs};

/// In a process of its own: the directory its answer goes to.
const CALLER: &str = "BUBBLEWRAP_TESTS_CALLER";

/// Everything that a program inherits, and what modes the bottle's own files have.
const INHERITED: &str = "umask; grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f19 /proc/self/stat; \
    cat /proc/self/limits; for fd in /proc/self/fd/*; do echo $fd; done; pwd; env | sort; \
    find /etc /home /tmp /run -xdev -printf '%M %U %p\\n' 2>/dev/null | grep -v '^l' | sort -k3";

/// Every signal but those that cannot be ignored, those of faults, which end a program all the same, and the end of
/// children, which the host sees to.
const IGNORE: &str = "use POSIX; for my $signal (1..64) { next if grep { $_ == $signal } (4, 8, 9, 11, 17, 19); \
    eval { POSIX::sigaction($signal, POSIX::SigAction->new('IGNORE')) } } exec @ARGV";

const BLOCK: &str = "use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(1..31, 34..64)); exec @ARGV";

/// Runs the probe below a wrapper, and returns what it saw inside and what the plan does not promise.
fn inside(wrapper: &[&str]) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut words = wrapper.iter().map(PathBuf::from);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(std::env::current_exe().unwrap()).args(["--exact", "caller::probe"]);
    command.env(CALLER, dir.path()).env(AGAIN, "1").current_dir(dir.path());
    let status = command.status().unwrap();
    let read = |name| fs::read_to_string(dir.path().join(name));
    let answer = (read("inside"), read("plan"));
    let (Ok(inside), Ok(plan)) = answer else { panic!("{wrapper:?}: {status}") };
    (inside, plan)
}

/// Runs in a process of its own, which is an unusual one.
#[test]
fn probe() {
    let Some(dir) = std::env::var_os(CALLER).map(PathBuf::from) else { return };
    let bench = Bench::in_dir(&dir);
    let spec = bench.spec(&format!("caller-{}", std::process::id()));
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap();
    let live = bench.launch(&spec);
    let name = Path::new(&plan.name).to_string_lossy().into_owned();
    let said = live.sh(INHERITED);
    assert_eq!(said.code, 0, "{said:?}");
    fs::write(dir.join("inside"), said.out.replace(&name, "NAME")).unwrap();
    fs::write(dir.join("plan"), plan.limitations.join("\n")).unwrap();
}

#[test]
fn the_callers_process_does_not_decide_what_a_bottle_is() {
    programs();
    let shell = |script: &'static str| ["sh", "-c", script, "sh"].to_vec();
    let (usual, _) = inside(&["env"]);
    // Two signals are the C library's own; where a caller ignores them, nothing that uses it can change that.
    let ignored = usual.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap() & !(1 << 31 | 1 << 32);
    assert!(ignored == 0 && usual.starts_with("0022\n"), "{usual}");
    let cases = [
        ("ignored signals", vec!["perl", "-e", IGNORE]),
        ("blocked signals", vec!["perl", "-e", BLOCK]),
        ("an open mask", shell("umask 0; exec \"$@\"")),
        ("a closed mask", shell("umask 077; exec \"$@\"")),
        (
            "low limits",
            shell("ulimit -S -n 64; ulimit -S -f 4096; ulimit -S -s 512; ulimit -S -t 60; exec \"$@\""),
        ),
        ("open descriptors", shell("exec 9</etc/hostname 8>/dev/null \"$@\"")),
        ("a directory that is gone", shell("mkdir gone; cd gone; rmdir ../gone; exec \"$@\"")),
        ("no home", shell("unset HOME; exec \"$@\"")),
        ("closed streams", shell("exec \"$@\" <&- >&- 2>&-")),
    ];
    for (what, wrapper) in cases {
        assert_eq!(differences(&inside(&wrapper).0, &usual), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn what_only_root_may_raise_is_raised_or_told() {
    programs();
    let (usual, promised) = inside(&["env"]);
    assert!(!promised.contains("calling process"), "{promised}");
    let cases = [
        ("niceness", vec!["nice", "-n", "5"]),
        ("size of a file", vec!["sh", "-c", "ulimit -f 100000; exec \"$@\"", "sh"]),
        ("processor time", vec!["sh", "-c", "ulimit -t 600; exec \"$@\"", "sh"]),
        ("open files", vec!["sh", "-c", "ulimit -n 256; exec \"$@\"", "sh"]),
    ];
    for (what, wrapper) in cases {
        let (inside, plan) = inside(&wrapper);
        let differences = differences(&inside, &usual);
        assert_eq!(differences.is_empty(), !plan.contains(what), "{what}: {plan}: {differences:?}");
    }
}

/// Returns the lines that only one of two texts has.
fn differences(one: &str, other: &str) -> Vec<String> {
    let lines = one.lines().filter(|line| !other.lines().any(|another| another == *line));
    let others = other.lines().filter(|line| !one.lines().any(|another| another == *line));
    lines.chain(others).map(str::to_owned).collect()
}
