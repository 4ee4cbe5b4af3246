//! Tests of the comparison: a directory is indexed, changed, and archived by GNU tar as a backend would.

use std::fs::{self, File};
use std::process::Command;

use claude_bottle_plugin_api::EntryPath;

use super::*;
use crate::results::archive::Archive;
use crate::results::baseline::{Baseline, Indexer};
use crate::results::ignored::{Ignored, RuleFile};
use crate::results::model::ChangeKind;
use crate::results::store::Store;
use crate::results::stream;

/// A working directory that is changed by a script, and what came of it.
struct Case {
    dir: tempfile::TempDir,
    known: Known,
}

fn sh(dir: &Path, script: &str) -> Vec<u8> {
    let output = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Case {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        sh(&dir.path().join("work"), script);
        let index = dir.path().join("index");
        let mut indexer = Indexer::new(File::create(&index).unwrap());
        stream::read(archive(dir.path()).as_slice(), &mut indexer).unwrap();
        indexer.finish().unwrap();
        let known = Known { baseline: Baseline::read(&index).unwrap(), ..Known::default() };
        Self { dir, known }
    }

    fn ignoring(mut self, rules: &str, tracked: &[&str]) -> Self {
        let file = RuleFile { directory: EntryPath::new(""), rules: rules.to_owned() };
        self.known.ignored = Some(Ignored::new(&[file], &[]));
        self.known.tracked = tracked.iter().map(PathBuf::from).collect();
        self
    }

    fn change(&self, script: &str) -> &Self {
        sh(&self.dir.path().join("work"), script);
        self
    }

    /// Reads the export as often as needed.
    fn collect(&self) -> (Collected, Draft, Vec<String>, usize) {
        let store = Store::new(self.dir.path());
        let archive = archive(self.dir.path());
        let mut learnt = Learnt::default();
        for reading in 1.. {
            let mut draft = Draft::begin(&store, "run-1", 64 << 20).unwrap();
            let mut git = draft.seal("git.tar").unwrap();
            let mut collector = Collector::new(&self.known, &mut draft, &mut git, &learnt);
            stream::read(archive.as_slice(), &mut collector).unwrap();
            match collector.finish() {
                Ok(collected) => {
                    let sealed = sealed(&mut draft, git);
                    return (collected, draft, sealed, reading);
                }
                Err(more) => learnt = more,
            }
        }
        unreachable!()
    }

    /// Returns the changes as a letter and a path, and checks that the contents are kept.
    fn changes(&self) -> Vec<String> {
        let (collected, draft, ..) = self.collect();
        collected.changes.iter().map(|change| self.describe(change, &draft)).collect()
    }

    fn describe(&self, change: &Change, draft: &Draft) -> String {
        let letter = match change.change {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'M',
            ChangeKind::Deleted => 'D',
        };
        let path = change.path.as_path();
        if let Some(sha256) = change.new.as_ref().and_then(|new| new.sha256.as_deref()) {
            let kept = fs::read(draft.file(&crate::results::hash::from_hex(sha256).unwrap())).unwrap();
            assert_eq!(
                kept,
                fs::read(self.dir.path().join("work").join(path)).unwrap(),
                "{}",
                path.display()
            );
        }
        format!("{letter} {}", path.display())
    }
}

fn archive(dir: &Path) -> Vec<u8> {
    sh(dir, "tar --format=pax --sort=name -cf - work")
}

fn sealed(draft: &mut Draft, git: Archive) -> Vec<String> {
    let Some(sealed) = draft.sealed("git.tar", git).unwrap() else { return Vec::new() };
    let tar = draft.dir().join("sealed").join(sealed.name);
    let list = sh(draft.dir(), &format!("tar -tf '{}'", tar.display()));
    String::from_utf8(list).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_kind_of_change_is_found_and_nothing_else() {
    let case = Case::new(
        "echo one >same; echo two >edited; echo x >gone; echo x >mode; echo x >retyped; ln -s a relinked; mkdir -p d/e old; \
         echo x >d/moved; echo x >d/e/same; touch old/x",
    );
    assert_eq!(case.changes(), Vec::<String>::new());
    case.change(
        "echo 2wo >edited; rm gone; chmod +x mode; rm retyped; ln -s same retyped; ln -sf b relinked; mkdir empty; \
         mv d/moved moved; echo new >new; touch d/none; rm -r old; touch same",
    );
    let expected = [
        "M edited",
        "A empty",
        "D gone",
        "M mode",
        "A moved",
        "A new",
        "D old",
        "D old/x",
        "M relinked",
        "M retyped",
        "D d/moved",
        "A d/none",
    ];
    let mut changes = case.changes();
    let mut expected: Vec<_> = expected.map(str::to_owned).into();
    changes.sort();
    expected.sort();
    assert_eq!(changes, expected);
    assert!(case.known.baseline.find(Path::new("d/e/same")).is_some());
}

#[test]
fn odd_names_and_empty_files_are_carried() {
    let case = Case::new("true");
    case.change(
        "touch \"$(printf 'a\\nb')\" \"$(printf 'esc\\033[2J')\" \"$(printf '\\377\\376')\" \"$(printf '%0255d' 7)\"; \
         echo x >\"$(printf '%0255d' 8)\"; mkdir -p e/m/p/t/y",
    );
    assert_eq!(case.changes().len(), 10);
}

#[test]
fn what_the_hosts_git_ignores_is_left_behind_and_counted_and_what_it_tracks_is_not() {
    let case = Case::new("mkdir target; echo old >target/old; echo x >kept.log; echo x >other.log");
    let case = case.ignoring("target/\n*.log\n", &["kept.log"]);
    case.change("echo newer >target/old; echo 12345 >target/new; echo y >kept.log; rm other.log; echo '!*' >.gitignore");
    let (collected, draft, ..) = case.collect();
    let changes: Vec<_> = collected.changes.iter().map(|change| case.describe(change, &draft)).collect();
    assert_eq!(changes, ["A .gitignore", "M kept.log"]);
    assert_eq!((collected.left_out.ignored.files, collected.left_out.ignored.bytes), (2, 12));
    assert_eq!(collected.agent_rules, [(PathBuf::new(), "!*\n".to_owned())]);
}

#[test]
fn the_repository_is_sealed_as_far_as_it_changed_and_other_spellings_of_it_are_named() {
    let case = Case::new(
        "mkdir -p .git/hooks sub/.git; echo a >.git/config; echo b >.git/HEAD; echo c >sub/.git/config",
    );
    case.change(
        "echo evil >.git/hooks/pre-commit; echo b2 >.git/HEAD; mkdir -p .GIT a; echo x >.GIT/config; echo x >'a/git~1'; \
         ln -s /etc .git/link",
    );
    let (collected, _, sealed, _) = case.collect();
    let changes: Vec<_> = collected.changes.iter().map(|change| change.path.as_path()).collect();
    assert_eq!(changes, [Path::new("a")]);
    assert_eq!(sealed, [".git/HEAD", ".git/hooks/pre-commit", ".git/link"]);
    let refused: Vec<_> = collected.left_out.refused.iter().map(EntryPath::as_path).collect();
    assert_eq!(refused, [Path::new(".GIT"), Path::new("a/git~1")]);
    // What was copied in under such a name and is the same is not named.
    case.change("echo c2 >sub/.git/config");
    assert_eq!(case.collect().0.left_out.refused.len(), 3);
}

#[test]
fn what_is_gone_of_the_repository_is_named_once_and_objects_are_not() {
    let case = Case::new(
        "mkdir -p .git/refs/heads .git/objects/aa .git/rebase-merge .git/hooks; echo a >.git/refs/heads/x; \
         echo o >.git/objects/aa/b; echo m >.git/MERGE_HEAD; echo r >.git/rebase-merge/a; echo h >.git/hooks/pre-push",
    );
    assert!(!case.collect().0.has_own_refs);
    case.change("rm -r .git/objects/aa .git/MERGE_HEAD .git/rebase-merge; chmod +x .git/hooks/pre-push");
    let (collected, _, sealed, _) = case.collect();
    let gone: Vec<_> = collected.gone.iter().map(EntryPath::as_path).collect();
    assert_eq!(gone, [Path::new(".git/MERGE_HEAD"), Path::new(".git/rebase-merge")]);
    assert_eq!(sealed, [".git/hooks/pre-push"], "its executable bit counts");
    assert!(!collected.has_own_refs && collected.changes.is_empty());
    case.change("rm .git/refs/heads/x");
    assert!(case.collect().0.has_own_refs, "a branch that is gone");
    case.change("echo a >.git/refs/heads/x; echo b >.git/refs/stash");
    assert!(case.collect().0.has_own_refs, "a stash");
}

#[test]
fn work_trees_of_the_agents_own_are_left_out_named_and_sealed() {
    let case = Case::new("mkdir .git; echo x >x");
    case.change(
        "mkdir -p trees/one/deep; echo 'gitdir: /home/node/workspace/.git/worktrees/one' >trees/one/.git; \
         echo a >trees/one/a; echo b >trees/one/deep/b; echo c >trees/beside",
    );
    let (collected, _, sealed, readings) = case.collect();
    let changes: Vec<_> = collected.changes.iter().map(|change| change.path.as_path()).collect();
    assert_eq!(changes, [Path::new("trees"), Path::new("trees/beside")]);
    assert_eq!(collected.left_out.worktrees, [EntryPath::new("trees/one")]);
    assert_eq!((collected.left_out.refused.len(), readings), (0, 2));
    assert!(sealed.contains(&"trees/one/deep/b".to_owned()), "{sealed:?}");
}

#[test]
fn a_second_name_of_a_file_is_a_copy_of_it_whatever_became_of_the_first() {
    let case = Case::new("mkdir node_modules; echo unchanged >a; echo ignored >node_modules/x");
    let case = case.ignoring("node_modules\n", &[]);
    case.change(
        "ln a b; ln node_modules/x x; echo new >n; ln n o; mkdir .git; echo object >.git/o; ln .git/o .git/p; ln .git/o object",
    );
    assert_eq!(case.changes(), ["A b", "A n", "A o", "A object", "A x"]);
    assert_eq!(case.collect().3, 2, "what went by unkept is read again, once");
}

#[test]
fn a_large_file_of_the_same_size_is_kept_when_it_changed() {
    let case = Case::new("head -c 6000000 /dev/zero >large; head -c 6000000 /dev/zero >same");
    case.change("printf x | dd of=large bs=1 seek=5000000 conv=notrunc 2>/dev/null");
    assert_eq!(case.changes(), ["M large"]);
    assert_eq!(case.collect().3, 2);
}

#[test]
fn more_than_the_bound_is_refused_and_counted() {
    let case = Case::new("true");
    case.change("for n in 1 2 3 4; do head -c 1000000 /dev/urandom >$n; done");
    let store = Store::new(case.dir.path());
    let mut draft = Draft::begin(&store, "run-1", 2_500_000).unwrap();
    let mut git = draft.seal("git.tar").unwrap();
    let learnt = Learnt::default();
    let mut collector = Collector::new(&case.known, &mut draft, &mut git, &learnt);
    stream::read(archive(case.dir.path()).as_slice(), &mut collector).unwrap();
    assert!(collector.finish().is_ok());
    let error = draft.check_bound().unwrap_err().to_string();
    assert_eq!(error, "what changed has 4000000 bytes; the most is 2500000");
    let mut draft = Draft::begin(&store, "run-1", 1 << 30).unwrap();
    let mut collector = Collector::new(&case.known, &mut draft, &mut git, &learnt).with_most(3);
    let error = stream::read(archive(case.dir.path()).as_slice(), &mut collector).unwrap_err();
    assert!(error.to_string().contains("more than 3 files changed"), "{error}");
    drop(draft);
    assert_eq!(store.names().unwrap(), Vec::<String>::new());
    assert_eq!(fs::read_dir(store.dir("x").parent().unwrap()).unwrap().count(), 0, "a draft leaves nothing");
}

#[test]
fn devices_are_counted_and_never_made() {
    let case = Case::new("touch x");
    case.change("rm x; mkfifo x; mkfifo y");
    let (collected, ..) = case.collect();
    assert_eq!((collected.left_out.special, collected.changes.len()), (2, 1));
    assert_eq!(collected.changes[0].change, ChangeKind::Deleted);
}
