//! The messages of `ssh`: the last few lines are kept, and there is advice for each kind of complaint.

use std::io::{BufRead, BufReader, PipeReader};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use claude_bottle_kit::printable;

use super::SshHost;

/// How much of it is kept: the last lines, and of each so many characters.
const MOST: (usize, usize) = (4, 300);

/// The messages of one `ssh`.
#[derive(Debug, Default)]
pub(super) struct Words {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<String>,
    /// Whether nothing more will come.
    ended: bool,
}

impl Words {
    /// Takes what comes out of a pipe, on a thread of its own that ends with the pipe.
    pub(super) fn listen(pipe: PipeReader) -> std::io::Result<Arc<Self>> {
        let words = Arc::new(Self::default());
        let heard = Arc::clone(&words);
        let listen = move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                heard.take(String::from_utf8_lossy(&line).trim());
            }
            heard.kept.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            heard.changed.notify_all();
        };
        std::thread::Builder::new().name("ssh-words".to_owned()).spawn(listen)?;
        Ok(words)
    }

    fn take(&self, line: &str) {
        if line.is_empty() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.push(printable(&line.chars().take(MOST.1).collect::<String>()));
        let extra = kept.lines.len().saturating_sub(MOST.0);
        kept.lines.drain(..extra);
        self.changed.notify_all();
    }

    /// Returns the last lines as one, after a moment in which some may still come.
    pub(super) fn last(&self, patience: Duration) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |kept: &mut Kept| kept.lines.is_empty() && !kept.ended;
        let (kept, _) =
            self.changed.wait_timeout_while(kept, patience, waits).unwrap_or_else(PoisonError::into_inner);
        kept.lines.join("; ")
    }

    /// Returns the last lines once no more can come, or after a moment.
    pub(super) fn all(&self, patience: Duration) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, _) = self
            .changed
            .wait_timeout_while(kept, patience, |kept| !kept.ended)
            .unwrap_or_else(PoisonError::into_inner);
        kept.lines.join("; ")
    }
}

/// Returns advice for a complaint of `ssh`.
pub(super) fn hint(host: &SshHost, said: &str) -> String {
    let login = host.login();
    if said.contains("IDENTIFICATION HAS CHANGED") {
        return format!(
            "{login}   # says which key has changed; find out why before that machine is trusted again"
        );
    }
    if said.contains("Host key verification failed") {
        return format!("{login}   # once, by hand: compare the key it shows with that machine's own");
    }
    if said.contains("Permission denied") {
        return format!("ssh-add   # or whatever lets `{login}` in without a question");
    }
    if said.contains("open failed") {
        return format!(
            "{login} docker version   # has to work there; the engine's socket is `{}`, and sshd_config there has to allow \
             AllowStreamLocalForwarding",
            host.path()
        );
    }
    format!("{login} true   # has to work without a question")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_cannot_drive_a_terminal() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let words = Words::listen(reader).unwrap();
        writer.write_all(b"one\n\ntwo\r\nthree\n\x1b[2Jfour\nfive\n").unwrap();
        drop(writer);
        assert_eq!(words.all(Duration::from_secs(20)), "two; three; \\u{1b}[2Jfour; five");
    }

    #[test]
    fn each_complaint_has_what_helps() {
        let host = SshHost::parse("me@far").unwrap();
        for (said, start) in [
            ("Host key verification failed.", "ssh me@far   # once"),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @; Host key verification failed.",
                "ssh me@far   # says",
            ),
            ("me@far: Permission denied (publickey).", "ssh-add "),
            ("channel 2: open failed: connect failed: open failed", "ssh me@far docker version"),
            ("ssh: Could not resolve hostname far", "ssh me@far true"),
        ] {
            assert!(hint(&host, said).starts_with(start), "{said}");
        }
    }
}
