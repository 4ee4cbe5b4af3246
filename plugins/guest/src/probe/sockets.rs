//! Sockets that something outside the bottle listens at: the engine's, a session bus, an agent of keys.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::{Finding, Request};

/// Where sockets are put.
const ROOTS: [&str; 9] = ["/run", "/var", "/tmp", "/home", "/root", "/dev", "/opt", "/mnt", "/srv"];
/// What of it is the bottle's own: the guard's socket, and that of the bottle's ssh-agent.
const OURS: [&str; 2] = ["/run/claude-bottle", "/run/claude-bottle-link"];
/// How deep it is looked, and at how much.
const MOST: (usize, usize) = (8, 100_000);

/// There is no socket but the bottle's own.
pub(super) fn sockets(_request: &Request) -> Finding {
    let mut finding = Finding::new("sockets");
    walk(&ROOTS.map(PathBuf::from), &mut |path, kind| {
        if kind.is_socket() && !OURS.iter().any(|ours| path.starts_with(ours)) {
            finding.broken.push(format!("a socket is at {}", path.display()));
        }
        finding.tries += 1;
    });
    finding
}

/// Shows everything below some directories to a function; links are not followed.
pub(super) fn walk(roots: &[PathBuf], see: &mut impl FnMut(&Path, fs::FileType)) {
    let (most_deep, most) = MOST;
    let mut seen = 0;
    let mut waiting: Vec<(PathBuf, usize)> = roots.iter().map(|root| (root.clone(), 0)).collect();
    while let Some((directory, depth)) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            // A directory says of what is mounted in it only what lies below.
            let Ok(kind) = fs::symlink_metadata(entry.path()).map(|found| found.file_type()) else {
                continue;
            };
            seen += 1;
            if seen > most {
                return;
            }
            see(&entry.path(), kind);
            if kind.is_dir() && depth < most_deep {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
}
