//! What an agent may leave in a bottle's directory, exported for real and read back.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;

use claude_bottle_plugin_api::{CallServices, Event, Owner, Secret};
use tempfile::TempDir;

use super::*;

/// A host that listens to nothing.
struct Host;

impl CallServices for Host {
    fn event(&self, _event: &Event) {}
    fn cancelled(&self) -> bool {
        false
    }
    fn cancel_fd(&self) -> Option<OwnedFd> {
        None
    }
    fn secret(&self, name: &str) -> Result<Secret> {
        Err(Failure::new(FailureKind::NotFound, name))
    }
    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(true)
    }
}

fn call() -> Call {
    Call::new(Arc::new(Host))
}

/// A bottle's directory with a home in it.
fn bottle() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("home/workspace")).unwrap();
    dir
}

fn places(bottle: &TempDir) -> Places<'_> {
    Places { bottle: bottle.path(), workspace: Path::new("home/workspace"), home: Path::new("home") }
}

/// What an archive has by path: its type, mode, owner, and its content or target.
type Entries = BTreeMap<Vec<u8>, (char, u32, u64, Vec<u8>)>;

/// Reads an archive.
fn read(bytes: &[u8]) -> Entries {
    assert!(bytes.ends_with(&[0; 1024]), "two blocks of zeros end it");
    let mut archive = tar::Archive::new(bytes);
    let mut entries = Entries::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        content.extend(entry.link_name_bytes().unwrap_or_default().iter());
        let (header, path) = (entry.header(), entry.path_bytes().into_owned());
        let kind = char::from(header.entry_type().as_byte());
        let said = (kind, header.mode().unwrap(), header.uid().unwrap(), content);
        assert_eq!(entries.insert(path, said), None, "a path is there twice");
    }
    entries
}

/// Exports into a pipe, and reads the archive from its other end.
fn exported(bottle: &TempDir, request: impl FnOnce(i32) -> ExportRequest) -> Result<(Exported, Entries)> {
    let (mut reader, writer) = io::pipe().unwrap();
    let reading = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let exported = export(&call(), places(bottle), &request(writer.as_raw_fd()));
    drop(writer);
    let bytes = reading.join().unwrap();
    let exported = exported?;
    let entries = read(&bytes);
    assert_eq!(exported.entries, entries.len() as u64 - 1, "all but the top directory are counted");
    Ok((exported, entries))
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn whatever_an_agent_made_is_in_the_archive_as_it_is() {
    let bottle = bottle();
    let work = bottle.path().join("home/workspace");
    let long = "n".repeat(255);
    let odd = OsString::from_vec(b"new\nline \xff\x1b".to_vec());
    fs::write(work.join("run"), "#!").unwrap();
    mode(&work.join("run"), 0o6755);
    fs::hard_link(work.join("run"), work.join("second")).unwrap();
    fs::write(work.join(&long), "long").unwrap();
    fs::write(work.join(&odd), "odd").unwrap();
    fs::create_dir(work.join("empty")).unwrap();
    symlink("/etc/passwd", work.join("link")).unwrap();
    let _socket = UnixListener::bind(work.join("socket")).unwrap();
    let (exported, entries) = exported(&bottle, ExportRequest::workspace).unwrap();
    let at = |name: &[u8]| entries[&[b"bottle/", name].concat()].clone();
    assert_eq!(at(b"run"), ('0', 0o755, 0, b"#!".to_vec()));
    assert_eq!(at(b"second").3, b"#!");
    assert_eq!(at(long.as_bytes()).3, b"long");
    assert_eq!(at(&odd.into_vec()).3, b"odd");
    assert_eq!(at(b"empty").0, '5');
    assert_eq!(at(b"link"), ('2', 0o777, 0, b"/etc/passwd".to_vec()));
    assert_eq!((exported.entries, exported.bytes), (6, 11));
    assert_eq!(exported.skipped, [Fact::new("sockets, FIFOs and devices", "1 (socket)")]);
}

#[test]
fn what_has_no_permissions_is_read_and_has_none_afterwards() {
    let bottle = bottle();
    let work = bottle.path().join("home/workspace");
    for name in ["closed", "listed", "entered"] {
        fs::create_dir_all(work.join(name).join("below")).unwrap();
        fs::write(work.join(name).join("below/file"), name).unwrap();
    }
    mode(&work.join("closed/below/file"), 0);
    mode(&work.join("closed/below"), 0);
    let modes = [("closed", 0), ("listed", 0o400), ("entered", 0o100)];
    for (name, bits) in modes {
        mode(&work.join(name), bits);
    }
    let home = bottle.path().join("home");
    mode(&work, 0);
    mode(&home, 0);
    let (_, entries) = exported(&bottle, ExportRequest::workspace).unwrap();
    let at = |name: &str| entries[format!("bottle/{name}").as_bytes()].clone();
    assert_eq!(at("closed/below/file"), ('0', 0, 0, b"closed".to_vec()));
    assert_eq!((at("closed/below").1, at("listed").1, at("entered").1), (0, 0o400, 0o100));
    assert_eq!(
        (at("listed/below/file").3, at("entered/below/file").3),
        (b"listed".into(), b"entered".into())
    );
    for (path, bits) in [(&home, 0), (&work, 0)] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, bits, "{}", path.display());
        mode(path, 0o700);
    }
    for (name, bits) in modes {
        assert_eq!(fs::metadata(work.join(name)).unwrap().mode() & 0o777, bits, "{name}");
        mode(&work.join(name), 0o700);
    }
    assert_eq!(fs::metadata(work.join("closed/below")).unwrap().mode() & 0o777, 0);
    mode(&work.join("closed/below"), 0o700);
}

#[test]
fn a_link_in_the_place_of_the_working_directory_is_told_and_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "canary").unwrap();
    for place in ["home/workspace", "home"] {
        let bottle = bottle();
        fs::remove_dir_all(bottle.path().join(place)).unwrap();
        symlink(outside.path(), bottle.path().join(place)).unwrap();
        fs::create_dir_all(outside.path().join("workspace")).unwrap();
        let failure = exported(&bottle, ExportRequest::workspace).unwrap_err();
        assert!(failure.message.starts_with("the agent replaced its working directory"), "{failure}");
    }
}

#[test]
fn a_tree_without_end_is_left_out_from_a_depth_on() {
    let bottle = bottle();
    let deep: PathBuf = std::iter::repeat_n("d", 220).collect();
    fs::create_dir_all(bottle.path().join("home/workspace").join(&deep)).unwrap();
    fs::write(bottle.path().join("home/workspace/file"), "x").unwrap();
    let (exported, entries) = exported(&bottle, ExportRequest::workspace).unwrap();
    assert!(entries.contains_key(&b"bottle/file"[..]));
    assert_eq!(exported.skipped[0].label, "nested too deep");
}

#[test]
fn the_history_is_what_was_asked_for_and_is_there() {
    let bottle = bottle();
    let home = bottle.path().join("home");
    fs::create_dir_all(home.join(".claude/projects/-w")).unwrap();
    fs::write(home.join(".claude/projects/-w/id.jsonl"), "{}").unwrap();
    fs::write(home.join(".claude/token"), "canary").unwrap();
    fs::write(home.join(".history"), "ls").unwrap();
    symlink("/etc", home.join(".claude/todos")).unwrap();
    let paths = [".claude/todos", ".claude/projects", ".claude/projects/-w", ".history", "missing/x"];
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let (_, entries) = exported(&bottle, |fd| ExportRequest::history(paths, fd)).unwrap();
    let found: Vec<_> = entries.keys().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
    let below = ["", "/.claude", "/.claude/projects", "/.claude/projects/-w"];
    let mut expected: Vec<_> = below.iter().map(|path| format!("bottle{path}")).collect();
    expected.extend(["bottle/.claude/projects/-w/id.jsonl".to_owned(), "bottle/.history".to_owned()]);
    assert_eq!(found, expected);
    for outside in ["../x", "/etc", "", "a/../.."] {
        let request = |fd| ExportRequest::history(vec![outside.into()], fd);
        assert_eq!(exported(&bottle, request).unwrap_err().kind, FailureKind::Invalid, "{outside}");
    }
}

#[test]
fn a_reader_that_leaves_ends_the_export() {
    let bottle = bottle();
    fs::write(bottle.path().join("home/workspace/large"), vec![0; 4 << 20]).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let failure =
        export(&call(), places(&bottle), &ExportRequest::workspace(writer.as_raw_fd())).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled, "{failure}");
}

/// An engine's archive of a directory called `x`.
fn archive(make: impl FnOnce(&mut tar::Builder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut builder = tar::Builder::new(&mut bytes);
    make(&mut builder);
    builder.finish().unwrap();
    drop(builder);
    bytes
}

fn add(builder: &mut tar::Builder<&mut Vec<u8>>, path: &str, kind: tar::EntryType, content: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    header.set_uid(1000);
    match kind {
        tar::EntryType::Symlink | tar::EntryType::Link => {
            header.set_size(0);
            builder.append_link(&mut header, path, content).unwrap();
        }
        _ => {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    }
}

/// Passes archives on, and reads what came of them.
fn passed(parts: Vec<(&str, Vec<u8>)>, history: bool) -> Result<(Exported, Entries)> {
    let mut out = tempfile::tempfile().unwrap();
    let fd = out.as_raw_fd();
    let request = if history { ExportRequest::history(vec![], fd) } else { ExportRequest::workspace(fd) };
    let parts = parts
        .into_iter()
        .map(|(place, content)| Ok(Part { content: io::Cursor::new(content), place: place.into() }));
    let exported = pass(&call(), &request, parts)?;
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut out).unwrap();
    out.read_to_end(&mut bytes).unwrap();
    Ok((exported, read(&bytes)))
}

#[test]
fn what_an_engine_gives_is_passed_on_without_owners_set_id_bits_and_devices() {
    use tar::EntryType::{Directory, Fifo, Link, Regular, Symlink};
    let long = format!("x/{}", "n".repeat(255));
    let from = archive(|to| {
        add(to, "x/", Directory, "");
        add(to, "x/run", Regular, "#!");
        add(to, "x/second", Link, "x/run");
        add(to, "x/fifo", Fifo, "");
        add(to, &long, Regular, "long");
        add(to, "x/link", Symlink, "/etc/passwd");
    });
    let (exported, entries) = passed(vec![("", from.clone())], false).unwrap();
    assert_eq!((exported.entries, exported.bytes), (4, 6));
    assert_eq!(exported.skipped, [Fact::new("sockets, FIFOs and devices", "1 (fifo)")]);
    assert_eq!(entries[&b"bottle/run"[..]], ('0', 0o755, 0, b"#!".to_vec()));
    assert_eq!(entries[&b"bottle/second"[..]], ('1', 0o755, 0, b"bottle/run".to_vec()));
    assert_eq!(entries[&b"bottle/link"[..]].3, b"/etc/passwd");
    assert_eq!(entries.len(), 5);
    let cut = from[..from.len() - 2048].to_vec();
    assert!(passed(vec![("", cut[..1100].to_vec())], false).is_err());
    let linked = archive(|to| add(to, "x", Symlink, "/etc"));
    let failure = passed(vec![("", linked.clone())], false).unwrap_err();
    assert!(failure.message.starts_with("the agent replaced"), "{failure}");
    let (exported, entries) =
        passed(vec![(".claude/projects", from), (".claude/todos", linked)], true).unwrap();
    assert!(entries.contains_key(&b"bottle/.claude/projects/run"[..]));
    assert_eq!((exported.entries, entries.len()), (6, 7));
    assert_eq!(passed(vec![], true).unwrap().1.len(), 1);
}
