//! The lifeline: a host that is silent for longer than its grace has gone, and its bottle with it.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::End;

/// When the host is given up.
#[derive(Debug, Clone)]
pub(super) struct Lifeline {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Nothing is for ever.
    due: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Lifeline {
    /// Begins it: for so long there need be no host; for ever, if that is nothing.
    pub(super) fn begin(wait: Duration, ends: Sender<End>) -> io::Result<Self> {
        let due = (wait > Duration::ZERO).then(|| Instant::now() + wait);
        let lifeline = Self { shared: Arc::new(Shared { due: Mutex::new(due), changed: Condvar::new() }) };
        let of_thread = lifeline.clone();
        Builder::new().name("lifeline".to_owned()).spawn(move || {
            of_thread.wait();
            ends.send(End::LifelineLost).ok();
        })?;
        Ok(lifeline)
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.shared.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a sign of the host.
    pub(super) fn renew(&self, grace: Duration) {
        *self.due() = Some(Instant::now() + grace);
        self.shared.changed.notify_one();
    }

    /// Waits until it is lost.
    fn wait(&self) {
        let mut due = self.due();
        loop {
            let changed = &self.shared.changed;
            due = match *due {
                None => changed.wait(due).unwrap_or_else(PoisonError::into_inner),
                Some(at) => match at.checked_duration_since(Instant::now()) {
                    None | Some(Duration::ZERO) => return,
                    Some(left) => changed.wait_timeout(due, left).unwrap_or_else(PoisonError::into_inner).0,
                },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_host_that_never_comes_is_not_waited_for() {
        let (ends, end) = channel();
        let _lifeline = Lifeline::begin(Duration::from_millis(1), ends).unwrap();
        assert_eq!(end.recv().unwrap(), End::LifelineLost);
    }

    #[test]
    fn a_sign_of_the_host_is_a_new_grace() {
        let (ends, end) = channel();
        let lifeline = Lifeline::begin(Duration::ZERO, ends).unwrap();
        lifeline.renew(Duration::from_secs(3600));
        assert!(end.try_recv().is_err());
        lifeline.renew(Duration::from_millis(1));
        assert_eq!(end.recv().unwrap(), End::LifelineLost);
    }
}
