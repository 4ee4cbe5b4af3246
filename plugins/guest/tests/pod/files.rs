//! Archives in and out.

use std::io::{Cursor, Read};
use std::path::Path;

use bottle_guest::pod::client::Said;
use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use tar::{Archive, Builder, EntryType, Header};

use crate::support::Host;

/// Packs entries: a name, its mode, and the content of a file, the target of a link (`->`), or a directory (none).
fn pack(entries: &[(&str, u32, Option<&str>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, mode, content) in entries {
        let mut header = Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(4711);
        header.set_gid(4711);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        match content {
            None => header.set_entry_type(EntryType::Directory),
            Some(text) if text.starts_with("->") => header.set_entry_type(EntryType::Symlink),
            Some(text) => header.set_size(text.len() as u64),
        }
        let content = content.unwrap_or_default();
        match content.strip_prefix("->") {
            Some(target) => builder.append_link(&mut header, name, target).unwrap(),
            None => {
                // A name that the archive's own checks would refuse.
                let bytes = &mut header.as_old_mut().name;
                bytes[..name.len()].copy_from_slice(name.as_bytes());
                header.set_cksum();
                builder.append(&header, content.as_bytes()).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn put(host: &Host, path: &str, archive: &[u8]) -> Outcome {
    host.ask(Side::Bottle, &Verb::Put { path: path.to_owned() }, archive)
}

/// Returns names and contents of an archive of the bottle.
pub(crate) fn get(host: &Host, path: &str) -> Vec<(String, Vec<u8>)> {
    let call = host.link.call(Side::Bottle, &Verb::Get { path: path.to_owned() }).unwrap();
    let mut bytes = Vec::new();
    loop {
        match call.next().unwrap() {
            Said::Out(more) => bytes.extend(more),
            Said::Result(Outcome::Moved { bytes: count, .. }) => {
                assert_eq!(count, bytes.len() as u64);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let mut archive = Archive::new(Cursor::new(bytes));
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn an_archive_becomes_files_of_the_agents() {
    let host = Host::new();
    let archive = pack(&[
        ("tmp", 0o755, None),
        ("tmp/tree", 0o550, None),
        ("tmp/tree/run", 0o755, Some("#!/bin/sh\necho ran\n")),
        ("tmp/tree/secret", 0o600, Some("x")),
        ("tmp/tree/link", 0o777, Some("->run")),
    ]);
    let Outcome::Moved { bytes, sha256 } = put(&host, "/", &archive) else { panic!("not moved") };
    assert_eq!((bytes, sha256.len()), (archive.len() as u64, 64));
    let seen = host.sh("cd tree && stat -c '%n %a %u %g %Y' . run secret && readlink link && ./link");
    let lines =
        [". 550 1000 1000 1000000000", "run 755 1000 1000 1000000000", "secret 600 1000 1000 1000000000"];
    assert_eq!(seen.out, format!("{}\nrun\nran\n", lines.join("\n")));
    // What was there and is root's stays as it was.
    assert_eq!(host.sh("stat -c %a /tmp").out, "1777\n");
}

#[test]
fn an_archive_that_leads_elsewhere_is_refused() {
    let host = Host::new();
    host.sh("mkdir /tmp/in /tmp/out");
    let bad: [&[(&str, u32, Option<&str>)]; 3] = [
        &[("../out/up", 0o644, Some("x"))],
        &[("a", 0o777, Some("->../out")), ("a/through", 0o644, Some("x"))],
        &[("b", 0o777, Some("->/tmp/out")), ("b/through", 0o644, Some("x"))],
    ];
    for entries in bad {
        assert!(matches!(put(&host, "/tmp/in", &pack(entries)), Outcome::Failed { .. }), "{entries:?}");
    }
    let cut = pack(&[("whole", 0o644, Some("content"))]);
    assert!(matches!(put(&host, "/tmp/in", &cut[..600]), Outcome::Failed { .. }));
    assert_eq!(host.sh("ls /tmp/out").out, "");
}

#[test]
fn what_an_agent_left_comes_out_whole() {
    let host = Host::new();
    let script = "mkdir -p w/closed w/deep/er; echo a > w/a; echo b > w/closed/b; ln -s ../a w/deep/link; mkfifo w/pipe; \
                  echo c > w/deep/er/c; chmod 0 w/closed/b w/closed w/a";
    assert_eq!(host.sh(script).code, 0);
    let found = get(&host, "/tmp/w");
    let names: Vec<_> = found.iter().map(|(name, _)| name.trim_end_matches('/')).collect();
    assert_eq!(
        names,
        ["w", "w/a", "w/closed", "w/closed/b", "w/deep", "w/deep/er", "w/deep/er/c", "w/deep/link"]
    );
    let content =
        |name: &str| found.iter().find(|(found, _)| Path::new(found) == Path::new(name)).unwrap().1.clone();
    assert_eq!((content("w/a"), content("w/closed/b")), (b"a\n".to_vec(), b"b\n".to_vec()));
    // They are as they were.
    assert_eq!(host.sh("stat -c %a w/a w/closed").out, "0\n0\n");
    // What is not there, and what a link of the agent's leads to.
    host.sh("ln -s /proc /tmp/proc");
    for path in ["/tmp/none", "/tmp/w/a/b", "/tmp/proc", "/tmp/proc/1/environ"] {
        let missing = host.ask(Side::Bottle, &Verb::Get { path: path.to_owned() }, b"");
        assert_eq!(missing, Outcome::Missing, "{path}");
    }
}
