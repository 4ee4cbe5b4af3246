//! Limits: a process that takes more memory than the bottle has, and more processes than it may have.

use std::process::{Command, Stdio};
use std::thread::Builder;
use std::time::Duration;

use super::{Finding, Request};
use crate::lead::SELF;

/// How much is taken at once.
const PIECE: usize = 8 << 20;
/// By how much a limit may be missed: what the kernel counts is not exactly what was asked for, and a backend may add what the bottle's
/// own process 1 and its threads take.
const SLACK: (u64, u64) = (64 << 20, 96);
const STACK: usize = 16 * 1024;

/// A process that takes more memory is ended, or gets no more.
pub(super) fn memory(request: &Request) -> Finding {
    tried("limit-memory", "memory", request.memory_bytes.map(|limit| limit + SLACK.0))
}

/// A process that starts more than the limit gets no more.
pub(super) fn processes(request: &Request) -> Finding {
    tried("limit-processes", "processes", request.processes.map(|limit| limit + SLACK.1))
}

/// Lets a process of its own try to have so much of something; it exits with 0 when it has it.
fn tried(id: &'static str, what: &str, most: Option<u64>) -> Finding {
    let Some(most) = most else { return Finding::untried(id, "the bottle has no such limit") };
    let mut finding = Finding::new(id);
    let mut command = Command::new(SELF);
    command.args(["probe", what, &most.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
    finding.note(match command.status().map(|status| status.success()) {
        Ok(true) => {
            Some(format!("a program had {most} {}", if what == "memory" { "bytes of memory" } else { what }))
        }
        Ok(false) => None,
        Err(error) => Some(format!("the try could not be made: {error}")),
    });
    finding
}

/// Takes so much memory, and returns 0 when it has it all.
pub fn eat(bytes: &std::ffi::OsStr) -> u8 {
    let Some(bytes) = bytes.to_str().and_then(|text| text.parse::<usize>().ok()) else { return 2 };
    let mut taken: Vec<Vec<u8>> = Vec::new();
    while taken.len() * PIECE < bytes {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(PIECE).is_err() {
            return 1;
        }
        // Written, since what is only asked for counts nowhere.
        piece.resize(PIECE, 1);
        taken.push(piece);
    }
    std::hint::black_box(&taken);
    0
}

/// Starts so many threads, which count as processes, and returns 0 when all of them are there.
pub fn fill(count: &std::ffi::OsStr) -> u8 {
    let Some(count) = count.to_str().and_then(|text| text.parse::<usize>().ok()) else { return 2 };
    for _ in 0..count {
        let begun = Builder::new().stack_size(STACK).spawn(|| std::thread::sleep(Duration::from_secs(3600)));
        if begun.is_err() {
            return 1;
        }
    }
    0
}
