//! What comes out of a bottle that was halted: from the engine's own archives of a container that ended.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::thread;

use claude_bottle_backend_docker::Docker;
use claude_bottle_plugin_api::*;

use crate::support::{Run, backend, docker};

/// Exports, and returns files with their contents and links with their targets, by path.
fn exported(
    backend: &Docker,
    run: &Run,
    bottle: &Bottle,
    request: impl FnOnce(i32) -> ExportRequest,
) -> BTreeMap<String, String> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let exported = backend.export(&run.call(), bottle, &request(writer.as_raw_fd())).unwrap();
    drop(writer);
    let bytes = reading.join().unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut found = BTreeMap::new();
    let mut n_entries = 0;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        n_entries += 1;
        let path = entry.path().unwrap().components().skip(1).collect::<std::path::PathBuf>();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let target = entry.link_name().unwrap().map(|target| target.display().to_string());
        if !entry.header().entry_type().is_dir() {
            found.insert(path.display().to_string(), target.unwrap_or(content));
        }
    }
    assert_eq!(exported.entries, n_entries - 1);
    found
}

#[test]
fn the_work_and_the_history_come_out_of_a_halted_bottle_and_nothing_is_left_of_it() {
    let backend = backend(&[]);
    let mut run = Run::new("leaver", &[]);
    let source = run.dir.path().join("project");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("kept"), "kept").unwrap();
    let mut workspace = Workspace::new(&source);
    // At a place of its own, not in the home.
    workspace.path = Some("/srv/project".to_owned());
    workspace.index = Some(run.dir.path().join("index.jsonl"));
    run.spec.workspace = Some(workspace);
    let live = run.start(&backend);
    let script = "pwd; printf new >new; printf last >>kept; ln -s /etc/passwd link; mkfifo fifo; \
        mkdir -p ~/.claude/projects/-srv-project && printf '{}' >~/.claude/projects/-srv-project/id.jsonl";
    let said = live.sh(&backend, &run, script, b"");
    assert_eq!((said.stdout.as_str(), said.code), ("/srv/project\n", 0), "{}", said.stderr);
    // A mount cannot be replaced by a link.
    let moved = live.sh(&backend, &run, "cd / && mv /srv/project /srv/other", b"");
    assert_ne!(moved.code, 0, "{}", moved.stdout);

    backend.halt(&run.call(), &live.bottle).unwrap();
    backend.halt(&run.call(), &live.bottle).unwrap();
    let filter = format!("label=io.claude-bottle.id={}", run.spec.id);
    assert_eq!(docker(&["ps", "-q", "--filter", &filter]), "", "something of it runs");
    let found = exported(&backend, &run, &live.bottle, ExportRequest::workspace);
    let expected = [("kept", "keptlast"), ("link", "/etc/passwd"), ("new", "new")];
    assert_eq!(found, expected.map(|(path, content)| (path.to_owned(), content.to_owned())).into());
    let paths = vec![".claude/projects".into(), ".claude/missing".into(), ".gone".into()];
    let found = exported(&backend, &run, &live.bottle, |fd| ExportRequest::history(paths, fd));
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        [(".claude/projects/-srv-project/id.jsonl".to_owned(), "{}".to_owned())]
    );

    let volumes = docker(&["volume", "ls", "-q", "--filter", &filter]);
    for role in ["work", "history"] {
        let name = format!("claude-bottle-{role}-{}", run.spec.id);
        assert!(volumes.lines().any(|volume| volume == name), "{volumes}");
    }
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn a_bottle_without_a_working_directory_has_no_volume_for_one() {
    let backend = backend(&[]);
    let run = Run::new("workless", &[]);
    let live = run.start(&backend);
    assert!(!run.leftovers().iter().any(|name| name.starts_with("claude-bottle-work-")));
    backend.halt(&run.call(), &live.bottle).unwrap();
    let failure = backend.export(&run.call(), &live.bottle, &ExportRequest::workspace(1)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
    let gone = backend.halt(&run.call(), &live.bottle).unwrap_err();
    assert_eq!(gone.kind, FailureKind::NotFound, "{gone}");
}
