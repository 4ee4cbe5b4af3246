//! The commands that start and signal a program in the container. See [`bottle_guest::container`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bottle_guest::container::Start;
use claude_bottle_kit::LOCALE;
use claude_bottle_plugin_api::{ErrorExt, ExecIo, ExecRequest, ExecRole, FailureKind, Result};
use rustix::process::Signal;

use crate::image::guard::GUEST;

/// Returns a token that is unique among the executions in this bottle, across processes.
pub(super) fn token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    format!("{}-{nanos}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the command that starts a program.
pub(super) fn words(
    token: &str,
    io: &ExecIo,
    request: &ExecRequest,
    command: Vec<String>,
) -> Result<Vec<String>> {
    // The caller reports an agent that is missing. For another program the guest prints the message, and exits as a shell does.
    let missing = command.first().filter(|_| request.role != ExecRole::Agent);
    let start = Start {
        token: token.to_owned(),
        has_terminal: request.tty,
        size: io.terminal_size().filter(|_| request.tty),
        defaults: vec![(LOCALE.0.to_owned(), LOCALE.1.to_owned())],
        missing: missing.map(|program| format!("error: the program `{program}` is not in this bottle")),
    };
    let start =
        serde_json::to_string(&start).failure(FailureKind::Internal, || "cannot describe a program")?;
    Ok([GUEST.to_owned(), "exec".to_owned(), start].into_iter().chain(command).collect())
}

/// Returns the command that ends well when the program of an execution was not there.
pub(super) fn was_missing(token: &str) -> Vec<String> {
    [GUEST, "missing", token].map(str::to_owned).into()
}

/// Returns the command that signals a program and all it has started.
pub(super) fn signal(token: &str, signal: Signal) -> Vec<String> {
    [GUEST, "signal", token, &signal.as_raw().to_string()].map(str::to_owned).into()
}
