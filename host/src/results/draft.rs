//! A result that is being written: contents by their hashes, within a bound, under a temporary name until it is whole.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

use crate::results::archive::Archive;
use crate::results::collect::OverBound;
use crate::results::hash::{self, Hash, hex};
use crate::results::model::{SavedResult, Sealed};
use crate::results::store::{BASE, DOCUMENT, DRAFT, FILES, SEALED, Saved, Store};

/// How large a result may be, in bytes, unless the user says otherwise.
pub const MAX_BYTES: u64 = 2 << 30;
/// How large a file is held in memory until it is known whether it changed.
const MAX_IN_MEMORY: u64 = 4 << 20;

/// Which contents are wanted of a file that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Their hash; the contents themselves if they are small, since it may turn out that they changed.
    Hash,
    /// The contents, however large.
    Contents,
}

/// Contents that were read, and that may be kept.
#[derive(Debug)]
pub struct Taken {
    /// Their SHA-256.
    pub sha256: Hash,
    /// Their size.
    pub size: u64,
    /// Where they are.
    pub held: Held,
}

/// Where contents are until it is known what becomes of them.
#[derive(Debug)]
pub enum Held {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file of the draft.
    File(NamedTempFile),
    /// Nowhere: only their hash was taken.
    Nowhere,
}

impl Taken {
    /// Returns contents that are text and at hand.
    pub fn text(&self) -> Option<String> {
        match &self.held {
            Held::Memory(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// Opens the contents, if they are at hand.
    pub fn open(&self) -> anyhow::Result<Option<Box<dyn Read + '_>>> {
        Ok(match &self.held {
            Held::Memory(bytes) => Some(Box::new(bytes.as_slice())),
            Held::File(file) => Some(Box::new(file.reopen().context("read kept contents")?)),
            Held::Nowhere => None,
        })
    }
}

/// A result that is being written; dropped before it is whole, it leaves nothing.
pub struct Draft {
    run: String,
    dir: PathBuf,
    target: PathBuf,
    kept: HashSet<Hash>,
    bytes: u64,
    max_bytes: u64,
    is_whole: bool,
}

impl Draft {
    /// Begins the result of a run. What an earlier attempt left is removed: the caller holds the run's lock.
    pub fn begin(store: &Store, run: &str, max_bytes: u64) -> anyhow::Result<Self> {
        let dir = store.make()?.join(format!("{DRAFT}{run}"));
        let make = || -> io::Result<()> {
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            for name in [FILES, BASE, SEALED] {
                DirBuilder::new().recursive(true).mode(0o700).create(dir.join(name))?;
            }
            Ok(())
        };
        make().with_context(|| format!("make the directory `{}`", dir.display()))?;
        let (run, target) = (run.to_owned(), store.dir(run));
        Ok(Self { run, dir, target, kept: HashSet::new(), bytes: 0, max_bytes, is_whole: false })
    }

    /// Returns the directory as it is now.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fails if more was to be kept than the bound.
    pub fn check_bound(&self) -> Result<(), OverBound> {
        let (bytes, most) = (self.bytes, self.max_bytes);
        if self.is_over_bound() { Err(OverBound::Bytes { bytes, most }) } else { Ok(()) }
    }

    /// Returns `true` if more was to be kept than the bound.
    pub fn is_over_bound(&self) -> bool {
        self.bytes > self.max_bytes
    }

    /// Reads contents of a size that was announced.
    pub fn take(&self, contents: &mut dyn Read, size: u64, want: Want) -> anyhow::Result<Taken> {
        if size <= MAX_IN_MEMORY {
            let mut bytes = Vec::with_capacity(usize::try_from(size)?);
            contents.read_to_end(&mut bytes)?;
            let (sha256, size) = (hash::of_bytes(&bytes), bytes.len() as u64);
            return Ok(Taken { sha256, size, held: Held::Memory(bytes) });
        }
        if want == Want::Hash || self.is_over_bound() {
            let (size, sha256) = hash::of(contents)?;
            return Ok(Taken { sha256, size, held: Held::Nowhere });
        }
        let mut file = self.temporary()?;
        let write = |error: io::Error| {
            io::Error::new(error.kind(), anyhow::Error::new(error).context(self.writing()))
        };
        let (size, sha256) = hash::of_parts(contents, &mut |part| file.write_all(part).map_err(write))?;
        Ok(Taken { sha256, size, held: Held::File(file) })
    }

    /// Keeps new contents; returns `false` if they are not at hand. Beyond the bound they are counted and not written.
    pub fn keep(&mut self, taken: Taken) -> anyhow::Result<bool> {
        if self.kept.contains(&taken.sha256) {
            return Ok(true);
        }
        if let Held::Nowhere = taken.held
            && !self.is_over_bound()
        {
            return Ok(false);
        }
        self.bytes = self.bytes.saturating_add(taken.size);
        if self.is_over_bound() {
            return Ok(true);
        }
        let path = self.file(&taken.sha256);
        match taken.held {
            Held::Memory(bytes) => create(&path).and_then(|mut file| file.write_all(&bytes)),
            Held::File(file) => file.persist(&path).map(drop).map_err(|error| error.error),
            Held::Nowhere => Ok(()),
        }
        .with_context(|| self.writing())?;
        self.kept.insert(taken.sha256);
        Ok(true)
    }

    /// Returns `true` if these contents are kept.
    pub fn has(&self, sha256: &Hash) -> bool {
        self.kept.contains(sha256)
    }

    /// Returns the file of kept contents.
    pub fn file(&self, sha256: &Hash) -> PathBuf {
        self.dir.join(FILES).join(hex(sha256))
    }

    /// Keeps old contents, if they are what they are said to be; returns whether they are.
    pub fn keep_base(&mut self, source: File, sha256: &Hash, size: u64) -> anyhow::Result<bool> {
        let path = self.dir.join(BASE).join(hex(sha256));
        if path.exists() {
            return Ok(true);
        }
        if self.bytes.saturating_add(size) > self.max_bytes {
            return Ok(false);
        }
        let taken = self.take(&mut source.take(size + 1), size, Want::Contents)?;
        if taken.sha256 != *sha256 {
            return Ok(false);
        }
        self.bytes += size;
        match taken.held {
            Held::Memory(bytes) => create(&path).and_then(|mut file| file.write_all(&bytes)),
            Held::File(file) => file.persist(&path).map(drop).map_err(|error| error.error),
            Held::Nowhere => return Ok(false),
        }
        .map(|()| true)
        .with_context(|| self.writing())
    }

    /// Begins an archive that is never opened on the host.
    pub fn seal(&self, name: &str) -> anyhow::Result<Archive> {
        let path = self.dir.join(SEALED).join(name);
        let file = create(&path).with_context(|| self.writing())?;
        Ok(Archive::new(file))
    }

    /// Ends an archive; one without entries is removed.
    pub fn sealed(&self, name: &str, archive: Archive) -> anyhow::Result<Option<Sealed>> {
        let path = self.dir.join(SEALED).join(name);
        if archive.finish().with_context(|| self.writing())? == 0 {
            fs::remove_file(&path).with_context(|| self.writing())?;
            return Ok(None);
        }
        let file = File::open(&path).with_context(|| self.writing())?;
        let (bytes, sha256) = hash::of(file).with_context(|| self.writing())?;
        Ok(Some(Sealed { name: name.to_owned(), bytes, sha256: hex(sha256) }))
    }

    /// Removes kept contents that no change names.
    pub fn retain(&mut self, named: &HashSet<Hash>) -> anyhow::Result<()> {
        for sha256 in self.kept.difference(named) {
            fs::remove_file(self.file(sha256)).with_context(|| self.writing())?;
        }
        self.kept.retain(|sha256| named.contains(sha256));
        Ok(())
    }

    /// Writes the document, and gives the result its name. When this returns all of it is on the disk.
    pub fn finish(mut self, mut result: SavedResult) -> anyhow::Result<Saved> {
        result.digest = String::new();
        result.digest = hash::of_document(&result)?;
        let write = || -> io::Result<()> {
            let mut file = io::BufWriter::new(create(&self.dir.join(DOCUMENT))?);
            serde_json::to_writer(&mut file, &result)?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            sync_below(&self.dir)?;
            // A result of an earlier attempt that was not told of is replaced.
            match fs::remove_dir_all(&self.target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(&self.dir, &self.target)?;
            self.target.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        write()
            .with_context(|| format!("write the result of run `{}` in `{}`", self.run, self.dir.display()))?;
        self.is_whole = true;
        Ok(Saved { result, state: super::model::ResultState::New, dir: self.target.clone() })
    }

    fn temporary(&self) -> anyhow::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.dir).with_context(|| self.writing())
    }

    fn writing(&self) -> String {
        format!("write in `{}`", self.dir.display())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_whole
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::debug!(%error, dir = %self.dir.display(), "remove a draft");
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Has everything below a directory written to the disk.
fn sync_below(dir: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let file = File::open(dir)?;
        rustix::fs::syncfs(&file)?;
    }
    for name in [FILES, BASE, SEALED, "."] {
        File::open(dir.join(name))?.sync_all()?;
    }
    Ok(())
}
