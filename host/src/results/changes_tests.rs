//! Tests of what is said of changes.

use std::fs;
use std::path::Path;

use super::*;
use crate::results::draft::Want;
use crate::results::hash::{self, hex};
use crate::results::model::{Base, LeftOut, Side};
use crate::results::store::Store;

fn side(text: &str) -> Side {
    let (size, sha256) = hash::of(text.as_bytes()).unwrap();
    Side { kind: EntryKind::File, executable: false, size, sha256: Some(hex(sha256)), target: None }
}

fn change(path: &str, old: Option<&str>, new: Option<&str>) -> Change {
    Change::new(path, old.map(side), new.map(side))
}

fn copied(directory: &Path, rules: &str, left_out: &str) -> CopiedIn {
    CopiedIn {
        directory: directory.to_owned(),
        base: Base::default(),
        ignore: vec![RuleFile { directory: EntryPath::new(""), rules: rules.to_owned() }],
        exclude: String::new(),
        everywhere: String::new(),
        left_out: left_out.to_owned(),
    }
}

#[test]
fn what_only_the_agents_rules_leave_out_is_listed_apart() {
    let files = [
        change(".gitignore", Some("host/\n"), Some("host/\nmine/\n")),
        change("sub/.gitignore", None, Some("*.log\n")),
        change("mine/hidden", None, Some("x")),
        change("mine/tracked", Some("x"), Some("y")),
        change("sub/a.log", None, Some("x")),
        change("a.log", None, Some("x")),
        change("listed", None, Some("x")),
        change("mine/gone", Some("x"), None),
    ];
    let mut collected = Collected {
        changes: files.into(),
        left_out: LeftOut::default(),
        agent_rules: vec![("".into(), "host/\nmine/\n".to_owned()), ("sub".into(), "*.log\n".to_owned())],
        agent_exclude: Some("listed\n".to_owned()),
        gone: Vec::new(),
        has_own_refs: false,
    };
    let tracked = HashSet::from(["mine/tracked".into()]);
    note_ignored_by_agent(&mut collected, &copied(Path::new("/"), "host/\n", ""), &tracked);
    let apart: Vec<_> = collected.changes.iter().filter(|change| change.ignored_by_agent).collect();
    let apart: Vec<_> = apart.iter().map(|change| change.path.as_path()).collect();
    assert_eq!(apart, [Path::new("mine/hidden"), Path::new("sub/a.log"), Path::new("listed")]);
}

#[test]
fn what_the_copy_would_have_left_out_is_withheld() {
    let dir = tempfile::tempdir().unwrap();
    let mut draft = Draft::begin(&Store::new(dir.path()), "run-1", 1 << 20).unwrap();
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHBg\n-----END PRIVATE KEY-----\n";
    let mut changes = Vec::new();
    for (path, text) in [
        (".env", "TOKEN=x"),
        ("sub/.env", "TOKEN=x"),
        (".env.example", "TOKEN="),
        ("tracked/.env", "TOKEN=x"),
        ("renamed.txt", key),
        ("private/notes", "x"),
        ("src/main.rs", "fn main() {}"),
    ] {
        let taken = draft.take(&mut text.as_bytes(), text.len() as u64, Want::Contents).unwrap();
        draft.keep(taken).unwrap();
        changes.push(change(path, None, Some(text)));
    }
    let tracked = HashSet::from(["tracked/.env".into()]);
    note_withheld(&mut changes, &copied(dir.path(), "", "private/\n"), tracked, &draft).unwrap();
    let withheld: Vec<_> = changes.iter().filter(|change| change.withheld).collect();
    let withheld: Vec<_> = withheld.iter().map(|change| change.path.as_path().to_str().unwrap()).collect();
    assert_eq!(withheld, [".env", "sub/.env", "renamed.txt", "private/notes"]);
}

#[test]
fn old_contents_are_kept_when_the_host_still_has_them_and_no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    fs::create_dir_all(work.join("sub")).unwrap();
    fs::write(work.join("same"), "old").unwrap();
    fs::write(work.join("edited"), "meanwhile").unwrap();
    fs::write(dir.path().join("elsewhere"), "old").unwrap();
    std::os::unix::fs::symlink("../elsewhere", work.join("link")).unwrap();
    std::os::unix::fs::symlink(dir.path(), work.join("sub/up")).unwrap();
    let paths = ["same", "edited", "gone", "link", "sub/up/elsewhere"];
    let mut changes: Vec<_> = paths.map(|path| change(path, Some("old"), Some("new"))).into();
    let mut draft = Draft::begin(&Store::new(dir.path()), "run-1", 1 << 20).unwrap();
    keep_bases(&mut changes[1..], &copied(&work, "", ""), &mut draft).unwrap();
    assert!(changes.iter().all(|change| !change.base_kept));
    keep_bases(&mut changes, &copied(&work, "", ""), &mut draft).unwrap();
    assert!(changes[0].base_kept);
    let kept = draft.dir().join("base").join(side("old").sha256.unwrap());
    assert_eq!(fs::read(kept).unwrap(), b"old");
}
