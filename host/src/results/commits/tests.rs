//! The text of commits: what git writes is read, and everything else is refused.

use std::process::Command;

use super::read::{Sink, read};
use super::*;

/// Keeps what comes.
#[derive(Default)]
struct Kept {
    blobs: Vec<(u64, Vec<u8>)>,
    commits: Vec<Commit>,
}

impl Sink for Kept {
    fn blob(&mut self, mark: u64, bytes: Vec<u8>) -> Result<(), CommitsError> {
        self.blobs.push((mark, bytes));
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), CommitsError> {
        self.commits.push(commit);
        Ok(())
    }
}

fn kept(text: &[u8]) -> Result<Kept, CommitsError> {
    let mut kept = Kept::default();
    read(text, &mut kept).map(|()| kept)
}

/// The name of a commit that was there before.
const BASE: &str = "0123456789012345678901234567890123456789";

/// A text with one file and one commit, in which one line is another one.
fn text(line: &str, other: &str) -> Vec<u8> {
    let text = format!(
        "blob\nmark :1\ndata 4\nabc\n\nreset refs/heads/x\nfrom {BASE}\n\ncommit refs/heads/x\nmark :2\n\
         author A <a@a> 1700000000 +0100\ncommitter B <b@b> 1700000001 -0030\ndata 8\nmessage\n\
         from {BASE}\nM 100644 :1 src/a\nD b\n\n"
    );
    assert!(text.contains(line), "{line}");
    text.replacen(line, other, 1).into_bytes()
}

fn refused(line: &str, other: &str) -> String {
    match kept(&text(line, other)) {
        Ok(_) => panic!("taken: {other:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_git_writes_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let script = "git init -q -b main; git config user.name 'Ädä'; git config user.email a@a; echo one >a; git add a; git commit -qm one; \
         git rev-parse HEAD; git checkout -qb side; echo s >side; printf '\\0bin' >'odd \"name'; git add -A; git commit -qm side; \
         git checkout -q main; git rm -q a; ln -s x link; mkdir d; echo t >d/t; chmod +x d/t; git add -A; git commit -qm two -m 'more text'; \
         git merge -q -m merged side; git commit -q --allow-empty --allow-empty-message -m ''";
    let sh = |script: &str| {
        let mut sh = Command::new("sh");
        let output = sh.args(["-ec", script]).current_dir(&dir).env("HOME", dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let base = String::from_utf8(sh(script)).unwrap().trim().to_owned();
    let text = sh(&format!(
        "git fast-export --signed-tags=strip --reencode=yes --reference-excluded-parents {base}..HEAD"
    ));
    let kept = kept(&text).unwrap();
    let messages: Vec<_> = kept.commits.iter().map(|commit| commit.message.as_str()).collect();
    let mut sorted = messages.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["", "merged\n", "side\n", "two\n\nmore text\n"]);
    let of = |message: &str| kept.commits.iter().find(|commit| commit.message == message).unwrap();
    assert_eq!(of("side\n").parents, [Parent::Known(base.clone())]);
    assert_eq!(of("merged\n").parents.len(), 2);
    assert!(of("two\n\nmore text\n").author.starts_with("Ädä <a@a> "));
    let paths = |message: &str| {
        let name = |step: &Step| match step {
            Step::Put { path, mode, .. } => format!("{} {}", mode.digits(), path.display()),
            Step::Remove(path) => format!("- {}", path.display()),
        };
        let mut paths: Vec<_> = of(message).steps.iter().map(name).collect();
        paths.sort();
        paths
    };
    assert_eq!(paths("side\n"), ["100644 odd \"name", "100644 side"]);
    assert_eq!(paths("two\n\nmore text\n"), ["- a", "100755 d/t", "120000 link"]);
    assert!(kept.blobs.iter().any(|(_, bytes)| bytes == b"\0bin"));
}

#[test]
fn a_path_that_cannot_be_in_a_repository_is_refused_however_it_is_written() {
    let put = "M 100644 :1 src/a";
    for path in [
        ".git/config",
        "../x",
        "a/../b",
        "a/./b",
        "/etc/passwd",
        "a//b",
        "a/",
        "",
        ".GIT/x",
        "git~1/x",
        "a/.git",
        "a/.Git/hooks/x",
        "\".git/config\"",
        "\"\\056git/config\"",
        "\"a\\000b\"",
        "\"unended",
        "\"a\\q\"",
        ".g\u{200c}it/config",
        ".git::$INDEX_ALLOCATION/x",
        "a/.git./x",
        "a/.git /x",
        "..",
        ".",
    ] {
        let said = refused(put, &format!("M 100644 :1 {path}"));
        assert!(
            said.contains("cannot be in a repository") || said.contains("not a change"),
            "{path:?}: {said}"
        );
        let removed = format!("D {path}");
        refused("D b", &removed);
    }
    for path in [
        "plain",
        "with blank",
        "\"tab\\there\"",
        "\"\\303\\244\"",
        ".gitignore",
        "a/.gitattributes",
        "\"new\\nline\"",
    ] {
        assert!(kept(&text(put, &format!("M 100644 :1 {path}"))).is_ok(), "{path}");
    }
    let long = "x/".repeat(3000) + "y";
    refused(put, &format!("M 100644 :1 {long}"));
    // Git itself follows no link in the place of its other files.
    for path in [".gitmodules", ".GitModules"] {
        let said = refused(put, &format!("M 120000 :1 {path}"));
        assert!(said.contains("cannot be in a repository"), "{path}: {said}");
    }
}

#[test]
fn what_is_not_a_plain_history_is_refused() {
    let put = "M 100644 :1 src/a";
    for (line, other, says) in [
        (put, "M 160000 0123456789012345678901234567890123456789 sub", "a kind of file that is not taken"),
        (put, "M 040000 :1 d", "a kind of file that is not taken"),
        (put, "M 100664 :1 d", "a kind of file that is not taken"),
        (put, "M 100644 inline d", "names no earlier contents"),
        (put, "M 100644 :2 d", "names no earlier contents"),
        (put, "M 100644 :9 d", "names no earlier contents"),
        (put, "R a b", "not a part of a history"),
        (put, "C a b", "not a part of a history"),
        (put, "N :1 x", "not a part of a history"),
        (put, "deleteall", "not a part of a history"),
        ("mark :2", "mark :1", "was there before"),
        ("mark :2", "mark 2", "a number was to come"),
        ("mark :2", "mark :-2", "a number was to come"),
        ("author A <a@a> 1700000000 +0100", "author A <a@a>", "not a person"),
        ("author A <a@a> 1700000000 +0100", "author A <a@a> now", "not a person"),
        ("author A <a@a> 1700000000 +0100", "author \u{1b}]52;c;x\u{7} <a@a> 1 +0000", "not a person"),
        ("author A <a@a> 1700000000 +0100", "author A <a<b@a> 1 +0000", "not a person"),
        ("author A <a@a> 1700000000 +0100", "author A <a@a> 99999999999999999 +0000", "not a person"),
        ("committer B", "commiter B", "a committer was to come"),
        ("data 8\nmessage\n", "data 8\nmess\u{1b}ge\n", "a message has what a terminal obeys"),
        ("data 8\nmessage\n", "encoding latin1\ndata 8\nmessage\n", "a length was to come"),
        ("data 8\nmessage\n", "data <<END\nmessage\nEND\n", "a length was to come"),
        ("data 8\nmessage\n", "data 8000000\nmessage\n", "more than they may"),
        ("data 4\nabc\n", "data 400\nabc\n", "cut off"),
        ("data 4\nabc\n", "data 99999999999999999999\nabc\n", "a length was to come"),
        ("data 4\nabc\n", "data 999999999999\nabc\n", "more than they may"),
        ("from 0123456789012345678901234567890123456789\nM", "M", "does not build on another one"),
        (
            "from 0123456789012345678901234567890123456789\nM",
            "from refs/heads/main\nM",
            "names no earlier commit",
        ),
        ("from 0123456789012345678901234567890123456789\nM", "from :2\nM", "names no earlier commit"),
        ("from 0123456789012345678901234567890123456789\nM", "from :1\nM", "names no earlier commit"),
        ("blob\n", "tag v1\n", "not a part of a history"),
        ("blob\n", "option git quiet\n", "not a part of a history"),
        ("blob\n", "feature import-marks=/etc/passwd\n", "not a part of a history"),
        ("blob\n", "cat-blob :1\n", "not a part of a history"),
        ("blob\n", "ls \"x\"\n", "not a part of a history"),
        ("blob\n", "checkpoint\n", "not a part of a history"),
        ("D b\n\n", "D b", "it is cut off"),
    ] {
        let said = refused(line, other);
        assert!(said.contains(says), "{other:?}: {said}");
    }
}

#[test]
fn a_text_that_is_cut_anywhere_is_refused_or_a_whole_part_of_it() {
    let whole = text("D b", "D b");
    for end in 0..whole.len() {
        if let Ok(kept) = kept(&whole[..end]) {
            assert!(kept.commits.is_empty() || end > whole.len() - 30, "cut at {end}");
        }
    }
}
