//! The panic fence: a panic in a verb becomes a failure, inside the plug-in, where alone it can be caught.
//!
//! Each library has its own copy of the standard library, so neither the host's `catch_unwind` nor the host's
//! panic hook sees a plug-in's panic.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use crate::{Failure, FailureKind, Result};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whether this thread runs a verb, whose failure will tell of the panic.
    static FENCED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a verb of the backend `name`; its panic becomes a failure that names both.
pub(super) fn fenced<T>(name: &str, verb: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    FENCED.set(true);
    let caught = panic::catch_unwind(AssertUnwindSafe(run));
    FENCED.set(false);
    match caught {
        Ok(result) => result,
        Err(payload) => {
            // A panic payload may itself panic when dropped.
            std::mem::forget(payload);
            let cause = LAST.take().unwrap_or_else(|| "no message".to_owned());
            let mut failure =
                Failure::new(FailureKind::Panic, format!("backend `{name}` panicked in `{verb}`"));
            failure.causes.push(cause);
            Err(failure)
        }
    }
}

/// Sends panics of this library to the host's log, and keeps them from standard error.
pub(super) fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| panic::set_hook(Box::new(on_panic)));
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let text = match info.location() {
        Some(place) => format!("{message} (at {}:{})", place.file(), place.line()),
        None => message.to_owned(),
    };
    if FENCED.get() {
        tracing::debug!("panic: {text}");
    } else {
        tracing::error!(thread = std::thread::current().name(), "panic: {text}");
    }
    LAST.set(Some(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure_that_names_backend_and_verb() {
        let failure = fenced::<()>("x", "launch", || panic!("boom")).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Panic);
        assert_eq!(failure.message, "backend `x` panicked in `launch`");
    }
}
