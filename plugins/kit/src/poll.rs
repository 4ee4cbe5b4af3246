//! Waiting for descriptors, with a deadline that signals do not cut short.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// Waits until one of the descriptors is ready, and returns how many are; none when the time is over.
///
/// # Errors
/// Fails when the kernel cannot wait for them.
pub fn ready(fds: &mut [PollFd<'_>], patience: Duration) -> rustix::io::Result<usize> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(fds, Some(&timespec(left))) {
            // A signal that this process handles, such as the one for a terminal's new size.
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Turns a duration into what `poll` takes.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;

    #[test]
    fn the_time_ends_it() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let waited = ready(&mut [PollFd::new(&reader, PollFlags::IN)], Duration::from_millis(1));
        assert_eq!(waited, Ok(0));
    }
}
