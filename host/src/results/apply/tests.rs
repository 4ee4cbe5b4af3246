//! A result on a directory: exactly the bottle's tree, exactly the start's again, and nothing in between.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::results::made::{Made, census};
use crate::results::model::Change;

thread_local! {
    static DIES_AFTER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// After how many steps the process is to die.
pub(super) fn dies_after() -> Option<usize> {
    DIES_AFTER.get()
}

fn all(saved: &Saved) -> Vec<&Change> {
    saved.result.files.iter().collect()
}

/// Opens a session. A program that another test starts at this moment has the lock until it is another program.
fn open<'s>(saved: &'s Saved, here: &Path) -> Result<Session<'s>, ApplyError> {
    loop {
        match Session::open(saved, here) {
            Err(ApplyError::Busy(_)) => std::thread::yield_now(),
            other => return other,
        }
    }
}

fn apply(saved: &Saved, here: &Path) -> Result<Outcome, ApplyError> {
    let mut session = open(saved, here)?;
    assert_eq!(session.recover()?, Left::default());
    let plan = session.plan(&all(saved));
    assert_eq!(plan.conflicts, []);
    session.apply(&plan)
}

fn undo(saved: &Saved, here: &Path) -> Result<Outcome, ApplyError> {
    let mut session = open(saved, here)?;
    assert_eq!(session.recover()?, Left::default());
    session.undo()
}

fn conflicts(saved: &Saved, here: &Path) -> Vec<(String, String)> {
    let plan = open(saved, here).unwrap().plan(&all(saved));
    plan.conflicts.into_iter().map(|conflict| (conflict.path.display().to_string(), conflict.why)).collect()
}

/// Marsaglia's xorshift: <https://doi.org/10.18637/jss.v008.i14>.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end
    }
}

/// Names that a program which takes paths for text stumbles over.
fn name(random: &mut Random) -> OsString {
    let odd: [&[u8]; 8] =
        [b"\xff\xfe", b"a\nb", b"\x1b[2J", b" ", b"-rf", b"x'\"$(id)", "\u{e9}".as_bytes(), b"e\xcc\x81"];
    match random.below(12) {
        index @ 0..8 => OsString::from_vec(odd[index].to_vec()),
        8 => OsString::from_vec(vec![b'n'; 255]),
        _ => format!("n{}", random.below(8)).into(),
    }
}

/// Fills a tree at random, or changes what is there.
fn shake(tree: &Path, random: &mut Random, times: usize) {
    for _ in 0..times {
        let mut path = tree.to_owned();
        for _ in 0..=random.below(3) {
            path.push(name(random));
            if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                break;
            }
        }
        let found = fs::symlink_metadata(&path);
        match (&found, random.below(4)) {
            (Ok(found), 0) if found.is_file() => {
                fs::set_permissions(&path, fs::Permissions::from_mode(found.mode() ^ 0o111)).unwrap();
                continue;
            }
            (Ok(found), _) if found.is_dir() => fs::remove_dir_all(&path).unwrap(),
            (Ok(_), _) => fs::remove_file(&path).unwrap(),
            (Err(_), _) => {}
        }
        match random.below(5) {
            0 => symlink(name(random), &path).unwrap(),
            1 => fs::create_dir(&path).unwrap(),
            2 if found.is_ok() => {}
            3 => {
                fs::create_dir(&path).unwrap();
                shake(&path, random, 3);
            }
            _ => fs::write(&path, "text\r\n\0".repeat(random.below(40))).unwrap(),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

fn shaken(seed: u64) -> Made {
    let (made, mut random) = (Made::new(), Random(seed));
    shake(&made.path("before"), &mut random, 25);
    copy(&made.path("before"), &made.path("after"));
    copy(&made.path("before"), &made.path("here"));
    shake(&made.path("after"), &mut random, 25);
    made
}

#[test]
fn apply_gives_the_bottles_tree_and_undo_the_starts() {
    for seed in 1..=16_u64 {
        let made = shaken(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (saved, here) = (made.save(), made.here());
        let before = census(&here);
        assert_eq!(before, census(&made.path("before")));
        apply(&saved, &here).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert_eq!(census(&here), census(&made.path("after")), "seed {seed}");
        assert_eq!(apply(&saved, &here).unwrap().written, 0, "seed {seed}");
        undo(&saved, &here).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert_eq!(census(&here), before, "seed {seed}");
    }
}

#[test]
fn a_kill_at_each_step_is_gone_back_from() {
    for seed in [3_u64, 17] {
        let made = shaken(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (saved, here) = (made.save(), made.here());
        let (before, after) = (census(&here), census(&made.path("after")));
        let steps = open(&saved, &here).unwrap().plan(&all(&saved)).steps.len();
        for step in 0..=steps {
            DIES_AFTER.set(Some(step));
            assert!(matches!(apply(&saved, &here), Err(ApplyError::Killed)));
            DIES_AFTER.set(None);
            // Going back is the first thing that the next command does.
            let mut session = open(&saved, &here).unwrap();
            assert_eq!(session.is_cut_off(), step < steps);
            assert_eq!(session.recover().unwrap(), Left::default(), "seed {seed}, step {step}");
            drop(session);
            let expected = if step < steps { &before } else { &after };
            assert_eq!(census(&here), *expected, "seed {seed}, step {step}");
            apply(&saved, &here).unwrap();
            assert_eq!(census(&here), after, "seed {seed}, step {step}");
            DIES_AFTER.set(Some(step));
            assert!(matches!(undo(&saved, &here), Err(ApplyError::Killed)));
            DIES_AFTER.set(None);
            undo(&saved, &here).unwrap();
            assert_eq!(census(&here), before, "seed {seed}, step {step}");
        }
    }
}

/// The tree of a published crate, changed at random places.
#[test]
fn a_real_tree_is_exact_there_and_back() {
    let registry = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let registry = registry.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap();
    let indexes = fs::read_dir(registry.join("registry/src")).unwrap().map(|entry| entry.unwrap().path());
    let crates = indexes.flat_map(|index| fs::read_dir(index).unwrap()).map(|entry| entry.unwrap().path());
    let tree = crates
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("rustix-1."))
        .max()
        .unwrap();
    let (made, mut random) = (Made::new(), Random(0x5eed_0003));
    for place in ["before", "after", "here"] {
        copy(&tree, &made.path(place));
    }
    let files: Vec<PathBuf> = census(&tree).into_keys().collect();
    for _ in 0..120 {
        let path = made.path("after").join(&files[random.below(files.len())]);
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        match random.below(6) {
            0 if found.is_dir() => fs::remove_dir_all(&path).unwrap(),
            _ if !found.is_file() => {}
            0 => fs::remove_file(&path).unwrap(),
            1 => fs::rename(&path, path.with_extension("moved")).unwrap(),
            2 => fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap(),
            3 => {
                fs::remove_file(&path).unwrap();
                symlink("../x", &path).unwrap();
            }
            4 => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                fs::write(path.join("inner"), "x").unwrap();
            }
            _ => fs::write(&path, [fs::read(&path).unwrap(), b"// more\n".to_vec()].concat()).unwrap(),
        }
    }
    let (saved, here) = (made.save(), made.here());
    let before = census(&here);
    apply(&saved, &here).unwrap();
    assert_eq!(census(&here), census(&made.path("after")));
    undo(&saved, &here).unwrap();
    assert_eq!(census(&here), before);
}

#[test]
fn a_file_that_changed_here_stops_everything() {
    let made = Made::new();
    made.before("same", "1")
        .before("edited", "1")
        .before("removed", "1")
        .before("retyped", "1")
        .before("bit", "1");
    for path in ["same", "edited", "removed", "retyped", "bit"] {
        made.after(path, "2");
    }
    made.after("appeared", "2").gone("same");
    let (saved, here) = (made.save(), made.here());
    fs::write(here.join("edited"), "mine").unwrap();
    fs::remove_file(here.join("removed")).unwrap();
    fs::remove_file(here.join("retyped")).unwrap();
    symlink("same", here.join("retyped")).unwrap();
    fs::set_permissions(here.join("bit"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(here.join("appeared"), "mine").unwrap();
    fs::write(here.join(".env"), "SECRET=1").unwrap();
    let before = census(&here);
    let found = conflicts(&saved, &here);
    let expected = [
        ("appeared", "a file of that name is here now"),
        ("bit", "its executable bit was changed here since"),
        ("edited", "it was changed here since"),
        ("removed", "it was removed here since"),
        ("retyped", "it is a link here now"),
    ];
    assert_eq!(found, expected.map(|(path, why)| (path.to_owned(), why.to_owned())));
    assert_eq!(census(&here), before);
}

#[test]
fn what_is_already_as_the_agent_left_it_counts_and_is_not_undone() {
    let made = Made::new();
    made.before("a", "1").after("a", "2").before("b", "1").after("b", "2").after("new/c", "3");
    let (saved, here) = (made.save(), made.here());
    fs::write(here.join("a"), "2").unwrap();
    let mut session = open(&saved, &here).unwrap();
    let plan = session.plan(&all(&saved));
    assert_eq!((plan.already, plan.steps.len()), (1, 3));
    session.apply(&plan).unwrap();
    drop(session);
    undo(&saved, &here).unwrap();
    // It was the user who made it so.
    assert_eq!(fs::read_to_string(here.join("a")).unwrap(), "2");
    assert_eq!(fs::read_to_string(here.join("b")).unwrap(), "1");
    assert!(!here.join("new").exists());
}

#[test]
fn undo_leaves_what_the_user_made_or_changed_since() {
    let made = Made::new();
    made.before("edited", "1").after("edited", "2").before("gone", "1").gone("gone");
    made.after("dir/new", "2").after("dir/other", "2");
    let (saved, here) = (made.save(), made.here());
    apply(&saved, &here).unwrap();
    fs::write(here.join("edited"), "mine").unwrap();
    fs::write(here.join("dir/mine"), "mine").unwrap();
    fs::write(here.join("dir/.env"), "mine").unwrap();
    fs::write(here.join("dir/other"), "mine").unwrap();
    let outcome = undo(&saved, &here).unwrap();
    assert_eq!(outcome.changed_since, [Path::new("dir/other"), Path::new("edited")]);
    assert_eq!(fs::read_to_string(here.join("edited")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(here.join("gone")).unwrap(), "1");
    let left: Vec<_> = census(&here).into_keys().collect();
    assert_eq!(left, ["dir", "dir/.env", "dir/mine", "dir/other", "edited", "gone"].map(PathBuf::from));
    // What stays can be undone later.
    fs::write(here.join("edited"), "2").unwrap();
    assert_eq!(undo(&saved, &here).unwrap().changed_since, [Path::new("dir/other")]);
    assert_eq!(fs::read_to_string(here.join("edited")).unwrap(), "1");
}

#[test]
fn a_directory_with_something_else_in_it_stays_or_is_a_conflict() {
    let made = Made::new();
    made.before("goes/a", "1").before("file/a", "1");
    fs::remove_dir_all(made.path("after").join("goes")).unwrap();
    fs::remove_dir_all(made.path("after").join("file")).unwrap();
    let saved = made.save();
    let here = made.here();
    fs::write(here.join("goes/ignored.o"), "x").unwrap();
    let outcome = apply(&saved, &here).unwrap();
    assert_eq!(outcome.kept, [Path::new("goes")]);
    assert!(
        here.join("goes/ignored.o").exists() && !here.join("goes/a").exists() && !here.join("file").exists()
    );
    undo(&saved, &here).unwrap();
    assert_eq!(fs::read_to_string(here.join("goes/a")).unwrap(), "1");

    let made = Made::new();
    made.before("file/a", "1");
    fs::remove_dir_all(made.path("after").join("file")).unwrap();
    made.after("file", "now a file");
    let (saved, here) = (made.save(), made.here());
    fs::write(here.join("file/mine"), "x").unwrap();
    let found = conflicts(&saved, &here);
    assert_eq!(found, [("file".to_owned(), "`file/mine` is in this directory here".to_owned())]);
}

#[test]
fn a_link_of_the_users_on_the_way_is_a_conflict_and_leads_nowhere() {
    let made = Made::new();
    made.before("sub/a", "1").after("sub/a", "2").after("sub/new", "2").after("other/b", "2");
    let (saved, here) = (made.save(), made.here());
    let outside = made.path("outside");
    fs::rename(here.join("sub"), &outside).unwrap();
    symlink(&outside, here.join("sub")).unwrap();
    let before = census(&outside);
    let why = "`sub` is a link here".to_owned();
    assert_eq!(conflicts(&saved, &here), [("sub/a".to_owned(), why.clone()), ("sub/new".to_owned(), why)]);
    assert_eq!(census(&outside), before);
}

#[test]
fn a_parent_swapped_for_a_link_between_check_and_write_leads_nowhere() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let made = Made::new();
    made.before("sub/a", "1").after("sub/a", "2").after("sub/b", "2");
    let (saved, here, outside) = (made.save(), made.here(), made.path("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "1").unwrap();
    let before = (census(&outside), fs::metadata(&outside).unwrap().mtime_nsec());
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let (sub, away, link) = (here.join("sub"), here.join("away"), here.join("link"));
            symlink(&outside, &link).unwrap();
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&sub, &away).unwrap();
                fs::rename(&link, &sub).unwrap();
                fs::rename(&sub, &link).unwrap();
                fs::rename(&away, &sub).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let tree = Tree::open(&here).unwrap();
        let contents = Contents::new(&saved.dir);
        let plan = plan::plan(&Tree::open(&made.path("before")).unwrap(), &wanted(&saved));
        let mut back: Vec<Step> = plan.steps.iter().map(Step::reversed).collect();
        order::sort(&mut back);
        // The thread is in the way of going back too, so that is tried until it is done.
        let write = |steps: &[Step], name: &str| {
            let stage = Stage::make(&tree, name).unwrap();
            let done = Writer::new(&tree, &stage, steps).run(&contents);
            if let Err(ApplyError::Left { .. }) = done {
                while !restore::take_back(&tree, &stage, steps, steps.len()).is_empty() {}
            } else if done.is_ok() {
                assert_eq!(write::finish(&tree, &stage, steps).unwrap(), Vec::<PathBuf>::new());
            }
            done.is_ok()
        };
        for round in 0.. {
            if round > 500 && swaps.load(Ordering::Relaxed) > 10_000 {
                break;
            }
            if write(&plan.steps, &format!("stage-{round}")) {
                while !write(&back, "back") {}
            }
        }
        stop.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
    });
    assert_eq!((census(&outside), fs::metadata(&outside).unwrap().mtime_nsec()), before);
}

fn wanted(saved: &Saved) -> Vec<Wanted<'_>> {
    saved.result.files.iter().map(|change| Wanted { change }).collect()
}

#[test]
fn a_file_that_changes_after_the_check_is_not_lost() {
    let made = Made::new();
    made.before("a", "1").after("a", "2").before("z", "1").after("z", "2");
    let (saved, here) = (made.save(), made.here());
    let mut session = open(&saved, &here).unwrap();
    let plan = session.plan(&all(&saved));
    fs::write(here.join("z"), "mine").unwrap();
    let before = census(&here);
    let error = session.apply(&plan).unwrap_err();
    assert!(matches!(&error, ApplyError::Changed(path) if path == Path::new("z")), "{error:?}");
    assert_eq!(census(&here), before);
    assert!(!session.is_cut_off());
}

#[test]
fn a_damaged_result_writes_nothing() {
    let made = Made::new();
    made.before("a", "1").after("a", "2").after("b", "3");
    let (saved, here) = (made.save(), made.here());
    fs::write(saved.file(&crate::results::made::hash(b"3")), "4").unwrap();
    let before = census(&here);
    assert!(matches!(apply(&saved, &here), Err(ApplyError::Damaged(path)) if path == Path::new("b")));
    assert_eq!(census(&here), before);
}

#[test]
fn two_at_once_do_not_mix() {
    let made = Made::new();
    made.before("a", "1").after("a", "2");
    let (saved, here) = (made.save(), made.here());
    let first = open(&saved, &here).unwrap();
    assert!(matches!(Session::open(&saved, &here), Err(ApplyError::Busy(_))));
    drop(first);
    apply(&saved, &here).unwrap();
}

#[test]
fn modes_are_the_users_own_but_for_the_executable_bit() {
    let made = Made::new();
    made.before("private", "1").after("private", "2").after("tool", "#!/bin/sh\n").after("plain", "x");
    fs::set_permissions(made.path("after").join("tool"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(made.path("after").join("plain"), fs::Permissions::from_mode(0o666)).unwrap();
    let (saved, here) = (made.save(), made.here());
    fs::set_permissions(here.join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    apply(&saved, &here).unwrap();
    let mode = |name: &str| fs::metadata(here.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("private"), 0o600);
    assert_eq!((mode("tool") & 0o7700, mode("plain") & 0o7700), (0o700, 0o600));
    undo(&saved, &here).unwrap();
    assert_eq!(mode("private"), 0o600);
}

#[test]
fn another_file_system_on_the_way_is_a_conflict() {
    // The root of a system has others mounted below it.
    let tree = Tree::open(Path::new("/")).unwrap();
    assert!(matches!(tree.look(Path::new("proc/version")), Err(PlaceError::Mounted(_))));
    assert!(matches!(tree.look(Path::new("../x")), Err(PlaceError::Path(_))));
    assert!(matches!(tree.look(Path::new("/etc/passwd")), Err(PlaceError::Path(_))));
}
