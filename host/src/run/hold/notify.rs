//! The user's command that tells of an agent that waits or has ended.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Held;

/// A terminal on which nothing changed for this long shows an agent that waits: one that works draws all the time.
const QUIET: Duration = Duration::from_secs(10);

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The agent waits for its user.
    Waits,
    /// The agent has ended.
    Ended,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Ended => "ended",
        }
    }
}

/// Tells by a command, which gets `CLAUDE_BOTTLE_EVENT` and `CLAUDE_BOTTLE_NAME`.
#[derive(Debug)]
pub struct Notify {
    command: Option<String>,
    /// When the terminal last changed, unless that was told already.
    changed: Option<Instant>,
}

impl Notify {
    /// Tells by this command; without one it tells nothing.
    pub fn new(command: Option<String>) -> Self {
        Self { command, changed: None }
    }

    /// Notes that the terminal changed, at this time.
    pub fn note_change(&mut self, now: Instant) {
        if self.command.is_some() {
            self.changed = Some(now);
        }
    }

    /// Returns how long until an agent that draws nothing counts as one that waits; `None` if nothing is to be told.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        Some((self.changed? + QUIET).saturating_duration_since(now))
    }

    /// Returns `true`, once, if the agent waits by now.
    pub fn waits(&mut self, now: Instant) -> bool {
        let is_over = self.patience(now).is_some_and(|left| left.is_zero());
        if is_over {
            self.changed = None;
        }
        is_over
    }

    /// Notes that the agent asked for attention.
    pub fn note_told(&mut self) {
        self.changed = None;
    }

    /// Runs the command, and does not wait for it.
    pub fn tell(&self, event: Event, held: &Held) {
        let Some(script) = &self.command else { return };
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).env("CLAUDE_BOTTLE_EVENT", event.name());
        command.env("CLAUDE_BOTTLE_NAME", &held.name).env("CLAUDE_BOTTLE_RUN", &held.run);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            // A thread takes its end, so that no dead process stays.
            Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
            Err(error) => tracing::debug!(%error, "run the command of `notify`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_waits_once_when_its_terminal_was_quiet() {
        let mut notify = Notify::new(Some("true".to_owned()));
        let start = Instant::now();
        assert_eq!(notify.patience(start), None);
        notify.note_change(start);
        assert_eq!(notify.patience(start), Some(QUIET));
        assert!(!notify.waits(start + QUIET / 2));
        assert!(notify.waits(start + QUIET));
        assert!(!notify.waits(start + 2 * QUIET));
        let mut silent = Notify::new(None);
        silent.note_change(start);
        assert_eq!(silent.patience(start), None);
    }
}
