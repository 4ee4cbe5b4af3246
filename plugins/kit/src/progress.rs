//! How far a copy is, told in words now and then.

use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{Call, Event, EventState};

/// How often at most: each time crosses to the host as a document.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells the host how many bytes of a step are done.
pub struct Meter<'a> {
    call: &'a Call,
    step: &'static str,
    total: Option<u64>,
    told: Instant,
}

impl<'a> Meter<'a> {
    /// Begins to measure a step that was begun with this name.
    pub fn new(call: &'a Call, step: &'static str, total: Option<u64>) -> Self {
        Self { call, step, total: total.filter(|total| *total > 0), told: Instant::now() }
    }

    /// Takes how many bytes are done; most of these reports are not passed on.
    pub fn tell(&mut self, done: u64) {
        if self.told.elapsed() < PAUSE {
            return;
        }
        self.told = Instant::now();
        let done = self.total.map_or(done, |total| done.min(total));
        let words = match self.total {
            Some(total) => format!("{} of {}", size(done), size(total)),
            None => size(done),
        };
        self.call.event(&Event::new(self.step, EventState::Running).amount(done, self.total).message(words));
    }
}

/// Formats an amount of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let kib = bytes.div_ceil(1024);
    if kib < 10 * 1024 { format!("{kib} KiB") } else { format!("{} MiB", kib / 1024) }
}
