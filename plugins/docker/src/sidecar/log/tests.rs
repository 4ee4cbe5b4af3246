//! Following and saving on a recording engine.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::*;
use crate::engine::recording::Recording;

fn engine(output: &[u8], followed: &[&[u8]]) -> Arc<Recording> {
    let engine = Recording::default();
    *engine.output.lock().unwrap() = output.to_vec();
    *engine.followed.lock().unwrap() = followed.iter().map(|piece| piece.to_vec()).collect();
    Arc::new(engine)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Waits until the file in this directory has this content.
fn wait_for(dir: &Path, content: &str) {
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&changes, dir, inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY).unwrap();
    while std::fs::read_to_string(dir.join(claude_bottle_kit::decisions::NAME)).unwrap_or_default() != content
    {
        let mut waited = [PollFd::new(&changes, PollFlags::IN)];
        let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
        assert_eq!(poll(&mut waited, Some(&patience)).unwrap(), 1, "the file is not `{content}`");
        rustix::io::read(&changes, &mut [0; 4096]).unwrap();
    }
}

#[test]
fn what_is_said_is_in_the_file_at_once_and_completed_at_the_end() {
    let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
    let engine =
        engine(b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n", &[b"{\"a\":1}\n", b"{\"b\"", b":2}\n", b"{\"c"]);
    let followers = Followers::default();
    let task = follow(Arc::clone(&engine), "id".to_owned(), dir.path().to_owned());
    followers.add("run".to_owned(), runtime.spawn(task));
    wait_for(dir.path(), "{\"a\":1}\n{\"b\":2}\n");
    assert_eq!(Arc::strong_count(&engine.following), 2);

    runtime.block_on(followers.end("run"));
    assert_eq!(Arc::strong_count(&engine.following), 1, "the connection to the engine is still there");
    assert_eq!(Arc::strong_count(&engine), 1, "the task is still there");
    runtime.block_on(save(&*engine, "id", dir.path())).unwrap();
    runtime.block_on(save(&*engine, "id", dir.path())).unwrap();
    wait_for(dir.path(), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    let calls = engine.calls.lock().unwrap().clone();
    assert_eq!(calls[..3], ["follow id", "stop-container id", "logs id"]);
}

#[test]
fn a_run_whose_records_are_gone_is_not_asked_for() {
    let (runtime, engine) = (runtime(), engine(b"x\n", &[]));
    runtime.block_on(save(&*engine, "id", Path::new("/no/such/directory"))).unwrap();
    assert_eq!(*engine.calls.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_label_names_a_directory_of_ours_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let labelled = |path: &Path| {
        let labels = BTreeMap::from([(key::STATE_DIR.to_owned(), path.to_str().unwrap().to_owned())]);
        labelled_dir(&Found { labels, ..Found::default() })
    };
    assert_eq!(labelled(dir.path()).as_deref(), Some(dir.path()));
    assert_eq!(labelled_dir(&Found::default()), None);
    assert_eq!(labelled(&dir.path().join("gone")), None);
    assert_eq!(labelled(Path::new(".")), None);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    assert_eq!(labelled(&link), None);
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
    assert_eq!(labelled(dir.path()), None);
}
