//! An opened backend, as the commands use it: each verb on a thread of its own, with a deadline.
//!
//! A thread cannot be killed, so a verb that never returns is left behind: the command goes on with its teardown
//! and says what may be left. The main thread meanwhile draws progress.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use claude_bottle_egress_policy::GuardSecrets;
use claude_bottle_plugin_api::abi::host::{CallHost, Opened};
use claude_bottle_plugin_api::{Capability, Description, Failure, FailureKind, Result};

use crate::run::plugin_services::{CallServices, NoSecrets, Secrets};
use crate::ui::interrupt::Interrupt;
use crate::ui::progress::Progress;

/// How long a verb may go on after it was asked to end.
const GRACE: Duration = Duration::from_secs(20);
/// How often progress is drawn and interrupts are looked at while a verb runs.
const TICK: Duration = Duration::from_millis(100);

/// A verb's name and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    name: &'static str,
    deadline: Option<Duration>,
}

impl Verb {
    const fn new(name: &'static str, seconds: u64) -> Self {
        Self { name, deadline: Some(Duration::from_secs(seconds)) }
    }

    /// Is the engine there?
    pub const PROBE: Self = Self::new("probe", 15);
    /// Reads the host, a large working directory too.
    pub const PREPARE: Self = Self::new("prepare", 600);
    /// May build an image from nothing over a slow line.
    pub const LAUNCH: Self = Self::new("launch", 3600);
    /// May copy a large working directory.
    pub const PROVISION: Self = Self::new("provision", 1800);
    /// Takes as long as the agent does.
    pub const EXEC: Self = Self { name: "exec", deadline: None };
    /// Ends every program of a bottle.
    pub const HALT: Self = Self::new("halt", 30);
    /// Asks the git of a bottle for the commits made there.
    pub const COMMITS: Self = Self::new("exec", 60);
    /// May read a large working directory.
    pub const EXPORT: Self = Self::new("export", 1800);
    /// Gives back all but a bottle's files.
    pub const KEEP: Self = Self::new("keep", 60);
    /// Takes as long as the connection does.
    pub const CONNECT: Self = Self { name: "connect", deadline: None };
    /// Gives a bottle's proxy another policy.
    pub const RELOAD: Self = Self::new("reload", 30);
    /// Tears down.
    pub const CLOSE: Self = Self::new("close", 60);
    /// Asks the engine.
    pub const PREPARE_CLEANUP: Self = Self::new("prepare_cleanup", 60);
    /// Removes many things.
    pub const CLEANUP: Self = Self::new("cleanup", 600);
    /// Asks the engine.
    pub const LIST_ACTIVE: Self = Self::new("list_active", 30);
}

/// An opened backend.
#[derive(Clone)]
pub struct Backend {
    description: Description,
    opened: Arc<Opened>,
    interrupt: Arc<Interrupt>,
    progress: Arc<Progress>,
    secrets: Arc<dyn Secrets>,
}

impl Backend {
    /// Wraps an opened plug-in.
    pub fn new(
        description: Description,
        opened: Opened,
        interrupt: &Arc<Interrupt>,
        progress: &Arc<Progress>,
    ) -> Self {
        Self {
            description,
            opened: Arc::new(opened),
            interrupt: Arc::clone(interrupt),
            progress: Arc::clone(progress),
            secrets: Arc::new(NoSecrets),
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// Returns `true` if it declares this capability.
    pub fn offers(&self, capability: &Capability) -> bool {
        self.description.capabilities.contains(capability)
    }

    /// Returns the settings it reads, if it says so.
    pub fn settings(&self) -> Option<&[String]> {
        self.description.settings.as_deref()
    }

    /// Returns where its progress is shown.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Returns the same, for a thread of its own.
    pub fn shared_progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Returns the same, whose progress is not shown: for calls while the agent has the terminal.
    pub fn unseen(&self) -> Self {
        Self { progress: Arc::new(Progress::new(false)), ..self.clone() }
    }

    /// Returns what interrupts it, for a thread of its own.
    pub fn shared_interrupt(&self) -> Arc<Interrupt> {
        Arc::clone(&self.interrupt)
    }

    /// Returns what interrupts it.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Returns the secrets that were granted; `None` in a process that has no values of the run.
    pub fn granted(&self) -> Option<GuardSecrets> {
        self.secrets.all()
    }

    /// Grants the secrets of a run to the calls that follow.
    pub fn grant(&mut self, secrets: Arc<dyn Secrets>) {
        self.secrets = secrets;
    }

    /// Runs a verb that ends when the user interrupts.
    pub fn call<T: Send + 'static>(
        &self,
        verb: Verb,
        run: impl FnOnce(&Opened, &Arc<dyn CallHost>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(verb, &self.interrupt, run)
    }

    /// Runs a verb that ends when this is triggered.
    pub fn call_until<T: Send + 'static>(
        &self,
        interrupt: &Arc<Interrupt>,
        verb: Verb,
        run: impl FnOnce(&Opened, &Arc<dyn CallHost>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(verb, interrupt, run)
    }

    /// Runs a verb that tears down, and so goes on when the user interrupts.
    pub fn call_through<T: Send + 'static>(
        &self,
        verb: Verb,
        run: impl FnOnce(&Opened, &Arc<dyn CallHost>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let silent = Interrupt::silent()
            .map_err(|error| Failure::new(FailureKind::Internal, "make a pipe").caused_by(&error))?;
        self.run(verb, &silent, run)
    }

    fn run<T: Send + 'static>(
        &self,
        verb: Verb,
        interrupt: &Arc<Interrupt>,
        run: impl FnOnce(&Opened, &Arc<dyn CallHost>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        tracing::debug!(backend = self.name(), verb = verb.name, "call");
        let (progress, secrets) = (Arc::clone(&self.progress), Arc::clone(&self.secrets));
        let call: Arc<dyn CallHost> =
            Arc::new(CallServices { interrupt: Arc::clone(interrupt), progress, secrets });
        let (opened, (sender, receiver)) = (Arc::clone(&self.opened), channel());
        std::thread::Builder::new()
            .name(verb.name.to_owned())
            .spawn(move || {
                // The receiver is gone when the host has given up on this verb.
                drop(sender.send(run(&opened, &call)));
            })
            .map_err(|error| Failure::new(FailureKind::Internal, "start a thread").caused_by(&error))?;

        let mut patience = Patience::new(verb.deadline);
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(self.lost(verb, "ended without an answer")),
                Err(RecvTimeoutError::Timeout) => self.progress.tick(),
            }
            if patience.is_over(interrupt.triggered()) {
                return Err(self.lost(verb, "did not return in time"));
            }
        }
    }

    fn lost(&self, verb: Verb, what: &str) -> Failure {
        let message = format!("backend `{}` {what} from `{}`", self.name(), verb.name);
        Failure::new(FailureKind::Timeout, message)
            .hint("see what it left behind: claude-bottle cleanup --dry-run")
    }
}

/// How long a verb is waited for.
struct Patience {
    deadline: Option<Instant>,
    interrupted: bool,
}

impl Patience {
    fn new(deadline: Option<Duration>) -> Self {
        Self { deadline: deadline.map(|after| Instant::now() + hasty(after)), interrupted: false }
    }

    /// Returns whether the wait is over; an interrupt leaves a moment of grace.
    fn is_over(&mut self, interrupted: bool) -> bool {
        if interrupted && !self.interrupted {
            self.interrupted = true;
            let grace = Instant::now() + hasty(GRACE);
            self.deadline = Some(self.deadline.map_or(grace, |deadline| deadline.min(grace)));
        }
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Returns the time a verb really gets: all of it, but for the project's own tests of verbs that hang.
#[cfg(not(debug_assertions))]
fn hasty(duration: Duration) -> Duration {
    duration
}

/// Divides by `CLAUDE_BOTTLE_TEST_HASTE`, which release builds do not know.
#[cfg(debug_assertions)]
fn hasty(duration: Duration) -> Duration {
    let haste = std::env::var("CLAUDE_BOTTLE_TEST_HASTE").ok().and_then(|haste| haste.parse().ok());
    duration / haste.filter(|haste| *haste > 0).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The guide of plug-in authors has the deadline of each verb.
    #[test]
    fn the_guide_says_how_long_each_verb_may_take() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let guide = fs::read_to_string(root.join("docs/plugin-authors.md")).unwrap();
        let said = |name: &str| {
            let row = format!("| `{name}` | ");
            let rows = guide.lines().filter_map(|line| line.strip_prefix(&row)?.split(" | ").next());
            rows.filter(|cell| *cell == "none" || cell.ends_with(" s")).map(str::to_owned).collect::<Vec<_>>()
        };
        let verbs = [
            Verb::PROBE,
            Verb::PREPARE,
            Verb::LAUNCH,
            Verb::PROVISION,
            Verb::EXEC,
            Verb::HALT,
            Verb::EXPORT,
            Verb::KEEP,
            Verb::CONNECT,
            Verb::CLOSE,
            Verb::PREPARE_CLEANUP,
            Verb::CLEANUP,
            Verb::LIST_ACTIVE,
        ];
        for verb in verbs {
            let deadline =
                verb.deadline.map_or_else(|| "none".to_owned(), |after| format!("{} s", after.as_secs()));
            assert_eq!(said(verb.name), [deadline], "{}", verb.name);
        }
    }
}
