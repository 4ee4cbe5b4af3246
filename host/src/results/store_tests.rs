//! Tests of the store on results that are written by hand.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::results::model::{Base, Change, LeftOut, Origin};

/// Writes the result of a run, with so many bytes of contents.
pub(crate) fn put(store: &Store, run: &str, saved_unix: u64, state: ResultState, bytes: u64) -> SavedResult {
    let result = SavedResult {
        version: VERSION,
        run: run.to_owned(),
        name: format!("fake-{run}"),
        agent: run.split('-').next().unwrap().to_owned(),
        bottle: "dev".to_owned(),
        backend: "fake".to_owned(),
        directory: PathBuf::from("/project"),
        base: Base::default(),
        saved_unix,
        complete: true,
        secrets_checked: true,
        files: Vec::new(),
        left_out: LeftOut::default(),
        origin: Origin::default(),
        sealed: Vec::new(),
        commits: None,
        gone: Vec::new(),
        kept: None,
        digest: String::new(),
    };
    let dir = store.dir(run);
    DirBuilder::new().recursive(true).mode(0o700).create(dir.join(FILES)).unwrap();
    fs::write(dir.join(DOCUMENT), serde_json::to_vec(&result).unwrap()).unwrap();
    fs::File::create(dir.join(FILES).join("content")).unwrap().set_len(bytes).unwrap();
    if state != ResultState::New {
        fs::write(dir.join(JOURNAL), serde_json::json!({ "state": state }).to_string()).unwrap();
    }
    result
}

/// The same of a result that has a changed file.
pub(crate) fn put_work(store: &Store, run: &str, saved_unix: u64, state: ResultState, bytes: u64) {
    let result = put(store, run, saved_unix, state, bytes);
    let files = vec![Change::new("changed", None, None)];
    let text = serde_json::to_vec(&SavedResult { files, ..result }).unwrap();
    fs::write(store.dir(run).join(DOCUMENT), text).unwrap();
}

#[test]
fn results_that_were_taken_go_by_themselves_and_new_ones_never() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    assert!(store.all().unwrap().is_empty());
    for n in 0..30 {
        put_work(&store, &format!("new-{n:02}"), n, ResultState::New, 1);
        let state = [ResultState::Applied, ResultState::Undone, ResultState::Resumed][n as usize % 3];
        put(&store, &format!("taken-{n:02}"), n, state, 1);
    }
    store.prune(|_| false).unwrap();
    let names = store.names().unwrap();
    assert_eq!(names.iter().filter(|name| name.starts_with("new")).count(), 30);
    assert_eq!(names.iter().filter(|name| name.starts_with("taken")).count(), KEPT);
    assert!(!names.contains(&"taken-09".to_owned()) && names.contains(&"taken-10".to_owned()));
    assert!(store.over_bound(|_| false).unwrap().is_none());
}

#[test]
fn of_mere_conversations_the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    for n in 0..25 {
        put(&store, &format!("talk-{n:02}"), n, ResultState::New, 1);
        put_work(&store, &format!("new-{n:02}"), n, ResultState::New, 1);
    }
    store.prune(|_| false).unwrap();
    let names = store.names().unwrap();
    assert_eq!(names.iter().filter(|name| name.starts_with("new")).count(), 25);
    assert_eq!(names.iter().filter(|name| name.starts_with("talk")).count(), KEPT);
    assert!(!names.contains(&"talk-04".to_owned()) && names.contains(&"talk-05".to_owned()));
}

#[test]
fn a_store_over_its_bound_names_its_largest_result() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    put(&store, "old-1", 1, ResultState::Applied, 1);
    put(&store, "new-1", 2, ResultState::New, 2 << 30);
    put(&store, "new-2", 3, ResultState::New, (3 << 30) + 1);
    store.prune(|_| false).unwrap();
    assert_eq!(store.names().unwrap(), ["new-1", "new-2"]);
    assert_eq!(store.over_bound(|_| false).unwrap().unwrap().1.result.run, "new-2");
}

#[test]
fn a_result_of_another_version_is_refused_by_name_and_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    put(&store, "one-1", 1, ResultState::New, 1);
    let mut other = put(&store, "two-1", 2, ResultState::New, 1);
    other.version = VERSION + 1;
    fs::write(store.dir("two-1").join(DOCUMENT), serde_json::to_vec(&other).unwrap()).unwrap();
    assert!(format!("{:#}", store.get("two-1").unwrap_err()).contains("is of version 2"));
    assert_eq!(store.all().unwrap().len(), 1);
    store.remove("two-1").unwrap();
    store.remove("two-1").unwrap();
    assert_eq!(store.names().unwrap(), ["one-1"]);
}

#[test]
fn what_was_being_written_when_a_process_was_killed_goes_after_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    put(&store, "new-1", 1, ResultState::New, 1);
    for (name, hours) in [(".draft-old", 25), (".draft-young", 23)] {
        fs::create_dir(store.dir(name)).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
        fs::File::open(store.dir(name)).unwrap().set_modified(then).unwrap();
    }
    store.prune(|_| false).unwrap();
    assert!(
        !store.dir(".draft-old").exists()
            && store.dir(".draft-young").exists()
            && store.dir("new-1").exists()
    );
}
