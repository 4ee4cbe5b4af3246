//! What only loading shows: missing libraries and symbols, other generations, other layouts.

use std::fs;
use std::path::Path;

use claude_bottle_plugin_api::abi::host::Opened;

use crate::support::double::{Host, call, open};
use crate::support::{Place, assert_says, build, c, replace_once};

/// The symbol the host looks for, and what its header starts with in every generation of abi_stable
/// (`AbiHeader` in <https://docs.rs/abi_stable/0.11.3/abi_stable/library/struct.AbiHeader.html>).
const ROOT: &str = "_1as_0lib_1header_0root_bmodule_bloader";
const MAGIC: &str = "abi stable library for Rust";

/// Makes a place with a C library that has a plug-in's note.
fn c_plugin(source: &str, arguments: &[&str]) -> Place {
    let place = Place::new();
    link(&place, source, arguments);
    place
}

fn link(place: &Place, source: &str, arguments: &[&str]) {
    c::library(&place.file("fake"), &format!("{}{source}", c::note("fake", "1.0")), arguments);
}

/// Links the plug-in against another library that is in the same directory.
fn c_plugin_with_dependency(library: &str) -> Place {
    let place = Place::new();
    let dependency = place.path().join(library);
    c::library(&dependency, "int dependency(void) { return 1; }", &[&format!("-Wl,-soname,{library}")]);
    let source = "int dependency(void); int use(void) { return dependency(); }";
    link(&place, source, &[dependency.to_str().unwrap(), "-Wl,-rpath,$ORIGIN"]);
    place
}

#[test]
fn a_missing_dependency() {
    let place = c_plugin_with_dependency("libdependency.so.3");
    assert!(place.list()[0].needed.contains(&"libdependency.so.3".to_owned()));
    // With the library beside it only the functions are missing, so `$ORIGIN` works.
    place.fails_to_load("fake", "no-root-symbol");

    // Another name, because a library that is loaded already would not be looked for.
    let place = c_plugin_with_dependency("libdependency.so.4");
    fs::remove_file(place.path().join("libdependency.so.4")).unwrap();
    let text = place.fails_to_load("fake", "missing-dependency");
    assert_says(&text, &["needs the library `libdependency.so.4`", "not installed", "apt-file search"]);
}

#[test]
fn a_missing_standard_library() {
    let place = c_plugin_with_dependency("libstd-0123456789abcdef.so");
    fs::remove_file(place.path().join("libstd-0123456789abcdef.so")).unwrap();
    let text = place.fails_to_load("fake", "dynamic-std");
    assert_says(&text, &["prefer-dynamic", "cdylib"]);
}

#[test]
fn an_undefined_symbol_is_found_at_once() {
    let place =
        c_plugin("int nobody_has_it(void); int use(void) { return nobody_has_it(); }", &["-Wl,-z,lazy"]);
    assert_says(&place.fails_to_load("fake", "undefined-symbol"), &["`nobody_has_it`"]);
}

#[test]
fn a_newer_c_library() {
    let place = c_plugin("#include <stdlib.h>\nvoid *use(void) { return malloc(1); }", &["-s"]);
    let mut bytes = fs::read(place.file("fake")).unwrap();
    // The oldest version of the machine's first glibc, which everything in it has.
    let old = if cfg!(target_arch = "x86_64") { "GLIBC_2.2.5" } else { "GLIBC_2.17" };
    let new = old.replace("GLIBC_2", "GLIBC_9");
    replace_once(&mut bytes, old, &new);
    fs::write(place.file("fake"), bytes).unwrap();
    let text = place.fails_to_load("fake", "newer-libc");
    assert_says(&text, &[&new, "newer than this system's", "build the plug-in on this system"]);
}

#[test]
fn a_newer_version_of_another_library() {
    let place = Place::new();
    let dependency = place.path().join("libdependency.so");
    let script = place.path().join("versions");
    let make = |version: &str| {
        fs::write(&script, format!("{version} {{ global: dependency; local: *; }};")).unwrap();
        let script = format!("-Wl,--version-script={}", script.display());
        c::library(
            &dependency,
            "int dependency(void) { return 1; }",
            &[&script, "-Wl,-soname,libdependency.so"],
        );
    };
    make("VERSION_2");
    let source = "int dependency(void); int use(void) { return dependency(); }";
    link(&place, source, &[dependency.to_str().unwrap(), "-Wl,-rpath,$ORIGIN"]);
    make("VERSION_1");
    assert_says(&place.fails_to_load("fake", "newer-library"), &["VERSION_2", "libdependency.so"]);
}

#[test]
fn a_note_without_functions() {
    let text = c_plugin("", &[]).fails_to_load("fake", "no-root-symbol");
    assert_says(&text, &["does not export a plug-in's functions", "rebuild the plug-in"]);
}

#[test]
fn a_root_symbol_with_something_else_in_it() {
    for content in ["", "0xff, 0xff, 0xff, 0xff"] {
        let place = c_plugin(&format!("const unsigned char {ROOT}[4096] = {{ {content} }};"), &[]);
        let text = place.fails_to_load("fake", "generation");
        assert_says(&text, &["damaged or of another generation", "rebuild the plug-in"]);
    }
}

#[test]
fn another_generation_of_the_boundary_library() {
    let source = format!(
        "const struct {{ char magic[32]; unsigned major, minor; char rest[4096]; }} {ROOT} = {{ \"{MAGIC}\", 0, 10 }};"
    );
    assert_says(&c_plugin(&source, &[]).fails_to_load("fake", "generation"), &["abi_stable 0.11"]);
    // The magic is the real one: with it and another number the fake backend is refused as well.
    let bytes = fs::read(build::fake()).unwrap();
    assert!(bytes.windows(MAGIC.len()).any(|window| window == MAGIC.as_bytes()));
}

#[test]
fn a_plugin_that_contradicts_its_note() {
    let place = Place::with_changed_fake(|bytes| {
        replace_once(bytes, r#""version":"0.1.0","contract""#, r#""version":"9.9.9","contract""#);
    });
    assert_says(&place.fails_to_load("fake", "contradiction"), &["9.9.9", "0.1.0", "author"]);
}

/// Builds `fixtures/skewed` with one of its features.
fn skewed(feature: &str) -> Place {
    let directory = build::root().join("tests/plugins/fixtures");
    let mut cargo = build::cargo_in(&directory, "build");
    cargo.args(["--package", "skewed", "--locked", "--features", feature]);
    let place = Place::new();
    fs::copy(build::library(&mut cargo), place.file("skewed")).unwrap();
    place
}

#[test]
fn a_layout_check_that_was_switched_off() {
    assert_says(&skewed("unchecked").fails_to_load("skewed", "unchecked"), &["without the layout check"]);
}

#[test]
fn a_panic_while_loading() {
    let text = skewed("panic").fails_to_load("skewed", "constructor");
    assert_says(&text, &["panicked", "report this to the plug-in's author"]);
}

#[test]
fn a_plugin_that_would_abort_does_not_build() {
    let directory: &Path = &build::root().join("tests/plugins/fixtures/frozen-1.0");
    let mut cargo = build::cargo_in(directory, "rustc");
    // A target directory of its own would compile every dependency once more; the flag is for this crate alone.
    let output = cargo.args(["--locked", "--", "-Cpanic=abort"]).output().unwrap();
    assert!(!output.status.success());
    assert_says(&String::from_utf8_lossy(&output.stderr), &["must be built with panic = \"unwind\""]);
}

#[test]
fn one_symbol_is_exported() {
    let output = std::process::Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=just-symbols"])
        .arg(build::fake())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), ROOT);
}

#[test]
fn the_newest_open_backend_of_a_library_has_its_log() {
    let place = Place::new();
    fs::copy(build::fake(), place.file("fake")).unwrap();
    let loaded = place.load("fake").unwrap();
    let hosts: [std::sync::Arc<Host>; 3] = Default::default();
    let dir = tempfile::tempdir().unwrap();
    let [first, second, third] = &hosts;
    let probed = |backend: &Opened| drop(backend.probe(&call()).unwrap());
    let heard = || hosts.each_ref().map(|host| std::mem::take(&mut *host.records.lock().unwrap()).len());
    let outer = open(&loaded, first, dir.path(), &[]).unwrap();
    probed(&outer);
    assert_eq!(heard(), [1, 0, 0]);
    let inner = open(&loaded, second, dir.path(), &[]).unwrap();
    probed(&inner);
    assert_eq!(heard(), [0, 1, 0]);
    drop(inner);
    probed(&outer);
    assert_eq!(heard(), [1, 0, 0]);
    drop(outer);
    third.is_deaf.store(true, std::sync::atomic::Ordering::Relaxed);
    let again = open(&loaded, third, dir.path(), &[]).unwrap();
    probed(&again);
    assert_eq!(heard(), [0, 0, 0], "nothing below a warning is wanted");
    let last = open(&loaded, second, dir.path(), &[]).unwrap();
    probed(&last);
    assert_eq!(heard(), [0, 1, 0]);
}
