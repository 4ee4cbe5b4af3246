//! Where a running guard's configuration comes from: a file, or standard input with the secrets behind it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::{GuardConfig, GuardSecrets};
use zeroize::Zeroizing;

use crate::error::GuardError;
use crate::serve::Snapshot;

/// The path that means standard input.
const STDIN: &str = "-";
/// The line between configuration and secrets: YAML's own mark for the end of a document, <https://yaml.org/spec/1.2.2/#document-markers>.
const END: &str = "\n...\n";

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

    /// Reads and checks everything, the secrets included.
    pub(super) fn read(&self) -> Result<Snapshot, GuardError> {
        match self {
            Self::File(path) => Snapshot::new(read_config(path)?),
            Self::Stdin => read_stdin(io::stdin().lock()),
        }
    }

    /// Reads everything once more.
    pub(super) fn read_again(&self) -> Result<Snapshot, GuardError> {
        match self {
            Self::File(_) => self.read(),
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

/// A text that ends before the mark was cut off on its way, and is refused.
fn read_stdin(mut input: impl Read) -> Result<Snapshot, GuardError> {
    let path = Path::new(STDIN);
    let mut text = Zeroizing::new(String::new());
    let read = input.read_to_string(&mut text);
    read.map_err(|source| GuardError::ReadFile { path: path.to_owned(), source })?;
    let (config, secrets) = text.split_once(END).ok_or(GuardError::CutOff)?;
    let config = parse(path, config)?;
    if secrets.is_empty() {
        return Snapshot::new(config);
    }
    if config.dlp.secrets_file.is_some() || config.dlp.secrets_env.is_some() {
        return Err(GuardError::TwoSecretSources);
    }
    let secrets = GuardSecrets::from_json(secrets).map_err(|source| GuardError::Secrets { source })?;
    Snapshot::with_secrets(config, &secrets)
}
