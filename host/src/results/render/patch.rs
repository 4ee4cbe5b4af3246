//! A result as a git patch, byte for byte: what `git apply` makes of it is the bottle's tree.

use std::io::{self, Write};
use std::path::PathBuf;

use claude_bottle_plugin_api::EntryKind;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};
use similar::ChangeTag;

use super::{AROUND, range_line};
use crate::results::contents::{Bytes, Contents};
use crate::results::escape;
use crate::results::hash;
use crate::results::model::{Change, Side};
use crate::results::text::{self, Budget, Compared, Lines};

/// The largest file that a patch takes, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// The digits of git's base 85.
const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// How many bytes a line of packed contents has.
const PACKED_LINE: usize = 52;

/// Writes changes as a patch. Returns the paths that a patch cannot tell of: empty directories, and contents that are not
/// kept.
///
/// # Errors
/// Fails if contents cannot be read, or the patch cannot be written.
pub fn patch(files: &[&Change], contents: &Contents, out: &mut dyn Write) -> io::Result<Vec<PathBuf>> {
    let mut budget = Budget::default();
    let mut missing = Vec::new();
    for file in files {
        let name = |file: &Change| file.path.as_path().to_owned();
        if is_empty_directory(file, files) {
            missing.push(name(file));
        }
        let (old, new) = (Blob::read(file.old.as_ref(), contents)?, Blob::read(file.new.as_ref(), contents)?);
        let (Some(old), Some(new)) = (old, new) else {
            missing.push(name(file));
            continue;
        };
        match (&old, &new) {
            (Blob::None, Blob::None) => {}
            // git has no word for a change of kind.
            (Blob::Some { mode: from, .. }, Blob::Some { mode: to, .. })
                if from & 0o170_000 != to & 0o170_000 =>
            {
                one(file, &old, &Blob::None, &mut budget, out)?;
                one(file, &Blob::None, &new, &mut budget, out)?;
            }
            _ => one(file, &old, &new, &mut budget, out)?,
        }
    }
    Ok(missing)
}

fn is_empty_directory(file: &Change, files: &[&Change]) -> bool {
    let is_directory =
        |side: &Option<Side>| side.as_ref().is_some_and(|side| side.kind == EntryKind::Directory);
    let path = file.path.as_path();
    let has_more =
        || files.iter().any(|other| other.path != file.path && other.path.as_path().starts_with(path));
    is_directory(&file.new) && file.old.is_none() && !has_more()
}

/// What git stores of one side.
enum Blob {
    None,
    Some { mode: u32, bytes: Vec<u8> },
}

impl Blob {
    /// Reads a side; `None` if its contents are not kept.
    fn read(side: Option<&Side>, contents: &Contents) -> io::Result<Option<Self>> {
        let Some(side) = side else { return Ok(Some(Self::None)) };
        Ok(match side.kind {
            EntryKind::File => match contents.read(Some(side), MOST_BYTES)? {
                Bytes::Whole(bytes) => {
                    let mode = if side.executable { 0o100_755 } else { 0o100_644 };
                    Some(Self::Some { mode, bytes })
                }
                Bytes::TooLarge | Bytes::Missing => None,
            },
            EntryKind::Link => side
                .target
                .as_ref()
                .map(|target| Self::Some { mode: 0o120_000, bytes: target.as_bytes().to_vec() }),
            _ => Some(Self::None),
        })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Some { bytes, .. } => bytes,
        }
    }

    /// Returns the name that git gives to the contents.
    fn id(&self) -> String {
        let Self::Some { bytes, .. } = self else { return "0".repeat(40) };
        let mut hasher = Sha1::new();
        hasher.update(format!("blob {}\0", bytes.len()));
        hasher.update(bytes);
        hash::hex(hasher.finalize())
    }
}

fn one(file: &Change, old: &Blob, new: &Blob, budget: &mut Budget, out: &mut dyn Write) -> io::Result<()> {
    let name = |side: &str| escape::name(&[side.as_bytes(), file.path.as_bytes()].concat());
    let (from, to) = (name("a/"), name("b/"));
    writeln!(out, "diff --git {from} {to}")?;
    let mode = match (old, new) {
        (Blob::None, Blob::Some { mode, .. }) => {
            writeln!(out, "new file mode {mode:o}")?;
            String::new()
        }
        (Blob::Some { mode, .. }, Blob::None) => {
            writeln!(out, "deleted file mode {mode:o}")?;
            String::new()
        }
        (Blob::Some { mode: before, .. }, Blob::Some { mode: after, .. }) if before != after => {
            writeln!(out, "old mode {before:o}\nnew mode {after:o}")?;
            String::new()
        }
        (_, Blob::Some { mode, .. }) => format!(" {mode:o}"),
        _ => String::new(),
    };
    if old.bytes() == new.bytes() && matches!((old, new), (Blob::Some { .. }, Blob::Some { .. })) {
        return Ok(());
    }
    writeln!(out, "index {}..{}{mode}", old.id(), new.id())?;
    match text::compare(old.bytes(), new.bytes(), budget) {
        Compared::Lines(lines) => {
            if lines.old.is_empty() && lines.new.is_empty() {
                return Ok(());
            }
            let or_null = |blob: &Blob, name: String| {
                if matches!(blob, Blob::None) { "/dev/null".to_owned() } else { name }
            };
            // A name with a blank is ended by a tab, for tools that read on to a date.
            let end = |name: &str| if name.contains(' ') { "\t" } else { "" };
            let (from, to) = (or_null(old, from), or_null(new, to));
            writeln!(out, "--- {from}{}\n+++ {to}{}", end(&from), end(&to))?;
            hunks(&lines, out)
        }
        Compared::Binary | Compared::Rewritten => {
            writeln!(out, "GIT binary patch")?;
            literal(new.bytes(), out)?;
            literal(old.bytes(), out)
        }
    }
}

fn hunks(lines: &Lines<'_>, out: &mut dyn Write) -> io::Result<()> {
    for hunk in lines.hunks(AROUND) {
        writeln!(out, "{}", range_line(&hunk))?;
        for change in hunk.iter().flat_map(|op| op.iter_changes(&lines.old, &lines.new)) {
            let line: &[u8] = change.value();
            out.write_all(match change.tag() {
                ChangeTag::Equal => b" ",
                ChangeTag::Delete => b"-",
                ChangeTag::Insert => b"+",
            })?;
            out.write_all(line)?;
            if !line.ends_with(b"\n") {
                out.write_all(b"\n\\ No newline at end of file\n")?;
            }
        }
    }
    Ok(())
}

/// Writes contents whole, packed, in base 85.
fn literal(bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes)?;
    let packed = packer.finish()?;
    writeln!(out, "literal {}", bytes.len())?;
    for line in packed.chunks(PACKED_LINE) {
        let length = u8::try_from(line.len()).unwrap_or_default();
        let length = if length <= 26 { b'A' + length - 1 } else { b'a' + length - 27 };
        let mut text = vec![length];
        for four in line.chunks(4) {
            let mut word = [0; 4];
            word[..four.len()].copy_from_slice(four);
            text.extend_from_slice(&base85(u32::from_be_bytes(word)));
        }
        text.push(b'\n');
        out.write_all(&text)?;
    }
    out.write_all(b"\n")
}

fn base85(mut word: u32) -> [u8; 5] {
    let mut digits = [0; 5];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(word % 85) as usize];
        word /= 85;
    }
    digits
}
