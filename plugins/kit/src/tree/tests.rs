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
    append(&mut writer, source, Path::new("/home/node/x"), options, None)?;
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
fn targets_of_links_are_kept_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("./{}//end/", "d/./".repeat(60));
    let hundred = format!("./{}", "n".repeat(98));
    let targets = ["./a//b/./c", "a/", ".", "..", &hundred, &long];
    for (index, target) in targets.iter().enumerate() {
        symlink(target, dir.path().join(index.to_string())).unwrap();
    }
    let archive = copy(dir.path(), &Options { links: Links::Keep, ..options() }).unwrap();
    let listed = list(&archive);
    for (index, target) in targets.iter().enumerate() {
        let line = format!("home/node/x/{index} 777 1000 {target}");
        assert!(listed.contains(&line), "{line} is not in {listed:?}");
    }
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
fn links_of_ones_own_are_followed_to_files_and_directories_and_no_secret() {
    let store = tempfile::tempdir().unwrap();
    fs::create_dir_all(store.path().join("skill/scripts")).unwrap();
    fs::write(store.path().join("skill/SKILL.md"), "# skill").unwrap();
    fs::write(store.path().join("skill/scripts/run"), "#!/bin/sh").unwrap();
    fs::write(store.path().join("id_rsa"), "x").unwrap();
    fs::write(store.path().join("deploy"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let follow = Options { links: Links::Follow, ..options() };
    let check = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        copy(dir.path(), &follow).map(|bytes| list(&bytes))
    };
    let at = |name: &str| store.path().join(name);
    let lines = check(&|dir| {
        symlink(at("skill/SKILL.md"), dir.join("SKILL.md")).unwrap();
        symlink(at("skill/scripts"), dir.join("scripts")).unwrap();
        symlink("SKILL.md", dir.join("README.md")).unwrap();
    });
    let lines = lines.unwrap();
    // By its text it stays inside, and what it leads to does not.
    assert!(lines[1].starts_with("home/node/x/README.md ") && lines[1].ends_with(" 7"), "{lines:?}");
    assert!(
        lines[2].ends_with(" 7") && lines[3].contains("/scripts ") && lines[4].ends_with("1000 9"),
        "{lines:?}"
    );
    let refused = |make: &dyn Fn(&Path)| check(make).unwrap_err();
    for secret in ["id_rsa", "deploy"] {
        let error = refused(&|dir| symlink(at(secret), dir.join("notes.md")).unwrap());
        assert!(matches!(error, TreeError::LeadsToSecret { .. }), "{error}");
    }
    for astray in ["/nowhere", "loop", "/proc/self/environ", "/dev/zero", "/sys/kernel/notes"] {
        let error = refused(&|dir| symlink(astray, dir.join("loop")).unwrap());
        assert!(matches!(error, TreeError::Leaves { .. }), "{astray}: {error}");
    }
    // Around in a circle, by way of a directory that is followed.
    symlink(at("skill"), at("skill/scripts/again")).unwrap();
    let error = refused(&|dir| symlink(at("skill"), dir.join("skill")).unwrap());
    assert!(matches!(error, TreeError::Leaves { .. }), "{error}");
    // Two ways to each of many directories: a number of paths that is never walked to its end.
    for n in 0..30 {
        fs::create_dir(at(&format!("d{n}"))).unwrap();
        for name in ["a", "b"] {
            symlink(at(&format!("d{}", n + 1)), at(&format!("d{n}/{name}"))).unwrap();
        }
    }
    fs::create_dir(at("d30")).unwrap();
    let error = refused(&|dir| symlink(at("d0"), dir.join("d")).unwrap());
    assert!(matches!(error, TreeError::TooManyLinks { .. }), "{error}");
}

#[test]
fn special_files_are_left_out_without_hanging() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("x/.git")).unwrap();
    fs::write(dir.path().join("x/file"), "1").unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("x/.git/daemon.ipc")).unwrap();
    let fifo = |name: &str| {
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join(name), FileType::Fifo, Mode::RUSR, 0).unwrap();
    };
    fifo("a");
    fifo("x/b");
    let found = survey(dir.path(), &options()).unwrap();
    assert_eq!(found.amount.entries, 4);
    let special = ["a", "x/.git/daemon.ipc", "x/b"].map(PathBuf::from).to_vec();
    assert_eq!(found.special, Found { count: 3, first: special });
    assert_eq!(list(&copy(dir.path(), &options()).unwrap()).len(), 4);
    let target = dir.path().with_extension("copy");
    assert_eq!(super::copy(dir.path(), &target, &own(), None, &mut |_| true).unwrap(), found);
    fs::remove_dir_all(target).unwrap();
    // The rules may have left it out already.
    fs::write(dir.path().join(IGNORE_FILE), "/a\n").unwrap();
    let rules = Options { rules: Rules::Workspace { index: None, data: None }, ..options() };
    let found = survey(dir.path(), &rules).unwrap();
    assert_eq!((found.special.count, found.left_out.count), (2, 1));
}

/// Returns when something was changed, in nanoseconds.
fn changed_at(path: &Path) -> i128 {
    use std::os::unix::fs::MetadataExt;
    let found = fs::symlink_metadata(path).unwrap();
    i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec())
}

#[test]
fn times_are_kept_to_the_nanosecond_in_a_directory_and_in_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("d/empty")).unwrap();
    let long = format!("d/{}", "n".repeat(200));
    for (n, file) in ["d/file", "d/whole", "old", &long].into_iter().enumerate() {
        fs::write(source.join(file), "x").unwrap();
        let nanos = if file == "d/whole" { 0 } else { 123_456_789 };
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_500_000_000 + n as u64, nanos);
        fs::File::open(source.join(file)).unwrap().set_modified(time).unwrap();
    }
    symlink("file", source.join("d/link")).unwrap();
    let options = Options { owner: None, ..options() };
    let (copied, streamed) = (dir.path().join("copied"), dir.path().join("streamed"));
    super::copy(&source, &copied, &options, None, &mut |_| true).unwrap();
    fs::create_dir(&streamed).unwrap();
    fs::write(dir.path().join("tar"), copy(&source, &options).unwrap()).unwrap();
    // A reader of the kind that engines have: the crate's own drops what is below a second.
    let unpack = format!("tar -C {0}/streamed --strip-components=3 -xf {0}/tar", dir.path().display());
    assert!(std::process::Command::new("sh").args(["-c", &unpack]).status().unwrap().success());
    for path in ["", "d", "d/empty", "d/file", "d/whole", "old", "d/link", &long] {
        let expected = changed_at(&source.join(path));
        assert_eq!(changed_at(&copied.join(path)), expected, "{path} in a directory");
        if !path.is_empty() {
            assert_eq!(changed_at(&streamed.join(path)), expected, "{path} in a stream");
        }
    }
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

    let link = dir.path().join(odd).with_extension("link");
    symlink("nowhere", link).unwrap();
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
    let copied = super::copy(&source, &target, options, None, &mut |_| true);
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
    super::copy(&dir.path().join("source"), &target, &own(), None, &mut |_| true).unwrap();
    assert_eq!(fs::read_to_string(target.join("d/file")).unwrap(), "new");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    // A link in place of a directory ends it.
    fs::remove_dir_all(target.join("d")).unwrap();
    symlink(dir.path(), target.join("d")).unwrap();
    assert!(super::copy(&dir.path().join("source"), &target, &own(), None, &mut |_| true).is_err());
    assert!(!dir.path().join("file").exists());
}

#[test]
fn a_copy_says_how_far_it_is_and_ends_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("large"), vec![7; 9 << 20]).unwrap();
    let mut told = Vec::new();
    super::copy(&source, &dir.path().join("whole"), &own(), None, &mut |done| {
        told.push(done);
        true
    })
    .unwrap();
    assert!(told.is_sorted() && told.last() == Some(&(9 << 20)), "{told:?}");
    let stopped = super::copy(&source, &dir.path().join("part"), &own(), None, &mut |done| done == 0);
    assert!(matches!(stopped, Err(TreeError::Stopped)));
}
