//! Where a guard's configuration comes from: a file, or standard input with the secrets behind it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::{GuardConfig, GuardSecrets, MOST_RELOAD_BYTES};
use zeroize::Zeroizing;

use crate::error::GuardError;
use crate::serve::Snapshot;

/// The path that means standard input.
const STDIN: &str = "-";
/// The line behind the configuration, and behind the secrets when more follows: YAML's own mark for the end of a document,
/// <https://yaml.org/spec/1.2.2/#document-markers>.
const END: &[u8] = b"\n...\n";
/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// A place to read the configuration from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A file, which can be read again.
    File(PathBuf),
    /// Standard input, which cannot.
    Stdin,
}

impl Source {
    pub(super) fn new(path: &Path) -> Self {
        if path == Path::new(STDIN) { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// Reads and checks everything, the secrets included. What may follow on standard input is returned with it.
    pub(super) fn read(&self) -> Result<(Snapshot, Option<Documents>), GuardError> {
        match self {
            Self::File(path) => Ok((Snapshot::new(read_config(path)?)?, None)),
            Self::Stdin => {
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                let mut input = Documents::new(File::from(stdin.map_err(unreadable)?));
                Ok((read_documents(&mut input)?, Some(input)))
            }
        }
    }

    /// Reads everything once more.
    pub(super) fn read_again(&self) -> Result<Snapshot, GuardError> {
        match self {
            Self::File(path) => Snapshot::new(read_config(path)?),
            Self::Stdin => Err(GuardError::NeedsRestart { key: "--config -" }),
        }
    }
}

/// Reads and checks a configuration file.
pub(super) fn read_config(path: &Path) -> Result<GuardConfig, GuardError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| GuardError::ReadFile { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<GuardConfig, GuardError> {
    GuardConfig::from_yaml(text).map_err(|source| GuardError::Config { path: path.to_owned(), source })
}

fn unreadable(source: io::Error) -> GuardError {
    GuardError::ReadFile { path: PathBuf::from(STDIN), source }
}

/// Returns what was read as text.
fn text(bytes: &[u8]) -> Result<&str, GuardError> {
    str::from_utf8(bytes).map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Reads the configuration and the secrets behind it. A text that ends before the mark was cut off on its way, and is refused.
pub(super) fn read_documents<R: Read>(input: &mut Documents<R>) -> Result<Snapshot, GuardError> {
    let config = input.until(END).map_err(unreadable)?.ok_or(GuardError::CutOff)?;
    let secrets = match input.until(END).map_err(unreadable)? {
        Some(secrets) => secrets,
        None => input.rest(),
    };
    let config = parse(Path::new(STDIN), text(&config)?)?;
    if secrets.is_empty() {
        return Snapshot::new(config);
    }
    if config.dlp.secrets_file.is_some() || config.dlp.secrets_env.is_some() {
        return Err(GuardError::TwoSecretSources);
    }
    let secrets =
        GuardSecrets::from_json(text(&secrets)?).map_err(|source| GuardError::Secrets { source })?;
    Snapshot::with_secrets(config, &secrets)
}

/// Standard input, in parts that end with a mark. What it holds may be a secret, and is wiped.
pub(super) struct Documents<R = File> {
    input: R,
    /// What was read and is not yet taken.
    buffer: Zeroizing<Vec<u8>>,
}

impl<R: Read> Documents<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Zeroizing::default() }
    }

    /// Reads the next line, without its end; `None` at the end of the input. One that is too long is an error.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.until(b"\n")?.map(|line| line.to_vec()))
    }

    /// Reads what is before a mark; `None` when the input ends without it.
    fn until(&mut self, mark: &[u8]) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let mut from = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer[from..], mark) {
                let rest = Zeroizing::new(self.buffer[from + at + mark.len()..].to_vec());
                self.buffer.truncate(from + at);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            from = (self.buffer.len() + 1).saturating_sub(mark.len());
            if self.buffer.len() > MOST_RELOAD_BYTES || self.read_more()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Returns what was read and ended with no mark.
    fn rest(&mut self) -> Zeroizing<Vec<u8>> {
        std::mem::take(&mut self.buffer)
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let end = self.buffer.len();
        if self.buffer.capacity() < end + PIECE {
            // Grown by a copy of our own, so that what was there is wiped.
            let mut larger = Zeroizing::new(Vec::with_capacity((end + PIECE).max(2 * end)));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        self.buffer.resize(end + PIECE, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(end + *read.as_ref().unwrap_or(&0));
        read
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn parts_are_found_wherever_the_input_is_cut() {
        let whole = b"config: 1\n...\n[secrets]\n...\nline one\n\nline two\nrest";
        for cut in 0..whole.len() {
            let (reader, mut writer) = io::pipe().unwrap();
            let mut input = Documents::new(File::from(std::os::fd::OwnedFd::from(reader)));
            let write = std::thread::spawn(move || {
                writer.write_all(&whole[..cut]).unwrap();
                std::thread::yield_now();
                writer.write_all(&whole[cut..]).unwrap();
            });
            assert_eq!(input.until(END).unwrap().unwrap().as_slice(), b"config: 1");
            assert_eq!(input.until(END).unwrap().unwrap().as_slice(), b"[secrets]");
            assert_eq!(input.line().unwrap().unwrap(), b"line one");
            assert_eq!(input.line().unwrap().unwrap(), b"");
            assert_eq!(input.line().unwrap().unwrap(), b"line two");
            assert_eq!(input.line().unwrap(), None);
            assert_eq!(input.rest().as_slice(), b"rest");
            write.join().unwrap();
        }
    }
}
