//! What was copied in: the index that the backend wrote in the pass that copied, or an export from before the agent ran.
//!
//! Held as sorted records in one piece of memory, since a tree may have a million entries.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use claude_bottle_plugin_api::{EntryKind, EntryPath, IndexEntry};

use crate::results::hash::{self, Hash, from_hex, hex};
use crate::results::model::Side;
use crate::results::stream::{Content, Place, Sink};

/// The longest line of an index: a path and a target in hexadecimal digits.
const MAX_LINE: u64 = 64 << 10;

/// What was copied in, sorted by path.
#[derive(Debug, Default)]
pub struct Baseline {
    text: Vec<u8>,
    entries: Vec<Entry>,
}

/// An entry, without its path and target, which are in the text one after the other.
#[derive(Debug)]
struct Entry {
    start: usize,
    path: u16,
    target: u16,
    kind: Kind,
    executable: bool,
    size: u64,
    sha256: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

impl Baseline {
    /// Reads an index.
    ///
    /// # Errors
    /// Fails on a line that is not an entry: an index with a hole would show changes that are not there.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<Self> {
            let mut reader = BufReader::new(File::open(path)?);
            let (mut baseline, mut line) = (Self::default(), Vec::new());
            while reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
                if line.last() != Some(&b'\n') {
                    bail!("its last line is cut off");
                }
                baseline.push(&serde_json::from_slice(&line)?)?;
                line.clear();
            }
            baseline.sort()?;
            Ok(baseline)
        };
        read().with_context(|| format!("read the index `{}` of what was copied in", path.display()))
    }

    fn push(&mut self, entry: &IndexEntry) -> anyhow::Result<()> {
        let path = entry.path.as_bytes();
        let is_plain = entry.path.as_path().components().all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !is_plain {
            bail!("it has the path `{}`", path.escape_ascii());
        }
        let target = entry.target.as_ref().map(EntryPath::as_bytes).unwrap_or_default();
        let kind = match entry.kind {
            EntryKind::Directory => Kind::Directory,
            EntryKind::File => Kind::File,
            EntryKind::Link => Kind::Link,
            _ => bail!("it has an entry of a kind that is not known"),
        };
        let sha256 = entry.sha256.as_deref().and_then(from_hex);
        if kind == Kind::File && sha256.is_none() {
            bail!("the file `{}` has no SHA-256", path.escape_ascii());
        }
        let start = self.text.len();
        self.text.extend(path);
        self.text.extend(target);
        self.entries.push(Entry {
            start,
            path: path.len().try_into()?,
            target: target.len().try_into()?,
            kind,
            executable: kind == Kind::File && entry.mode & 0o100 != 0,
            size: entry.size,
            sha256: sha256.unwrap_or_default(),
        });
        Ok(())
    }

    fn sort(&mut self) -> anyhow::Result<()> {
        self.entries.shrink_to_fit();
        self.text.shrink_to_fit();
        let text = &self.text;
        let path = |entry: &Entry| &text[entry.start..entry.start + usize::from(entry.path)];
        self.entries.sort_unstable_by(|a, b| path(a).cmp(path(b)));
        let twice = self.entries.windows(2).find(|pair| path(&pair[0]) == path(&pair[1]));
        twice.map_or(Ok(()), |pair| bail!("it has `{}` twice", path(&pair[0]).escape_ascii()))
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns how many of them are not directories.
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.kind != Kind::Directory).count() as u64
    }

    /// Returns `true` if nothing was copied in.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Finds a path.
    pub fn find(&self, path: &Path) -> Option<usize> {
        let wanted = path.as_os_str().as_bytes();
        self.entries.binary_search_by(|entry| self.bytes(entry).cmp(wanted)).ok()
    }

    /// Returns the path of an entry.
    pub fn path(&self, at: usize) -> &Path {
        Path::new(OsStr::from_bytes(self.bytes(&self.entries[at])))
    }

    /// Returns what an entry is.
    pub fn side(&self, at: usize) -> Side {
        let entry = &self.entries[at];
        let target = entry.start + usize::from(entry.path);
        let target = &self.text[target..target + usize::from(entry.target)];
        Side {
            kind: match entry.kind {
                Kind::Directory => EntryKind::Directory,
                Kind::File => EntryKind::File,
                Kind::Link => EntryKind::Link,
            },
            executable: entry.executable,
            size: entry.size,
            sha256: (entry.kind == Kind::File).then(|| hex(entry.sha256)),
            target: (entry.kind == Kind::Link).then(|| EntryPath::new(OsStr::from_bytes(target))),
        }
    }

    /// Returns the hash and size of a file.
    pub fn file(&self, at: usize) -> Option<(Hash, u64, bool)> {
        let entry = &self.entries[at];
        (entry.kind == Kind::File).then_some((entry.sha256, entry.size, entry.executable))
    }

    fn bytes(&self, entry: &Entry) -> &[u8] {
        &self.text[entry.start..entry.start + usize::from(entry.path)]
    }
}

/// Writes an index from an export.
pub struct Indexer {
    file: BufWriter<File>,
    /// Files that a hard link may name; all, since any may be linked again.
    files: std::collections::HashMap<PathBuf, IndexEntry>,
}

impl Indexer {
    /// Writes to a file.
    pub fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), files: std::collections::HashMap::new() }
    }

    /// Ends the index.
    pub fn finish(self) -> std::io::Result<()> {
        self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    }
}

impl Sink for Indexer {
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()> {
        let path = place.path();
        let entry = match content {
            Content::Special => return Ok(()),
            Content::Directory => IndexEntry::new(path, EntryKind::Directory, 0o755),
            Content::Link { target } => {
                let mut entry = IndexEntry::new(path, EntryKind::Link, 0o777);
                entry.target = Some(EntryPath::new(OsStr::from_bytes(&target)));
                entry
            }
            Content::File { executable, .. } => {
                let (size, sha256) = hash::of(contents)?;
                let mut entry =
                    IndexEntry::new(path, EntryKind::File, if executable { 0o755 } else { 0o644 });
                (entry.size, entry.sha256) = (size, Some(hex(sha256)));
                self.files.insert(path.to_owned(), entry.clone());
                entry
            }
            Content::Same { earlier } => {
                let mut entry =
                    self.files.get(&earlier).context("a hard link to a file that is not known")?.clone();
                entry.path = EntryPath::new(path);
                self.files.insert(path.to_owned(), entry.clone());
                entry
            }
        };
        serde_json::to_writer(&mut self.file, &entry)?;
        self.file.write_all(b"\n")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> anyhow::Result<Baseline> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, lines).unwrap();
        Baseline::read(file.path())
    }

    #[test]
    fn an_index_is_found_by_path_whatever_its_order() {
        let sha = "a".repeat(64);
        let baseline = read(&format!(
            "{{\"path\":\"b/x\",\"kind\":\"file\",\"mode\":493,\"size\":3,\"sha256\":\"{sha}\"}}\n\
             {{\"path_hex\":\"ff\",\"kind\":\"link\",\"mode\":511,\"target\":{{\"path\":\"../b\"}}}}\n\
             {{\"path\":\"b\",\"kind\":\"directory\",\"mode\":493}}\n"
        ))
        .unwrap();
        let at = |path: &[u8]| baseline.find(Path::new(OsStr::from_bytes(path)));
        let file = baseline.side(at(b"b/x").unwrap());
        assert_eq!(
            (file.kind, file.executable, file.size, file.sha256),
            (EntryKind::File, true, 3, Some(sha))
        );
        assert_eq!(baseline.side(at(b"\xff").unwrap()).target, Some(EntryPath::new("../b")));
        assert_eq!(baseline.side(at(b"b").unwrap()).kind, EntryKind::Directory);
        assert!(at(b"x").is_none() && baseline.len() == 3);
    }

    #[test]
    fn two_hundred_thousand_entries_take_little_memory() {
        use std::fmt::Write as _;
        let mut lines = String::new();
        let sha = "0".repeat(64);
        for n in 0..200_000 {
            let path = format!("node_modules/package-{:04}/dist/module-{n:06}/index.d.ts", n / 50);
            writeln!(
                lines,
                "{{\"path\":\"{path}\",\"kind\":\"file\",\"mode\":420,\"size\":9,\"sha256\":\"{sha}\"}}"
            )
            .unwrap();
        }
        let baseline = read(&lines).unwrap();
        let bytes = baseline.text.capacity() + baseline.entries.capacity() * size_of::<Entry>();
        assert!(baseline.len() == 200_000 && bytes < 32 << 20, "{bytes}");
    }

    #[test]
    fn an_index_with_a_hole_or_a_path_that_leads_out_is_refused() {
        for (lines, expected) in [
            ("{\"path\":\"a\",\"kind\":\"file\",\"mode\":1}\n", "has no SHA-256"),
            ("{\"path\":\"a\",\"kind\":\"directory\",\"mode\":1}", "its last line is cut off"),
            ("{\"path\":\"../a\",\"kind\":\"directory\",\"mode\":1}\n", "it has the path"),
            ("{\"path\":\"/a\",\"kind\":\"directory\",\"mode\":1}\n", "it has the path"),
            ("{\"path\":\"\",\"kind\":\"directory\",\"mode\":1}\n", "it has the path"),
            ("{\"path\":\"a\",\"kind\":\"socket\",\"mode\":1}\n", "a kind that is not known"),
            ("nonsense\n", "expected ident"),
        ] {
            let error = format!("{:#}", read(lines).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let twice = "{\"path\":\"a\",\"kind\":\"directory\",\"mode\":1}\n".repeat(2);
        assert!(format!("{:#}", read(&twice).unwrap_err()).contains("it has `a` twice"));
    }
}
