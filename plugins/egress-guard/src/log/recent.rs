//! The last decisions in memory, for a host that reads them over a connection.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much of them is kept.
const MOST_BYTES: usize = 4 << 20;

/// The lines, which are added by one thread and read by others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    added: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many were kept before these.
    dropped: u64,
    is_over: bool,
}

impl Recent {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub(super) fn add(&self, line: &[u8]) {
        let mut lines = self.lines();
        lines.bytes += line.len();
        lines.kept.push_back(line.to_vec());
        while lines.bytes > MOST_BYTES {
            let Some(first) = lines.kept.pop_front() else { break };
            lines.bytes -= first.len();
            lines.dropped += 1;
        }
        self.shared.added.notify_all();
    }

    /// Says that no more come.
    pub(crate) fn end(&self) {
        self.lines().is_over = true;
        self.shared.added.notify_all();
    }

    /// Waits for lines behind a number of them, for `patience` at most, and returns them with the number of the last. `None` is the
    /// end. Lines that are kept no longer are left out.
    pub(crate) fn after(&self, known: u64, patience: Duration) -> Option<(Vec<u8>, u64)> {
        let count = |lines: &Lines| lines.dropped + lines.kept.len() as u64;
        let waits = |lines: &mut Lines| count(lines) <= known && !lines.is_over;
        let lines = self.lines();
        let waited = self.shared.added.wait_timeout_while(lines, patience, waits);
        let lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        let skipped = usize::try_from(known.saturating_sub(lines.dropped)).unwrap_or(usize::MAX);
        let mut text = Vec::new();
        let mut last = known.max(lines.dropped);
        for line in lines.kept.iter().skip(skipped) {
            if !text.is_empty() && text.len() + line.len() > PIECE {
                break;
            }
            text.extend_from_slice(line);
            last += 1;
        }
        (!text.is_empty() || !lines.is_over).then_some((text, last))
    }
}

/// How much is returned at once, but for a line that is longer.
const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn lines_are_told_from_where_a_reader_is() {
        let recent = Recent::default();
        assert_eq!(recent.after(0, NOW), Some((Vec::new(), 0)));
        recent.add(b"one\n");
        recent.add(b"two\n");
        assert_eq!(recent.after(0, NOW), Some((b"one\ntwo\n".to_vec(), 2)));
        assert_eq!(recent.after(1, NOW), Some((b"two\n".to_vec(), 2)));
        recent.end();
        assert_eq!(recent.after(1, NOW), Some((b"two\n".to_vec(), 2)));
        assert_eq!(recent.after(2, NOW), None);
    }

    #[test]
    fn the_oldest_go_first() {
        let recent = Recent::default();
        (0..5).for_each(|byte| recent.add(&[byte; MOST_BYTES / 4]));
        let (text, last) = recent.after(0, NOW).unwrap();
        assert_eq!((text[0], last), (1, 2));
        let (text, last) = recent.after(4, NOW).unwrap();
        assert_eq!((text[0], last), (4, 5));
    }
}
