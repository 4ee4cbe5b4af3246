//! Files: the host's are not inside, ours cannot be written, and a secret that the guard holds is in none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::sockets::walk;
use super::{Finding, Request};

/// What of a file is searched.
const MOST_BYTES: u64 = 1 << 20;
/// Where the agent can read what was put into the bottle.
const READ: [&str; 8] = ["/run", "/tmp", "/home", "/root", "/etc", "/opt", "/var", "/dev/shm"];
/// What decides about programs and the kernel. A new file in a directory is tried by a name that is not there.
const WRITTEN: [&str; 11] = [
    "/etc/passwd",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/ld.so.preload",
    "/etc/claude-bottle-probe",
    "/usr/bin/claude-bottle-probe",
    "/run/claude-bottle/probe",
    "/run/claude-bottle-link/probe",
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
];
/// Variables that name what is trusted; where the guard opens tunnels they name its files.
const TRUST: [&str; 3] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"];

/// A file that was made on the host is not inside, by its own path and by those of processes.
pub(super) fn of_the_host(request: &Request) -> Finding {
    let mut finding = Finding::new("files");
    for (file, text) in &request.files {
        for root in ["", "/proc/1/root", "/proc/self/root", "/host", "/mnt"] {
            let path = format!("{root}{file}");
            let found = contains(Path::new(&path), text).unwrap_or(false);
            finding.note(found.then(|| format!("the host's file {path} can be read")));
        }
    }
    finding
}

/// Nothing that decides about programs, names or the kernel can be written.
pub(super) fn of_ours(_request: &Request) -> Finding {
    let mut finding = Finding::new("written");
    for path in WRITTEN {
        let was_there = Path::new(path).exists();
        let opened = OpenOptions::new().append(true).create(!path.starts_with("/proc")).open(path);
        if opened.is_ok() && !was_there {
            fs::remove_file(path).ok();
        }
        finding.note(opened.is_ok().then(|| format!("{path} can be written")));
    }
    finding
}

/// Where the guard opens tunnels, no file of authorities can be written or replaced.
pub(super) fn trust(_request: &Request) -> Finding {
    let files: Vec<PathBuf> =
        TRUST.into_iter().filter_map(|name| Some(std::env::var_os(name)?.into())).collect();
    let mut finding = Finding::new("trust");
    for file in files.iter().chain(&[PathBuf::from("/etc/ssl/certs/ca-certificates.crt")]) {
        let written = OpenOptions::new().append(true).open(file).is_ok();
        finding.note(written.then(|| format!("{} can be written", file.display())));
        let Some(directory) = file.parent() else { continue };
        let new = directory.join("claude-bottle-probe");
        let replaced = File::create_new(&new).is_ok();
        if replaced {
            fs::remove_file(&new).ok();
        }
        finding.note(replaced.then(|| format!("{} can be replaced", file.display())));
    }
    finding
}

/// A value that the guard holds is in no variable, argument or file.
pub(super) fn secrets(request: &Request) -> Finding {
    if request.secrets.is_empty() {
        return Finding::untried("secrets", "the bottle's manifest has nothing under `secrets`");
    }
    let mut finding = Finding::new("secrets");
    let mut look = |path: &Path| {
        finding.tries += 1;
        if request.secrets.iter().any(|secret| contains(path, secret).unwrap_or(false)) {
            finding.broken.push(format!("a secret is in {}", path.display()));
        }
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()) {
        ["environ", "cmdline"].iter().for_each(|file| look(&process.path().join(file)));
    }
    walk(&READ.map(PathBuf::from), &mut |path, kind| {
        if kind.is_file() {
            look(path);
        }
    });
    finding
}

/// Returns `true` if a text is in the beginning of a file.
fn contains(path: &Path, text: &str) -> io::Result<bool> {
    let mut found = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut found)?;
    Ok(!text.is_empty() && found.windows(text.len()).any(|piece| piece == text.as_bytes()))
}
