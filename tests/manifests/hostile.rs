//! Directories and files that are not what they seem, and texts made to be slow or to break the reading.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use claude_bottle::manifest::{MAX_FILE_SIZE, Manifest, ProblemKind};

use crate::fixture::{BASE, Fixture, shown};

fn check(fixture: &Fixture, kind: ProblemKind, expected: &str) {
    let errors = fixture.load().unwrap_err();
    let shown = shown(&errors);
    assert_eq!(errors.problems().len(), 1, "{shown}");
    assert_eq!(errors.problems()[0].kind(), kind, "{shown}");
    assert_eq!(shown, expected);
}

#[test]
fn no_manifest_at_all() {
    check(
        &Fixture::new(),
        ProblemKind::NoFile,
        "the manifest has a problem

there is no manifest [no-file]
    = a manifest is called claude-bottle.yaml, claude-bottle.yml, claude-bottle.json
    = it was looked for in the home directory, in `~/.config/claude-bottle`, in the working directory and above

hint: run `claude-bottle init` to write one
",
    );
}

#[test]
fn two_manifests_in_one_directory() {
    let fixture = Fixture::new();
    fixture.write("home/claude-bottle.yml", BASE);
    fixture.write("home/claude-bottle.json", "{}");
    check(
        &fixture,
        ProblemKind::TwoFiles,
        "the manifest has a problem

~/claude-bottle.yml: `~/claude-bottle.json` is in the same directory, and a directory has one manifest [two-files]
    = keep the one you mean and remove or rename the other
",
    );
}

#[test]
fn each_name_is_read() {
    for (name, text) in [("yaml", BASE), ("yml", BASE), ("json", "{\"bottles\": {\"base\": {}}}")] {
        let fixture = Fixture::new();
        fixture.write(&format!("home/claude-bottle.{name}"), text);
        assert!(fixture.load().unwrap().bottle("base").is_some(), "{name}");
    }
}

#[test]
fn a_manifest_that_is_no_file() {
    let check = |make: &dyn Fn(&std::path::Path), reason: &str| {
        let fixture = Fixture::new();
        make(&fixture.home().join("claude-bottle.yaml"));
        let expected = format!(
            "the manifest has a problem\n\n~/claude-bottle.yaml: the manifest cannot be read: {reason} [read-file]\n"
        );
        self::check(&fixture, ProblemKind::ReadFile, &expected);
    };
    check(&|path| fs::create_dir(path).unwrap(), "it is a directory");
    check(&|path| symlink("claude-bottle.yaml", path).unwrap(), "too many levels of symbolic links");
    check(&|path| symlink("nowhere", path).unwrap(), "no such file or directory");
    check(&|path| symlink("/dev/zero", path).unwrap(), "it is not a regular file");
    check(&|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()), "it is not a regular file");
}

#[test]
fn a_manifest_may_be_a_link() {
    let fixture = Fixture::new();
    let real = fixture.write("elsewhere/manifest.txt", BASE);
    symlink(real, fixture.home().join("claude-bottle.yaml")).unwrap();
    assert!(fixture.load().is_ok());
}

#[test]
fn a_huge_file_is_not_read() {
    let fixture = Fixture::new();
    let expected = "the manifest has a problem

~/claude-bottle.yaml: the manifest is larger than 1024 KiB [file-too-large]
";
    fixture.write("home/claude-bottle.yaml", vec![b'#'; MAX_FILE_SIZE as usize + 1]);
    check(&fixture, ProblemKind::FileTooLarge, expected);
    // Sparse, and larger than any memory.
    let sparse = fs::File::create(fixture.home().join("claude-bottle.yaml")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    check(&fixture, ProblemKind::FileTooLarge, expected);
}

/// Returns for how long this thread has run, whatever else the machine does: the first field of
/// <https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat>.
fn time_on_a_processor() -> Duration {
    let fields = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(fields.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn the_largest_files_are_read_in_bounded_time() {
    let size = MAX_FILE_SIZE as usize;
    let repeated = |text: &str| text.repeat(size / text.len());
    let numbered = |make: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let line = make(number);
            if text.len() + line.len() > size - 100 {
                return text;
            }
            text.push_str(&line);
        }
        text
    };
    let cases = [
        repeated("\n"),
        repeated("["),
        repeated("- "),
        repeated("? "),
        repeated("{a: "),
        repeated("a\n"),
        repeated("&a "),
        repeated("a: &a {}\n"),
        repeated(":"),
        format!("bottles: {}", "x".repeat(size - 9)),
        format!("\"{}", "x".repeat(size - 1)),
        format!("[{}]", "a,".repeat(size / 2 - 1)),
        numbered(&|n| format!("key{n}: 1\n")),
        format!("agents:\n{}", numbered(&|n| format!("  a{n}: {{bottle: b{n}}}\n"))),
        format!("bottles:\n{}", numbered(&|n| format!("  b{n}: {{imge: x}}\n"))),
        format!("bottles:\n  b:\n    env: {{{}}}\n", numbered(&|n| format!("V{n}: 1, "))),
        format!("bottles:\n  b:\n    env:\n{}", numbered(&|n| format!("      V{n}: 1\n"))),
        format!(
            "bottles:\n  b:\n    egress:\n      allowlist:\n{}",
            numbered(&|n| format!("      - bad..{n}\n"))
        ),
    ];
    let fixture = Fixture::new();
    let (locations, trust) = (fixture.locations(), fixture.trust());
    for text in &cases {
        for name in ["claude-bottle.yaml", "claude-bottle.json"] {
            let path = fixture.home().join(name);
            let begin = time_on_a_processor();
            let result = Manifest::check_candidate(&locations, &trust, &path, text.as_bytes());
            let start: String = text.chars().take(30).collect();
            let taken = time_on_a_processor() - begin;
            // Far above what is measured in a debug build, far below what a quadratic loop takes.
            assert!(taken < Duration::from_secs(20), "{start:?} in {name} took {taken:?}");
            if let Err(errors) = result {
                assert!(errors.report().len() < 64 * 1024, "{start:?} in {name} says too much");
            }
        }
    }
}

#[test]
fn every_prefix_and_every_damaged_byte_is_answered() {
    let fixture = Fixture::new();
    let (locations, trust) = (fixture.locations(), fixture.trust());
    let texts = [
        ("claude-bottle.yaml", include_bytes!("good/complete.yaml").as_slice()),
        ("claude-bottle.json", include_bytes!("good/complete.json").as_slice()),
    ];
    for (name, text) in texts {
        let path = fixture.home().join(name);
        let answer = |content: &[u8]| match Manifest::check_candidate(&locations, &trust, &path, content) {
            Ok(manifest) => manifest.agents().count(),
            Err(errors) => errors.report().len(),
        };
        for end in 0..text.len() {
            answer(&text[..end]);
        }
        for at in 0..text.len() {
            for byte in [b'\0', b'\n', b' ', b'"', b'{', b':', b'*', 0xff] {
                let mut damaged = text.to_vec();
                damaged[at] = byte;
                answer(&damaged);
            }
        }
    }
}
