//! Reads from a repository's index which paths it tracks, without git: a repository may tell git to run programs.
//!
//! Format: <https://git-scm.com/docs/index-format>, versions 2 to 4.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// More than the index of any repository; it is held in memory.
const MAX_BYTES: u64 = 512 << 20;
/// What an entry has before its object's name: times, numbers, mode, size.
const STAT_BYTES: usize = 40;
/// An entry of version 3 or 4 has 16 more flags.
const EXTENDED: u16 = 0x4000;

/// Returns the tracked paths; `None` when there is no index or it cannot be understood.
pub fn tracked(file: &Path) -> Option<HashSet<PathBuf>> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    // The names of objects are SHA-1 or SHA-256, which the index does not say.
    [20, 32].into_iter().find_map(|name_bytes| parse(&bytes, name_bytes))
}

fn parse(bytes: &[u8], name_bytes: usize) -> Option<HashSet<PathBuf>> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (version, count) = (number(4)?, number(8)?);
    if bytes.get(..4)? != b"DIRC" || !(2..=4).contains(&version) {
        return None;
    }
    let (mut found, mut path, mut at) = (HashSet::new(), Vec::new(), 12);
    for _ in 0..count {
        let begin = at;
        at += STAT_BYTES + name_bytes;
        let flags = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        at += if flags & EXTENDED != 0 && version > 2 { 4 } else { 2 };
        let before = path.clone();
        if version == 4 {
            let (cut, length) = varint(bytes.get(at..)?)?;
            at += length;
            path.truncate(path.len().checked_sub(cut)?);
        } else {
            path.clear();
        }
        let rest = bytes.get(at..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        path.extend_from_slice(&rest[..length]);
        at += length + 1;
        if version < 4 {
            at = begin + (at - begin).div_ceil(8) * 8;
        }
        // The order is part of the format; what breaks it was not an index of this kind. Stages of a conflict share a path.
        if path.is_empty() || path < before {
            return None;
        }
        found.insert(PathBuf::from(OsStr::from_bytes(&path)));
    }
    Some(found)
}

/// Reads a number as packs have offsets, and returns it with its length.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (n, byte) in bytes.iter().enumerate().take(5) {
        let low = usize::from(byte & 0x7f);
        value = if n == 0 { low } else { ((value + 1) << 7) | low };
        if byte & 0x80 == 0 {
            return Some((value, n + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_git_itself_wrote_is_read_in_every_version() {
        for (version, format) in
            [("2", "sha1"), ("3", "sha1"), ("4", "sha1"), ("2", "sha256"), ("4", "sha256")]
        {
            let dir = tempfile::tempdir().unwrap();
            let script = format!(
                "git init -q --object-format={format} . && mkdir -p a/b && touch .env a/.env a/b/c \
                 \"$(printf 'a/b/%0200d.pem' 7)\" a/key.pem untracked.pem && \
                 git add .env a/.env a/b a/key.pem && git update-index --index-version={version} && \
                 {{ [ {version} != 3 ] || {{ touch later.pem && git add -N later.pem; }}; }}"
            );
            let output = Command::new("sh").args(["-c", &script]).current_dir(&dir).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let index = dir.path().join(".git/index");
            let all = tracked(&index).unwrap();
            let expected = if version == "3" { 6 } else { 5 };
            assert_eq!(all.len(), expected, "{version} {format}: {all:?}");
            assert!(all.contains(Path::new("a/key.pem")) && !all.contains(Path::new("untracked.pem")));
        }
    }

    #[test]
    fn nonsense_is_no_index() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index");
        assert_eq!(tracked(&file), None);
        let mut long = b"DIRC\0\0\0\x04\xff\xff\xff\xff".to_vec();
        long.extend([0xff; 200]);
        for bytes in [&b""[..], b"DIRC", b"DIRC\0\0\0\x02\0\0\0\x01short", b"DIRC\0\0\0\x09\0\0\0\0", &long] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(tracked(&file), None, "{bytes:?}");
        }
    }
}
