//! Pins: which content a backend's plug-in must have, by SHA-256.
//!
//! Once a name is pinned, any other file is refused for it, wherever it is found. The pins are one JSON file,
//! `{"version":1,"pins":{"docker":"<64 hex digits>"}}`. A file that cannot be read or understood is an error: taking it
//! for empty would lift every pin.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::shown;
use crate::document;

/// The file's name in claude-bottle's data directory.
pub const PINS_FILE: &str = "plugins.json";

const FORMAT: u32 = 1;

/// The pins as they were when they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<String, String>);

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    pins: BTreeMap<String, String>,
}

/// Why pins cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The file cannot be read.
    #[error("cannot read the pins in `{}`", shown(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the pins in `{}` make no sense: {reason}", shown(.path))]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another user could have written the file.
    #[error("the pins in `{}` can be written by other users", shown(.path))]
    Writable {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the pins to `{}`", shown(.path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl PinError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Writable { path } => Some(format!("chmod go-w {}", shown(path))),
            Self::Parse { path, .. } => {
                Some(format!("correct the file, or remove it and pin again: rm {}", shown(path)))
            }
            _ => None,
        }
    }
}

impl Pins {
    /// Reads the pins; no file means no pins.
    ///
    /// # Errors
    /// Fails on a file that cannot be read, trusted or understood.
    pub fn read(path: &Path) -> Result<Self, PinError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(PinError::Read { path: path.to_owned(), source }),
        };
        let read = |source| PinError::Read { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(read)?;
        let owned = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
        if !owned || metadata.mode() & 0o022 != 0 {
            return Err(PinError::Writable { path: path.to_owned() });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(read)?;
        parse(&text).map_err(|reason| PinError::Parse { path: path.to_owned(), reason })
    }

    /// Returns the hash a backend is pinned to.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns all pins, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, hash)| (name.as_str(), hash.as_str()))
    }
}

/// Pins a backend to a hash, in place of an earlier one. Returns the pins as they are then.
///
/// # Errors
/// Fails when the file cannot be read or written; it is then as it was.
pub fn pin(path: &Path, name: &str, sha256: &str) -> Result<Pins, PinError> {
    if !is_hash(sha256) {
        let reason = format!("`{}` is not a SHA-256 in lower-case hexadecimal", super::printable(sha256));
        return Err(PinError::Parse { path: path.to_owned(), reason });
    }
    change(path, |pins| {
        pins.insert(name.to_owned(), sha256.to_owned());
    })
}

/// Takes a backend's pin away, if it has one. Returns the pins as they are then.
///
/// # Errors
/// Fails when the file cannot be read or written; it is then as it was.
pub fn unpin(path: &Path, name: &str) -> Result<Pins, PinError> {
    change(path, |pins| {
        pins.remove(name);
    })
}

/// Returns the SHA-256 of a whole file in hexadecimal.
///
/// # Errors
/// The system's.
pub fn hash(file: &File) -> io::Result<String> {
    use std::os::unix::fs::FileExt;

    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => break,
            Ok(n) => {
                digest.update(&buffer[..n]);
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Reads, changes and replaces the file while no other process does.
fn change(path: &Path, edit: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<Pins, PinError> {
    let write = |source| PinError::Write { path: path.to_owned(), source };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(write)?;
    let lock = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path.with_extension("lock"))
        .map_err(write)?;
    lock.lock().map_err(write)?;
    let mut pins = Pins::read(path)?;
    edit(&mut pins.0);
    replace(path, &pins).map_err(write)?;
    Ok(pins)
}

/// Writes a new file and puts it in the old one's place, so that a reader sees one or the other.
fn replace(path: &Path, pins: &Pins) -> io::Result<()> {
    let mut content = serde_json::to_vec_pretty(&Document { version: FORMAT, pins: pins.0.clone() })?;
    content.push(b'\n');
    document::replace(path, &content)
}

fn parse(text: &str) -> Result<Pins, String> {
    let document: Document =
        serde_json::from_str(text).map_err(|error| super::printable(&error.to_string()))?;
    if document.version != FORMAT {
        return Err(format!("it has format {}, and this host knows {FORMAT}", document.version));
    }
    match document.pins.iter().find(|(name, hash)| super::find::check_name(name).is_err() || !is_hash(hash)) {
        Some((name, _)) => Err(format!("the pin of `{}` is not a name and a hash", super::printable(name))),
        None => Ok(Pins(document.pins)),
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn pins_survive_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/plugins.json");
        assert_eq!(Pins::read(&path).unwrap(), Pins::default());
        pin(&path, "a", HASH).unwrap();
        pin(&path, "b", &HASH.replace('e', "0")).unwrap();
        assert_eq!(Pins::read(&path).unwrap().get("a"), Some(HASH));
        unpin(&path, "a").unwrap();
        let left = Pins::read(&path).unwrap();
        assert_eq!(left.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b"]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn pins_that_make_no_sense_are_an_error_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins.json");
        for bad in ["", "{}", r#"{"version":2,"pins":{}}"#, r#"{"version":1,"pins":{"a":"short"}}"#] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(Pins::read(&path), Err(PinError::Parse { .. })), "{bad}");
            assert!(matches!(pin(&path, "a", HASH), Err(PinError::Parse { .. })), "{bad}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
        assert!(matches!(pin(&dir.path().join("x"), "a", "nonsense"), Err(PinError::Parse { .. })));
    }

    #[test]
    fn pins_another_user_can_write_are_not_trusted() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins.json");
        pin(&path, "a", HASH).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(Pins::read(&path), Err(PinError::Writable { .. })));
    }

    #[test]
    fn the_hash_is_sha256() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        fs::write(&path, "").unwrap();
        assert_eq!(hash(&File::open(&path).unwrap()).unwrap(), HASH);
    }
}
