//! Every way in which a file is no plug-in for this host, each with a real file. No code of a refused file runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use claude_bottle::plugins::{PluginError, Status};

use crate::support::{Place, assert_says, build, c, full_text, replace_once};

/// Where the machine number is in an ELF header.
const MACHINE: usize = 18;
/// Where the class (32 or 64 bits) is.
const CLASS: usize = 4;
const BYTE_ORDER: usize = 5;

#[test]
fn a_missing_backend_is_named_with_what_there_is_and_where_it_was_looked_for() {
    let place = Place::with_fake();
    let error = place.load("docker").unwrap_err();
    assert!(matches!(&error, PluginError::NotFound { available, .. } if available == &["fake"]), "{error:?}");
    let text = full_text(&error);
    assert_says(
        &text,
        &["backend `docker` not found", "available backends: fake", "CLAUDE_BOTTLE_PLUGIN_PATH"],
    );
    assert_says(&text, &[place.path().to_str().unwrap(), "claude-bottle-backend-docker.so"]);
}

#[test]
fn a_name_that_is_a_path_is_no_name() {
    let place = Place::with_fake();
    for name in ["../fake", "/etc/passwd", "fake.so", ""] {
        assert_eq!(place.load(name).unwrap_err().code(), "invalid-name", "{name}");
    }
}

#[test]
fn a_dangling_link() {
    let place = Place::new();
    symlink("gone.so", place.file("fake")).unwrap();
    assert_says(&place.refused("fake", "dangling-link"), &["gone.so", "does not exist"]);
}

#[test]
fn another_machine() {
    let place = Place::with_changed_fake(|bytes| {
        let foreign: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
        bytes[MACHINE..MACHINE + 2].copy_from_slice(&foreign.to_ne_bytes());
    });
    let (foreign, host) =
        if cfg!(target_arch = "aarch64") { ("x86-64", "aarch64") } else { ("aarch64", "x86-64") };
    let text = place.refused("fake", "machine");
    assert_says(
        &text,
        &[&format!("built for {foreign}"), &format!("runs on {host}"), "install the plug-in's build"],
    );
}

#[test]
fn another_word_size_or_byte_order() {
    let place = Place::with_changed_fake(|bytes| bytes[CLASS] = 1);
    assert_says(&place.refused("fake", "not-64-bit"), &["32-bit"]);
    let place = Place::with_changed_fake(|bytes| bytes[BYTE_ORDER] = 3 - bytes[BYTE_ORDER]);
    assert_says(&place.refused("fake", "byte-order"), &["byte order"]);
}

#[test]
fn what_is_no_elf_file() {
    let cases: [(&[u8], &str); 5] = [
        (b"", "empty, 0 bytes"),
        (b"hello, world\n", "text, 13 bytes"),
        (b"#!/bin/sh\nexit\n", "a script"),
        (b"\x1f\x8b\x08\x00", "an archive"),
        (&[0; 30], "something else, 30 bytes"),
    ];
    for (content, said) in cases {
        let place = Place::new();
        fs::write(place.file("fake"), content).unwrap();
        assert_says(&place.refused("fake", "not-elf"), &["not a shared library", said]);
    }
}

#[test]
fn what_is_no_file() {
    let place = Place::new();
    fs::create_dir(place.file("fake")).unwrap();
    assert_says(&place.refused("fake", "not-a-regular-file"), &["a directory"]);

    let place = Place::new();
    let made = Command::new("mkfifo").arg(place.file("fake")).status().unwrap();
    assert!(made.success());
    // A pipe nobody writes to would block a plain open for ever.
    assert_says(&place.refused("fake", "not-a-regular-file"), &["a pipe"]);
}

#[test]
fn programs_and_object_files() {
    let source = format!("{} int main(void) {{ return 0; }}", c::note("fake", "1.0"));
    for (arguments, said) in [
        (&["-pie", "-fPIE"][..], "a program"),
        (&["-no-pie", "-fno-pie"], "a program"),
        (&["-c"], "an object file"),
    ] {
        let place = Place::new();
        c::compile(&place.file("fake"), &source, arguments);
        assert_says(&place.refused("fake", "not-a-library"), &[said, "cdylib"]);
    }
}

/// A small library with a plug-in's note, for what is tried many times.
fn small_library(place: &Place) -> Vec<u8> {
    c::library(&place.file("fake"), &c::note("fake", "1.0"), &[]);
    fs::read(place.file("fake")).unwrap()
}

#[track_caller]
fn check_cut_off(place: &Place, whole: &[u8], length: usize) {
    fs::write(place.file("fake"), &whole[..length]).unwrap();
    let code = if length < 4 { "not-elf" } else { "truncated" };
    let text = place.refused("fake", code);
    if length >= 64 {
        assert_says(&text, &["it is truncated", &format!("has {length}"), "install the plug-in again"]);
    }
}

#[test]
fn a_file_that_was_cut_off() {
    let place = Place::new();
    let whole = small_library(&place);
    for length in 0..mapped_length(&whole) {
        check_cut_off(&place, &whole, length);
    }
    let whole = fs::read(build::fake()).unwrap();
    let mapped = mapped_length(&whole);
    for length in (1..12).map(|part| mapped * part / 12).chain([64, 1024, mapped - 1]) {
        check_cut_off(&place, &whole, length);
    }
}

#[test]
fn a_file_without_what_is_never_mapped_loads() {
    // Only the table of sections and debug information is missing, as after `strip`.
    let whole = fs::read(build::fake()).unwrap();
    let place = Place::with_changed_fake(|bytes| bytes.truncate(mapped_length(&whole)));
    place.load("fake").unwrap();
}

#[test]
fn damaged_headers_are_refused_or_understood_and_never_crash_the_host() {
    let place = Place::new();
    let whole = small_library(&place);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random % 1024).unwrap();
            bytes[at] = random.to_be_bytes()[0];
        }
        fs::write(place.file("fake"), &bytes).unwrap();
        // Listing judges the file and runs nothing of it.
        assert_eq!(place.list().len(), 1);
    }
}

/// Returns how much of a library is mapped: the end of its last `PT_LOAD` segment.
fn mapped_length(elf: &[u8]) -> usize {
    let number = |at: usize| u64::from_ne_bytes(elf[at..at + 8].try_into().unwrap());
    let table = usize::try_from(number(32)).unwrap();
    let count = usize::from(u16::from_ne_bytes(elf[56..58].try_into().unwrap()));
    let segments = (0..count).map(|n| table + n * 56);
    let loads = segments.filter(|at| elf[*at..at + 4] == 1_u32.to_ne_bytes());
    usize::try_from(loads.map(|at| number(at + 8) + number(at + 32)).max().unwrap()).unwrap()
}

/// Opens a library as a host without a pre-flight would.
const OPENER: &str = r#"
    #include <dlfcn.h>
    int main(int argc, char **argv) { return argc == 2 && dlopen(argv[1], RTLD_NOW) ? 0 : 1; }
"#;

fn open_blindly(place: &Place, file: &Path) -> bool {
    let opener = place.path().join("opener");
    c::compile(&opener, OPENER, &["-ldl"]);
    Command::new(&opener).arg(file).status().unwrap().success()
}

#[test]
fn a_library_that_is_no_plugin_and_none_of_whose_code_runs() {
    let place = Place::new();
    let marker = place.path().join("its-code-ran");
    c::library(&place.file("fake"), &c::constructor(&marker), &[]);
    let text = place.refused("fake", "not-a-plugin");
    assert_says(&text, &["not a claude-bottle plug-in", "export_backend!"]);
    assert!(!marker.exists(), "a constructor of a refused file ran");
    assert!(open_blindly(&place, &place.file("fake")));
    assert!(marker.exists(), "the constructor would not have run anyway");
}

#[test]
fn no_code_runs_of_a_plugin_with_another_name_or_contract_or_in_a_list() {
    for (name, contract, code) in
        [("other", "1.0", "name"), ("fake", "0.9", "contract-too-old"), ("fake", "2.0", "contract-too-new")]
    {
        let place = Place::new();
        let marker = place.path().join("its-code-ran");
        let source = format!("{}{}", c::note(name, contract), c::constructor(&marker));
        c::library(&place.file("fake"), &source, &[]);
        place.refused("fake", code);
        assert!(!marker.exists(), "{code}");
        assert!(open_blindly(&place, &place.file("fake")));
        assert!(marker.exists(), "the constructor would not have run anyway");
    }
}

#[test]
fn a_name_that_is_not_the_files() {
    let place = Place::with_fake();
    fs::rename(place.file("fake"), place.file("docker")).unwrap();
    let text = place.refused("docker", "name");
    assert_says(
        &text,
        &["declares the backend `fake`", "`docker`", "rename the file to `claude-bottle-backend-fake.so`"],
    );
}

#[test]
fn a_contract_that_is_too_old_or_too_new() {
    let with_contract = |contract: &str| {
        Place::with_changed_fake(|bytes| {
            replace_once(bytes, r#""contract":"1.1"}"#, &format!(r#""contract":"{contract}"}}"#));
        })
    };
    let text = with_contract("0.9").refused("fake", "contract-too-old");
    assert_says(&text, &["contract 0.9", "needs 1.x", "update the plug-in"]);
    let text = with_contract("2.0").refused("fake", "contract-too-new");
    assert_says(&text, &["contract 2.0", "knows 1.x", "update claude-bottle"]);
}

#[test]
fn a_note_that_is_none() {
    let damaged =
        Place::with_changed_fake(|bytes| replace_once(bytes, r#"{"name":"fake""#, r#"{"name";"fake""#));
    assert_says(&damaged.refused("fake", "note"), &["note cannot be read"]);
    let hostile = Place::with_changed_fake(|bytes| {
        replace_once(bytes, r#"{"name":"fake","version":"0.1.0""#, r#"{"name":"\u001b","version":"0.1""#);
    });
    let text = hostile.refused("fake", "note");
    assert!(!text.contains('\x1b'), "an escape character reached the message");
}

#[test]
fn one_bad_file_does_not_break_the_list() {
    let place = Place::with_fake();
    fs::write(place.file("bad"), "text").unwrap();
    fs::write(place.path().join("claude-bottle-backend-Not\x1bA-Name.so"), "text").unwrap();
    fs::write(place.path().join("unrelated.so"), "text").unwrap();
    let entries = place.list();
    let states: Vec<_> = entries
        .iter()
        .map(|entry| match &entry.status {
            Status::Usable => (entry.name.as_str(), "usable"),
            Status::Refused { code, .. } => (entry.name.as_str(), *code),
        })
        .collect();
    assert_eq!(states, [("Not\\u{1b}A-Name", "invalid-name"), ("bad", "not-elf"), ("fake", "usable")]);
}
