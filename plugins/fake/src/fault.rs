//! Faults a test asks for: what a bad plug-in does, on demand.

use claude_bottle_plugin_api::{Call, Context, Failure, FailureKind, Result};

/// What goes wrong, and in which verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    kind: String,
    verb: String,
}

impl Fault {
    /// Reads the setting `FAKE_FAULT`, `KIND:VERB`.
    pub(crate) fn from_context(context: &Context) -> Result<Option<Self>> {
        let Some(text) = context.setting("FAKE_FAULT") else { return Ok(None) };
        match text.split_once(':') {
            Some((kind @ ("panic" | "error" | "hang" | "wait" | "print"), verb)) => {
                Ok(Some(Self { kind: kind.to_owned(), verb: verb.to_owned() }))
            }
            _ => Err(Failure::new(FailureKind::Invalid, format!("setting FAKE_FAULT is `{text}`"))
                .hint("use panic:VERB, error:VERB, hang:VERB, wait:VERB or print:VERB")),
        }
    }

    /// Misbehaves when `verb` is the one.
    #[expect(
        clippy::panic_in_result_fn,
        clippy::panic,
        clippy::print_stdout,
        reason = "misbehaving is its job"
    )]
    pub(crate) fn strike(&self, verb: &str, call: &Call) -> Result<()> {
        if self.verb != verb {
            return Ok(());
        }
        tracing::debug!(verb, kind = self.kind, "fault injected");
        match self.kind.as_str() {
            "panic" => panic!("a fault was asked for in `{verb}`"),
            "hang" => hang(call),
            "wait" => wait(call),
            "print" => {
                println!("printed by the fake backend");
                Ok(())
            }
            _ => Err(Failure::new(FailureKind::Internal, format!("a fault was asked for in `{verb}`"))),
        }
    }
}

/// Never returns, and does not listen when it is cancelled.
fn hang(_call: &Call) -> ! {
    loop {
        std::thread::park();
    }
}

/// Takes long, and ends when it is cancelled, as a good verb does.
fn wait(call: &Call) -> Result<()> {
    loop {
        call.check()?;
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}
