//! Hostile trees, made for real and copied into a real tar stream.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{FileType, Mode};

use super::walk::MAX_DEPTH;
use super::*;

fn options() -> Options {
    Options {
        owner: Some((1000, 1000)),
        links: Links::Inside,
        exclude: BTreeSet::new(),
        rules: Rules::All,
        max_bytes: 1 << 20,
    }
}

fn copy(source: &Path, options: &Options) -> Result<Vec<u8>, TreeError> {
    let mut bytes = Vec::new();
    let mut writer = TarWriter::new(&mut bytes);
    append(&mut writer, source, Path::new("/home/node/x"), options)?;
    writer.finish()?;
    Ok(bytes)
}

/// Lists a tar stream as `path mode uid` with the content's size or the link's target.
fn list(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let mut lines = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        lines.push(format!(
            "{} {:o} {} {}",
            entry.path_bytes().escape_ascii(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            entry.link_name_bytes().map_or(content.len().to_string(), |to| to.escape_ascii().to_string()),
        ));
    }
    lines
}

#[test]
fn owner_and_mode_are_set_and_set_id_bits_dropped() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    fs::set_permissions(dir.path().join("bin"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(dir.path().join("bin/run"), "#!").unwrap();
    fs::set_permissions(dir.path().join("bin/run"), fs::Permissions::from_mode(0o6755)).unwrap();
    symlink("bin/run", dir.path().join("run")).unwrap();
    assert_eq!(
        list(&copy(dir.path(), &options()).unwrap()),
        [
            "home/node/x 755 1000 0",
            "home/node/x/bin 750 1000 0",
            "home/node/x/bin/run 755 1000 2",
            "home/node/x/run 777 1000 bin/run",
        ]
    );
}

#[test]
fn links_that_leave_are_refused_and_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "canary").unwrap();
    let check = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        assert!(matches!(copy(dir.path(), &options()), Err(TreeError::Leaves { .. })));
        let kept = copy(dir.path(), &Options { links: Links::Keep, ..options() }).unwrap();
        assert!(!kept.windows(6).any(|bytes| bytes == b"canary"));
    };
    check(&|dir| symlink(outside.path().join("secret"), dir.join("absolute")).unwrap());
    check(&|dir| symlink(outside.path(), dir.join("directory")).unwrap());
    check(&|dir| symlink("../../etc/passwd", dir.join("up")).unwrap());
    check(&|dir| symlink("nowhere", dir.join("dangling")).unwrap());
    check(&|dir| symlink("loop", dir.join("loop")).unwrap());
    check(&|dir| {
        // By its text the second link stays inside; over the first it does not.
        fs::create_dir_all(dir.join("a/b/c")).unwrap();
        symlink("../../..", dir.join("a/b/c/root")).unwrap();
        symlink("a/b/c/root/../..", dir.join("out")).unwrap();
    });
}

#[test]
fn special_files_are_refused_without_hanging() {
    let dir = tempfile::tempdir().unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let error = copy(dir.path(), &options()).unwrap_err().to_string();
    assert!(error.ends_with("is a FIFO, which cannot be copied into a bottle"), "{error}");
    assert!(survey(dir.path(), &options()).is_err());

    let dir = tempfile::tempdir().unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    assert!(matches!(copy(dir.path(), &options()), Err(TreeError::Special { kind: "socket", .. })));
}

#[test]
fn a_sparse_bomb_stops_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    fs::File::create(dir.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(survey(dir.path(), &options()), Err(TreeError::TooLarge { .. })));
    assert!(matches!(copy(dir.path(), &options()), Err(TreeError::TooLarge { .. })));
}

#[test]
fn odd_and_long_names_arrive_and_are_escaped_in_messages() {
    let dir = tempfile::tempdir().unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"new\nline \x1b[31m \xff");
    fs::write(dir.path().join(odd), "1").unwrap();
    let long = "n".repeat(200);
    fs::write(dir.path().join(&long), "2").unwrap();
    symlink(&long, dir.path().join("link")).unwrap();
    let lines = list(&copy(dir.path(), &options()).unwrap());
    assert!(lines.iter().any(|line| line.contains(r"x/new\nline \x1b[31m \xff ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(&long) && line.ends_with(" 1")));
    assert!(lines.iter().any(|line| line.ends_with(&format!(" {long}"))));

    let pipe = dir.path().join(odd).with_extension("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let message = copy(dir.path(), &options()).unwrap_err().to_string();
    assert!(!message.contains('\x1b') && !message.contains('\n'), "{message}");
}

#[test]
fn excluded_paths_and_all_below_stay_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("target/debug")).unwrap();
    fs::write(dir.path().join("target/debug/x"), "x").unwrap();
    fs::write(dir.path().join(".env"), "x").unwrap();
    fs::write(dir.path().join("keep"), "x").unwrap();
    let exclude = [PathBuf::from("target"), PathBuf::from(".env")].into();
    let options = Options { exclude, ..options() };
    assert_eq!(list(&copy(dir.path(), &options).unwrap()).len(), 2);
    assert_eq!(survey(dir.path(), &options).unwrap().amount, Amount { entries: 2, bytes: 1 });
}

#[test]
fn a_tree_too_deep_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let deep: PathBuf = std::iter::repeat_n("d", MAX_DEPTH + 2).collect();
    fs::create_dir_all(dir.path().join(deep)).unwrap();
    assert!(matches!(copy(dir.path(), &options()), Err(TreeError::TooDeep { .. })));
}

/// Copies into a directory what `fill` makes.
fn into_directory(
    options: &Options,
    fill: impl FnOnce(&Path),
) -> (tempfile::TempDir, Result<PathBuf, TreeError>) {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    fs::create_dir(&source).unwrap();
    fill(&source);
    let copied = super::copy(&source, &target, options, &mut |_| true);
    (dir, copied.map(|_| target))
}

fn own() -> Options {
    Options { owner: None, links: Links::Keep, max_bytes: u64::MAX, ..options() }
}

#[test]
fn files_modes_links_and_odd_names_arrive_in_a_directory() {
    let options = Options { exclude: [PathBuf::from("left/out")].into(), ..own() };
    let (_dir, target) = into_directory(&options, |source| {
        fs::create_dir_all(source.join("left/out")).unwrap();
        fs::write(source.join("left/out/secret"), "x").unwrap();
        fs::write(source.join("a\nb\x1b[2J"), "odd").unwrap();
        fs::write(source.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(source.join("run"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("/etc/passwd", source.join("link")).unwrap();
        symlink("nowhere", source.join("dangling")).unwrap();
    });
    let target = target.unwrap();
    assert!(target.join("left").is_dir() && !target.join("left/out").exists());
    assert_eq!(fs::read_to_string(target.join("a\nb\x1b[2J")).unwrap(), "odd");
    assert_eq!(fs::metadata(target.join("run")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_link(target.join("dangling")).unwrap(), Path::new("nowhere"));
}

#[test]
fn a_bomb_of_holes_stays_small() {
    let (_dir, target) = into_directory(&own(), |source| {
        let file = fs::File::create(source.join("bomb")).unwrap();
        file.set_len(1 << 40).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"end", (1 << 40) - 3).unwrap();
    });
    let metadata = fs::metadata(target.unwrap().join("bomb")).unwrap();
    assert_eq!(metadata.len(), 1 << 40);
    assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) < 1024, "{metadata:?}");
}

#[test]
fn what_is_in_the_way_is_replaced_and_never_followed() {
    let (dir, target) = into_directory(&own(), |source| {
        fs::create_dir(source.join("d")).unwrap();
        fs::write(source.join("d/file"), "new").unwrap();
        symlink("there", source.join("link")).unwrap();
    });
    let target = target.unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "kept").unwrap();
    fs::remove_file(target.join("d/file")).unwrap();
    symlink(&victim, target.join("d/file")).unwrap();
    super::copy(&dir.path().join("source"), &target, &own(), &mut |_| true).unwrap();
    assert_eq!(fs::read_to_string(target.join("d/file")).unwrap(), "new");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    // A link in place of a directory ends it.
    fs::remove_dir_all(target.join("d")).unwrap();
    symlink(dir.path(), target.join("d")).unwrap();
    assert!(super::copy(&dir.path().join("source"), &target, &own(), &mut |_| true).is_err());
    assert!(!dir.path().join("file").exists());
}

#[test]
fn a_copy_says_how_far_it_is_and_ends_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("large"), vec![7; 9 << 20]).unwrap();
    let mut told = Vec::new();
    super::copy(&source, &dir.path().join("whole"), &own(), &mut |done| {
        told.push(done);
        true
    })
    .unwrap();
    assert!(told.is_sorted() && told.last() == Some(&(9 << 20)), "{told:?}");
    let stopped = super::copy(&source, &dir.path().join("part"), &own(), &mut |done| done == 0);
    assert!(matches!(stopped, Err(TreeError::Stopped)));
}
