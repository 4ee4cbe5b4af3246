//! Copies of trees that mean harm.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn options(links: Links) -> Options {
    Options { owner: None, links, exclude: vec![PathBuf::from("left/out")] }
}

fn run(links: Links, fill: impl FnOnce(&Path)) -> (tempfile::TempDir, Result<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    fs::create_dir(&source).unwrap();
    fill(&source);
    let copied = copy(&Call::detached(), &source, &target, &options(links));
    (dir, copied.map(|()| target))
}

#[test]
fn files_modes_links_and_odd_names_arrive() {
    let (_dir, target) = run(Links::Keep, |source| {
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
    assert_eq!(fs::metadata(target.join("run")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_link(target.join("dangling")).unwrap(), Path::new("nowhere"));
}

#[test]
fn a_bomb_of_holes_stays_small() {
    let (_dir, target) = run(Links::Keep, |source| {
        let file = File::create(source.join("bomb")).unwrap();
        file.set_len(1 << 40).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"end", (1 << 40) - 3).unwrap();
    });
    let metadata = fs::metadata(target.unwrap().join("bomb")).unwrap();
    assert_eq!(metadata.len(), 1 << 40);
    assert!(metadata.blocks() < 1024, "{} blocks", metadata.blocks());
}

#[test]
fn special_files_are_refused_without_being_opened() {
    let (_dir, copied) = run(Links::Keep, |source| {
        rustix::fs::mknodat(CWD, source.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    });
    let failure = copied.unwrap_err();
    assert!(failure.message.contains("is a FIFO"), "{failure}");
    let (_dir, copied) = run(Links::Keep, |source| {
        drop(std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap());
    });
    assert!(copied.unwrap_err().message.contains("is a socket"));
}

#[test]
fn links_that_leave_are_refused_where_they_must_stay() {
    for (target, is_inside) in [("a/../b", true), ("../x", false), ("/etc", false), ("a/../../x", false)] {
        let (_dir, copied) = run(Links::Inside, |source| symlink(target, source.join("link")).unwrap());
        assert_eq!(copied.is_ok(), is_inside, "{target}");
    }
}
