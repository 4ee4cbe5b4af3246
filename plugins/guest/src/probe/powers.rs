//! What the agent's user may do, and whose processes it sees.

use std::fs;

use super::{Finding, Request};

/// Lines of `/proc/self/status`, and what they have to say: <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>.
const WANTED: [(&str, &str); 7] = [
    ("CapInh", "0000000000000000"),
    ("CapPrm", "0000000000000000"),
    ("CapEff", "0000000000000000"),
    ("CapBnd", "0000000000000000"),
    ("CapAmb", "0000000000000000"),
    ("NoNewPrivs", "1"),
    ("Seccomp", "2"),
];

/// No capability, no way to get one, a call filter, and a user that is not root.
pub(super) fn powers(_request: &Request) -> Finding {
    let mut finding = Finding::new("powers");
    let status = match fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) => return Finding::untried("powers", &format!("cannot read /proc/self/status: {error}")),
    };
    for (name, wanted) in WANTED {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = value.map(str::trim);
        finding.note((value != Some(wanted)).then(|| format!("{name} is {}", value.unwrap_or("not shown"))));
    }
    let is_root = rustix::process::geteuid().is_root();
    finding.note(is_root.then(|| "the agent's user is root".to_owned()));
    finding
}

/// Process 1 is the bottle's own, and its memory is shut.
pub(super) fn processes(_request: &Request) -> Finding {
    let mut finding = Finding::new("processes");
    let first = fs::read("/proc/1/cmdline").unwrap_or_default();
    let is_ours =
        first.split(|byte| *byte == 0).next().is_some_and(|program| program.ends_with(b"bottle-guest"));
    let name = || String::from_utf8_lossy(&first).replace('\0', " ");
    finding.note((!is_ours).then(|| format!("process 1 is `{}`", name().trim())));
    let opened = fs::File::open("/proc/1/mem").is_ok();
    finding.note(opened.then(|| "the memory of process 1 can be opened".to_owned()));
    finding
}
