//! Tests of the reader: archives by the book, archives that were cut, and archives that no export writes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::*;

/// Keeps every entry, with its contents.
#[derive(Default)]
struct Kept(Vec<(Place, Content, Vec<u8>)>);

impl Sink for Kept {
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        contents.read_to_end(&mut bytes)?;
        self.0.push((place, content, bytes));
        Ok(())
    }
}

/// Reads nothing of any file.
struct Nothing;

impl Sink for Nothing {
    fn entry(&mut self, _: Place, _: Content, _: &mut dyn Read) -> anyhow::Result<()> {
        Ok(())
    }
}

fn header(kind: u8, path: &[u8], size: u64) -> Header {
    let mut header = Header::new_gnu();
    // The crate would write a NUL as a file's kind.
    header.as_old_mut().linkflag = [kind];
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// An archive that is put together by hand.
struct Archive(Vec<u8>);

impl Archive {
    fn new() -> Self {
        Self(header(b'5', b"top/", 0).as_bytes().to_vec())
    }

    fn raw(mut self, header: &Header, contents: &[u8]) -> Self {
        self.0.extend(header.as_bytes());
        self.0.extend(contents);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn file(self, path: &str, contents: &str) -> Self {
        self.raw(&header(b'0', path.as_bytes(), contents.len() as u64), contents.as_bytes())
    }

    fn link(self, kind: u8, path: &str, target: &str) -> Self {
        let mut link = header(kind, path.as_bytes(), 0);
        link.set_link_name_literal(target).unwrap();
        link.set_cksum();
        self.raw(&link, b"")
    }

    fn pax(self, kind: u8, records: &[(&str, &str)]) -> Self {
        let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.raw(&header(kind, b"pax", text.len() as u64), text.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }

    fn kept(self) -> Vec<(Place, Content, Vec<u8>)> {
        let (mut kept, archive) = (Kept::default(), self.end());
        read(archive.as_slice(), &mut kept).unwrap();
        kept.0
    }

    #[track_caller]
    fn refused(self, expected: &str) {
        let error = read(self.end().as_slice(), &mut Kept::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let length = (rest.len()..).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
    format!("{length}{rest}")
}

fn tree(path: &str) -> Place {
    Place::Tree(path.into())
}

#[test]
fn an_archive_that_a_backend_writes_is_read_whole() {
    let mut builder = Builder::new(Vec::new());
    let deep = "d/".repeat(100) + &"n".repeat(255);
    let mut add = |kind: EntryType, path: &str, contents: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(contents.len() as u64);
        builder.append_data(&mut header, path, contents).unwrap();
    };
    add(EntryType::Directory, "workspace", b"");
    add(EntryType::Regular, "workspace/a\nb", b"hello");
    add(EntryType::Directory, "workspace/empty", b"");
    add(EntryType::Regular, &format!("workspace/{deep}"), b"deep");
    add(EntryType::Fifo, "workspace/fifo", b"");
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Link);
    link.set_size(0);
    link.set_mode(0o644);
    builder.append_link(&mut link, "workspace/same", format!("workspace/{deep}")).unwrap();
    let archive = builder.into_inner().unwrap();
    let mut kept = Kept::default();
    assert_eq!(read(archive.as_slice(), &mut kept).unwrap(), 5);
    assert_eq!(read(archive.as_slice(), &mut Nothing).unwrap(), 5);
    let file = |size| Content::File { size, executable: true };
    let expected = [
        (tree("a\nb"), file(5), b"hello".to_vec()),
        (tree("empty"), Content::Directory, Vec::new()),
        (tree(&deep), file(4), b"deep".to_vec()),
        (tree("fifo"), Content::Special, Vec::new()),
        (tree("same"), Content::Same { earlier: deep.into() }, Vec::new()),
    ];
    assert_eq!(kept.0, expected);
    check_count(5, 5).unwrap();
    assert!(
        check_count(5, 6)
            .unwrap_err()
            .to_string()
            .contains("has 5 entries, and the backend says that it wrote 6")
    );
}

#[test]
fn what_gnu_tar_writes_is_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mkdir -p t/a/b && echo one >t/a/b/one && chmod +x t/a/b/one && ln t/a/b/one t/hard && ln -s /etc t/sym \
                  && touch \"t/$(printf '%0200d' 7)\" && tar --format=FORMAT -cf - t";
    for format in ["gnu", "pax", "ustar"] {
        let script =
            script.replace("FORMAT", format).replace("200d", if format == "ustar" { "90d" } else { "200d" });
        let output =
            std::process::Command::new("sh").args(["-c", &script]).current_dir(&dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(read(output.stdout.as_slice(), &mut Nothing).unwrap(), 6, "{format}");
        std::fs::remove_dir_all(dir.path().join("t")).unwrap();
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_is_noticed() {
    let archive = Archive::new()
        .file("top/a", "hello")
        .pax(b'x', &[("path", "top/long")])
        .file("top/short", &"x".repeat(2000))
        .link(b'2', "top/link", "a")
        .end();
    assert_eq!(read(archive.as_slice(), &mut Nothing).unwrap(), 3);
    for length in (0..archive.len()).step_by(BLOCK).chain([1, 700, archive.len() - 1]) {
        for reads in [true, false] {
            let cut = &archive[..length];
            let result = if reads { read(cut, &mut Kept::default()) } else { read(cut, &mut Nothing) };
            assert!(matches!(result, Err(StreamError::Cut { .. })), "{length}: {result:?}");
        }
    }
}

#[test]
fn a_writer_that_fails_is_not_the_end() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let begun = Archive::new().file("top/a", &"x".repeat(1000)).0;
    let result = read(begun[..1200].chain(Fails), &mut Nothing);
    assert!(matches!(result, Err(StreamError::Read(_))), "{result:?}");
}

#[test]
fn what_comes_after_the_end_is_not_taken() {
    let mut archive = Archive::new().end();
    archive.extend(vec![0; 10 * BLOCK]);
    assert_eq!(read(archive.as_slice(), &mut Nothing).unwrap(), 0);
    // One block of zeros is not an end.
    let mut archive = Archive::new().0;
    archive.resize(archive.len() + BLOCK, 0);
    archive.extend(header(b'0', b"top/a", 0).as_bytes());
    let error = read(archive.as_slice(), &mut Nothing).unwrap_err();
    assert!(error.to_string().contains("it comes after the end"), "{error}");
}

#[test]
fn a_size_of_a_pax_header_rules_over_the_headers() {
    let archive = Archive::new().pax(b'x', &[("size", "5")]).raw(&header(b'0', b"top/a", 0), b"hello");
    let kept = archive.file("top/b", "").kept();
    assert_eq!(kept[0], (tree("a"), Content::File { size: 5, executable: false }, b"hello".to_vec()));
    assert_eq!(kept[1].0, tree("b"));
    // A header that claims more than comes is cut off there, and never read as the next one.
    let archive = Archive::new().pax(b'x', &[("size", "99999")]).file("top/a", "hello").end();
    assert!(matches!(read(archive.as_slice(), &mut Nothing), Err(StreamError::Cut { .. })));
    Archive::new().pax(b'x', &[("size", "x")]).file("top/a", "").refused("its PAX size is not a number");
    Archive::new().pax(b'x', &[("size", "99999999999")]).file("top/a", "").refused("more than 16 GiB");
}

#[test]
fn an_extension_header_is_not_read_without_bound() {
    for kind in *b"xgLK" {
        // Nothing of it comes: what is refused is the claim.
        let mut archive = Archive::new().0;
        archive.extend(header(kind, b"pax", 512 << 20).as_bytes());
        let error = read(archive.as_slice(), &mut Nothing).unwrap_err();
        assert!(matches!(error, StreamError::Extension { size: 536_870_912, .. }), "{error}");
    }
}

#[test]
fn an_extension_header_that_is_malformed_is_refused() {
    for text in ["5 a", "x path=a\n", "12 path=a\n", "8 pathaa\n", "99999999999 path=a\n", "\n"] {
        let archive = Archive::new().raw(&header(b'x', b"pax", text.len() as u64), text.as_bytes());
        archive.file("top/a", "").refused("its PAX header is malformed");
    }
    for key in ["path", "linkpath", "size"] {
        Archive::new().pax(b'g', &[(key, "1")]).refused("names or sizes them");
    }
    let kept = Archive::new().pax(b'g', &[("comment", "x")]).file("top/a", "").kept();
    assert_eq!(kept.len(), 1);
}

#[test]
fn sparse_files_are_refused() {
    Archive::new().raw(&header(b'S', b"top/a", 0), b"").refused("of kind `S`");
    Archive::new().pax(b'x', &[("GNU.sparse.major", "1")]).file("top/a", "").refused("it is sparse");
    Archive::new().pax(b'g', &[("GNU.sparse.realsize", "1")]).refused("it is sparse");
}

#[test]
fn kinds_that_an_export_does_not_have_are_refused_and_devices_are_nothing() {
    for kind in *b"\x007DMVNX" {
        Archive::new().raw(&header(kind, b"top/a", 0), b"").refused("of kind `");
    }
    let devices = Archive::new().link(b'3', "top/c", "").link(b'4', "top/b", "").link(b'6', "top/f", "");
    assert!(devices.kept().iter().all(|(_, content, _)| *content == Content::Special));
}

#[test]
fn a_header_with_a_wrong_checksum_is_refused() {
    let mut wrong = header(b'0', b"top/a", 0);
    wrong.as_old_mut().name[4] = b'b';
    Archive::new().raw(&wrong, b"").refused("its checksum is wrong");
    let mut wrong = header(b'0', b"top/a", 0);
    wrong.as_old_mut().size = *b"not a number";
    wrong.set_cksum();
    Archive::new().raw(&wrong, b"").refused("its size is not a number");
}

#[test]
fn paths_that_lead_out_of_the_archive_are_refused() {
    for path in ["/top/a", "top//a", "top/./a", "top/../a", "../a", "..", "./a", "top/a//", "", "top/a/.."] {
        Archive::new().file(path, "").refused("the archive has the path");
    }
    Archive::new().file("other/a", "").refused("it is not below the one top directory");
    Archive::new().pax(b'x', &[("path", "top/a\0b")]).file("top/a", "").refused("it has a NUL");
    let file = header(b'0', b"top", 0);
    let mut archive = file.as_bytes().to_vec();
    archive.resize(3 * BLOCK, 0);
    let error = read(archive.as_slice(), &mut Nothing).unwrap_err();
    assert!(error.to_string().contains("the top of the archive is not a directory"), "{error}");
}

#[test]
fn hard_links_lead_to_earlier_files_only() {
    let kept =
        Archive::new().file("top/a", "x").link(b'1', "top/b", "top/a").link(b'1', "top/c", "top/b").kept();
    assert_eq!(kept[2].1, Content::Same { earlier: "b".into() });
    for target in ["top/later", "top/link", "top/dir", "top/b", "top"] {
        let archive = Archive::new().link(b'2', "top/link", "a").raw(&header(b'5', b"top/dir/", 0), b"");
        archive.link(b'1', "top/b", target).refused("which is not an earlier file of it");
    }
    for target in ["/etc/passwd", "../a", "other/a", "top/../../a", ""] {
        Archive::new().link(b'1', "top/b", target).refused("the archive has the path");
    }
    Archive::new().file("top/a", "").link(b'1', "top", "top/a").refused("hard link");
}

#[test]
fn nothing_is_there_twice_or_below_what_is_not_a_directory() {
    Archive::new().file("top/a", "").file("top/a", "").refused("it is there twice");
    Archive::new().file("top/a", "").link(b'2', "top/a", "x").refused("it is there twice");
    let twice = header(b'5', b"top/d/", 0);
    Archive::new().raw(&twice, b"").raw(&twice, b"").refused("it is there twice");
    for kind in *b"26" {
        Archive::new()
            .link(kind, "top/l", "x")
            .file("top/l/a", "")
            .refused("below something that is not a directory");
        Archive::new().file("top/l/d/a", "").link(kind, "top/l", "x").refused("something is below it");
    }
    Archive::new().file("top/f", "").file("top/f/g/a", "").refused("below something that is not a directory");
    Archive::new().file("top/f/a", "").file("top/f", "").refused("something is below it");
    // A directory may come after what is in it.
    assert_eq!(Archive::new().file("top/d/e/a", "").raw(&twice, b"").kept().len(), 2);
}

#[test]
fn names_that_a_result_does_not_carry_are_left_out_and_fail_nothing() {
    let refused = |path: &str, top: &str| {
        let place = Place::of(Path::new(path), false);
        assert_eq!(place, Place::Refused { path: path.into(), top: top.into() });
    };
    for name in [
        ".GIT",
        ".Git",
        "git~1",
        "GIT~1",
        ".git ",
        ".git.",
        ".git::$INDEX_ALLOCATION",
        ".g\u{200c}it",
        ".git\u{feff}",
    ] {
        refused(name, name);
        refused(&format!("a/{name}/hooks/x"), &format!("a/{name}"));
    }
    refused("a/.git", "a/.git");
    refused("sub/.git/hooks/pre-commit", "sub/.git");
    let long = "n".repeat(256);
    refused(&format!("{long}/a"), &long);
    let deep = ["d"; 201].join("/");
    refused(&deep, &deep);
    let wide = format!("{}x", format!("{}/", "w".repeat(200)).repeat(21));
    refused(&wide, &wide);
    for path in [".git", ".git/config", ".git/hooks/.git/x"] {
        assert_eq!(Place::of(Path::new(path), false), Place::Git(path.into()));
    }
    let gitmodules = Path::new("a/.gitmodules");
    assert!(matches!(Place::of(gitmodules, true), Place::Refused { .. }));
    for path in [".gitmodules", ".gitignore", ".github/x", "a\\b", "CON", "a:b", "git~2", "\u{1b}[2J"] {
        assert_eq!(Place::of(Path::new(path), false), tree(path));
    }
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    assert_eq!(Place::of(Path::new(name), false), Place::Tree(name.into()));
}

#[test]
fn an_archive_has_no_more_entries_than_the_most() {
    let archive = Archive::new().file("top/a", "").file("top/b", "").file("top/c", "").end();
    let run = |most| {
        let source = archive.as_slice();
        Reader { source, entries: 0, bytes: 0, top: None, seen: Seen::default(), most }.run(&mut Nothing)
    };
    run(3).unwrap();
    assert!(matches!(run(2), Err(StreamError::TooMany)));
}

#[test]
fn two_million_and_one_entries_are_refused() {
    let archive = Archive::new().file("top/a", "").file("top/b", "").end();
    let run = |entries| {
        let (source, most) = (archive.as_slice(), MAX_ENTRIES);
        Reader { source, entries, bytes: 0, top: None, seen: Seen::default(), most }.run(&mut Nothing)
    };
    run(1_999_998).unwrap();
    assert!(matches!(run(1_999_999), Err(StreamError::TooMany)));
}

#[test]
fn what_the_sink_refuses_is_what_is_said() {
    struct Full;
    impl Sink for Full {
        fn entry(&mut self, _: Place, _: Content, _: &mut dyn Read) -> anyhow::Result<()> {
            anyhow::bail!("the disk is full")
        }
    }
    let archive = Archive::new().file("top/a", "x").end();
    assert_eq!(read(archive.as_slice(), &mut Full).unwrap_err().to_string(), "the disk is full");
}
