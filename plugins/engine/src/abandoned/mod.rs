//! Requests that the engine still works on although the process that made them is gone.
//!
//! A connection whose client was killed stays open on the engine's side until the engine is through with what was asked on
//! it, and the kernel lists it until then, with the other side shut. So it is seen, and not guessed by waiting, when nothing
//! more comes of what a dead process had asked for.
//!
//! This works for an engine's own Unix socket, also for a user without rights and in whatever namespaces the engine is: the
//! engine's end of a connection is listed where its client's is. Of an engine at a TCP address, or behind a program that
//! passes its socket on, nothing is seen.

#[cfg(target_os = "linux")]
mod sock_diag;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Connections to an engine whose client is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Abandoned {
    /// Whether there are any that the engine has not taken yet.
    pub waiting: bool,
    /// Those that the engine works on, by the number that names each for as long as it exists.
    pub taken: BTreeSet<u32>,
}

impl Abandoned {
    /// Returns those to the engine's socket.
    ///
    /// # Errors
    /// Fails when the kernel does not tell.
    pub fn at(socket: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        return sock_diag::connections(socket);
        #[cfg(not(target_os = "linux"))]
        Err(io::Error::new(io::ErrorKind::Unsupported, socket.display().to_string()))
    }

    /// Returns `true` if the engine still has any of these, by what there is now. Others that came to it are not waited for.
    pub fn remain(&mut self, now: Self) -> bool {
        if self.waiting {
            // Any of them may be one that was waiting.
            self.taken = now.taken;
        } else {
            self.taken.retain(|connection| now.taken.contains(connection));
        }
        self.waiting &= now.waiting;
        self.waiting || !self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_a_moment_are_followed_to_their_end_and_no_others() {
        let seen = |waiting, taken: &[u32]| Abandoned { waiting, taken: taken.iter().copied().collect() };
        let mut asked = seen(true, &[3]);
        assert!(asked.remain(seen(true, &[3])));
        assert!(asked.remain(seen(false, &[3, 4])), "4 is the one that was waiting");
        assert!(asked.remain(seen(true, &[4, 5])));
        assert!(!asked.remain(seen(true, &[5])), "5 and one more are another's");
        assert!(!seen(false, &[]).remain(seen(true, &[6])));
    }
}
