//! The index of a copy, held against what was copied.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use claude_bottle_plugin_api::{EntryKind, IndexEntry};

use super::*;

fn options() -> Options {
    Options {
        owner: None,
        links: Links::Keep,
        exclude: BTreeSet::new(),
        rules: Rules::All,
        max_bytes: 1 << 30,
    }
}

fn lines(index: &Path) -> Vec<IndexEntry> {
    let text = fs::read_to_string(index).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sha256(content: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Copies a tree both ways, and returns the two indices, which are the same.
fn indexed(source: &Path) -> BTreeMap<PathBuf, IndexEntry> {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let mut baseline = Baseline::create(&first).unwrap();
    let record = Some(baseline.below(Path::new("")));
    super::copy(source, &dir.path().join("copy"), &options(), record, &mut |_| true).unwrap();
    assert!(!first.exists(), "it is there only when it is whole");
    baseline.finish().unwrap();
    let mut baseline = Baseline::create(&second).unwrap();
    let mut stream = Vec::new();
    let mut writer = TarWriter::new(&mut stream);
    let record = Some(baseline.below(Path::new("")));
    append(&mut writer, source, Path::new("/x"), &options(), record).unwrap();
    baseline.finish().unwrap();
    assert_eq!(lines(&first), lines(&second));
    lines(&first).into_iter().map(|entry| (entry.path.as_path().to_owned(), entry)).collect()
}

#[test]
fn the_index_has_every_entry_with_what_was_copied() {
    let dir = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    fs::create_dir(dir.path().join("empty")).unwrap();
    fs::write(dir.path().join("large"), &large).unwrap();
    fs::set_permissions(dir.path().join("large"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("nothing"), "").unwrap();
    symlink("a/b", dir.path().join("link")).unwrap();
    // A hole at either end, and one between.
    let sparse = File::create(dir.path().join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 1 << 20).unwrap();
    sparse.set_len(3 << 20).unwrap();
    let mut zeros = vec![0; 3 << 20];
    zeros[1 << 20..(1 << 20) + 4].copy_from_slice(b"data");
    let found = indexed(dir.path());
    assert_eq!(found.len(), 5);
    let file = |name: &str, content: &[u8]| {
        let entry = &found[Path::new(name)];
        assert_eq!((entry.kind, entry.size), (EntryKind::File, content.len() as u64), "{name}");
        assert_eq!(entry.sha256, Some(sha256(content)), "{name}");
    };
    file("large", &large);
    file("nothing", b"");
    file("sparse", &zeros);
    assert_eq!(found[Path::new("large")].mode, 0o755);
    assert_eq!(found[Path::new("empty")].kind, EntryKind::Directory);
    assert_eq!(found[Path::new("link")].target.as_ref().unwrap().as_path(), Path::new("a/b"));
}

#[test]
fn what_is_laid_over_the_copy_counts_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (tree, content) in [("first", "1"), ("second", "2")] {
        fs::create_dir_all(dir.path().join(tree).join("refs")).unwrap();
        fs::write(dir.path().join(tree).join("HEAD"), content).unwrap();
    }
    let index = dir.path().join("index");
    let mut baseline = Baseline::create(&index).unwrap();
    let record = Some(baseline.below(Path::new("")));
    super::copy(&dir.path().join("first"), &dir.path().join("copy"), &options(), record, &mut |_| true)
        .unwrap();
    baseline.finish().unwrap();
    let mut baseline = Baseline::extend(&index).unwrap();
    for tree in ["first", "second"] {
        let record = Some(baseline.below(Path::new(".git")));
        let target = dir.path().join("copy/.git");
        super::copy(&dir.path().join(tree), &target, &options(), record, &mut |_| true).unwrap();
    }
    baseline.file(Path::new(".git/config"), 0o644, b"3").unwrap();
    baseline.finish().unwrap();
    let mut found: Vec<_> = lines(&index);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let shown: Vec<_> = found.iter().map(|entry| entry.path.as_path().to_str().unwrap()).collect();
    assert_eq!(shown, [".git", ".git/HEAD", ".git/config", ".git/refs", "HEAD", "refs"]);
    assert_eq!(found[1].sha256, Some(sha256(b"2")));
    assert_eq!(found[2].sha256, Some(sha256(b"3")));
}

#[test]
fn an_index_that_was_not_ended_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    drop(Baseline::create(&dir.path().join("index")).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
