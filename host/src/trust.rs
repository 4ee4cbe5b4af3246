//! Which project files the user has trusted, and with which content. One file of the user's own, `trust.json`.
//!
//! What trusting means is decided where manifests are loaded; here it is only remembered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::document;

const FILE_NAME: &str = "trust.json";
const LOCK_NAME: &str = "trust.lock";
/// The version of the file written and read here.
const VERSION: u32 = 1;
/// Largest file that is read; some thousand projects.
const MAX_SIZE: u64 = 1024 * 1024;

/// What is remembered on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    /// SHA-256 in hexadecimal, by canonical path.
    files: BTreeMap<String, String>,
}

/// The project files the user has trusted.
#[derive(Debug)]
pub struct Trust {
    directory: PathBuf,
    record: Record,
}

/// Why trust cannot be read or kept. A reader of it grants nothing then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file or its directory cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file or its directory cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("`{}` is not a list of trusted files", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The file is of another version.
    #[error("`{}` has version `{found}`, and this program reads version `{VERSION}`", path.display())]
    Version {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Another user can write the file or owns it.
    #[error("`{}` can be written by other users, so what it says is not yours", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// A path that JSON cannot hold.
    #[error("the path `{}` is not UTF-8 text and cannot be trusted", path.display())]
    PathNotText {
        /// Which.
        path: PathBuf,
    },
}

impl TrustError {
    /// Returns the command that mends it, if one does.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Parse { path, .. } | Self::Version { path, .. } => {
                Some(format!("to start again, remove it: `rm {}`", path.display()))
            }
            Self::Foreign { path } => {
                let path = path.display();
                Some(format!("read it, then take it over: `chown \"$(id -un)\" {path}; chmod go-w {path}`"))
            }
            _ => None,
        }
    }
}

impl Trust {
    /// Reads what is trusted. `directory` is claude-bottle's state directory; it need not exist.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, TrustError> {
        let directory = directory.into();
        let record = read(&directory.join(FILE_NAME))?;
        Ok(Self { directory, record })
    }

    /// Tells whether exactly this content of this file is trusted. `path` is canonical.
    pub fn is_trusted(&self, path: &Path, content: &[u8]) -> bool {
        let known = path.to_str().and_then(|path| self.record.files.get(path));
        known.is_some_and(|hash| *hash == sha256(content))
    }

    /// Tells whether some content of this file is trusted, perhaps an earlier one.
    pub fn knows(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|path| self.record.files.contains_key(path))
    }

    /// Returns the trusted files, with the SHA-256 of their content in hexadecimal.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.record.files.iter().map(|(path, hash)| (Path::new(path), hash.as_str()))
    }

    /// Trusts exactly this content of this file, in place of any earlier one. `path` is canonical.
    pub fn trust(&mut self, path: &Path, content: &[u8]) -> Result<(), TrustError> {
        let key = path.to_str().ok_or_else(|| TrustError::PathNotText { path: path.to_owned() })?.to_owned();
        let hash = sha256(content);
        self.change(|files| {
            files.insert(key, hash);
        })
    }

    /// Forgets a file. Tells whether it was trusted.
    pub fn untrust(&mut self, path: &Path) -> Result<bool, TrustError> {
        let Some(key) = path.to_str() else { return Ok(false) };
        let mut was_known = false;
        self.change(|files| was_known = files.remove(key).is_some())?;
        Ok(was_known)
    }

    /// Changes the file as it is now, which another process may have changed since it was read.
    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<(), TrustError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TrustError::Write { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(failed(&self.directory))?;
        let lock_path = self.directory.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        // The lock ends with the file handle, also when the process is killed.
        lock.lock().map_err(failed(&lock_path))?;
        let path = self.directory.join(FILE_NAME);
        let mut record = read(&path)?;
        change(&mut record.files);
        write(&path, &record).map_err(failed(&path))?;
        self.record = record;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Record, TrustError> {
    let failed = |source| TrustError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Record { version: VERSION, files: BTreeMap::new() });
        }
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let owner = metadata.uid();
    let is_ours = owner == rustix::process::geteuid().as_raw() || owner == 0;
    if !is_ours || metadata.mode() & 0o022 != 0 {
        return Err(TrustError::Foreign { path: path.to_owned() });
    }
    if metadata.len() > MAX_SIZE {
        return Err(failed(io::Error::other("it is larger than 1 MiB")));
    }
    let mut text = String::new();
    file.take(MAX_SIZE).read_to_string(&mut text).map_err(failed)?;
    let record: Record =
        serde_json::from_str(&text).map_err(|source| TrustError::Parse { path: path.to_owned(), source })?;
    if record.version != VERSION {
        return Err(TrustError::Version { path: path.to_owned(), found: record.version });
    }
    Ok(record)
}

/// Puts the new file in place of the old one in one step. A temporary file has mode 600.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    let mut content = serde_json::to_vec_pretty(record)?;
    content.push(b'\n');
    document::replace(path, &content)
}

/// Returns the SHA-256 of bytes in lower-case hexadecimal.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const FILE: &str = "/home/me/project/claude-bottle.yaml";

    #[test]
    fn exactly_one_content_is_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("deep/state");
        let mut trust = Trust::open(&state).unwrap();
        assert!(!trust.is_trusted(Path::new(FILE), b"a"));
        trust.trust(Path::new(FILE), b"a").unwrap();
        assert!(trust.is_trusted(Path::new(FILE), b"a"));
        assert!(!trust.is_trusted(Path::new(FILE), b"a "));
        assert!(!trust.is_trusted(Path::new("/elsewhere/claude-bottle.yaml"), b"a"));

        let mut other = Trust::open(&state).unwrap();
        assert!(other.is_trusted(Path::new(FILE), b"a"));
        other.trust(Path::new(FILE), b"b").unwrap();
        assert!(!other.is_trusted(Path::new(FILE), b"a"), "an earlier content stays trusted");
        assert!(other.is_trusted(Path::new(FILE), b"b"));
        assert!(other.untrust(Path::new(FILE)).unwrap());
        assert!(!other.untrust(Path::new(FILE)).unwrap());
        assert!(!Trust::open(&state).unwrap().knows(Path::new(FILE)));
    }

    #[test]
    fn two_writers_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for name in 0..8 {
                let state = directory.path();
                scope.spawn(move || {
                    let path = PathBuf::from(format!("/{name}"));
                    Trust::open(state).unwrap().trust(&path, b"x").unwrap();
                });
            }
        });
        assert_eq!(Trust::open(directory.path()).unwrap().files().count(), 8);
    }

    #[test]
    fn nobody_else_reads_or_writes_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        Trust::open(&state).unwrap().trust(Path::new(FILE), b"a").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        let file = state.join(FILE_NAME);
        assert_eq!(mode(&file), 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
        let error = Trust::open(&state).unwrap_err();
        assert!(matches!(error, TrustError::Foreign { .. }), "{error}");
        assert!(error.hint().unwrap().contains("chmod go-w"));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE_NAME);
        for (text, expected) in [
            ("", "is not a list"),
            ("{}", "is not a list"),
            ("{\"version\":1,\"files\":{},\"more\":1}", "is not a list"),
            ("{\"version\":2,\"files\":{}}", "version `2`"),
        ] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let error = Trust::open(directory.path()).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
            assert!(error.hint().unwrap().contains("rm "));
        }
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(matches!(Trust::open(directory.path()).unwrap_err(), TrustError::Read { .. }));
    }

    #[test]
    fn the_hash_is_sha_256() {
        // The first example of <https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values>.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
