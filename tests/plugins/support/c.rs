//! Small libraries in C: what a Rust plug-in never is, and a bad file can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns C source for a plug-in's note.
pub(crate) fn note(name: &str, contract: &str) -> String {
    let text = format!(r#"{{"name":"{name}","version":"1.0.0","contract":"{contract}"}}"#);
    let padded = format!("{text:width$}", width = text.len().next_multiple_of(4));
    let (length, quoted) = (padded.len(), padded.replace('"', "\\\""));
    format!(
        r#"
        __attribute__((section(".note.claude_bottle"), aligned(4), used))
        static const struct {{ unsigned name_size, size, type; char name[16]; char text[{length}]; }} note =
            {{ 14, {length}, 1, "claude-bottle", "{quoted}" }};
        "#
    )
}

/// Returns C source for a function that runs when the library is loaded, and creates a file.
pub(crate) fn constructor(marker: &Path) -> String {
    let marker = marker.to_str().unwrap();
    format!(
        r#"
        #include <fcntl.h>
        #include <unistd.h>
        __attribute__((constructor)) static void mark(void) {{ close(open("{marker}", O_CREAT | O_WRONLY, 0600)); }}
        "#
    )
}

/// Compiles a shared library.
pub(crate) fn library(output: &Path, source: &str, arguments: &[&str]) {
    compile(output, source, &[&["-shared", "-fPIC"], arguments].concat());
}

/// Compiles C source to a file; `arguments` come after the source, as libraries have to.
pub(crate) fn compile(output: &Path, source: &str, arguments: &[&str]) {
    let file = scratch(output);
    fs::write(&file, source).unwrap();
    let result = Command::new("cc").arg("-o").arg(output).arg(&file).args(arguments).output().unwrap();
    fs::remove_file(&file).unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}

/// Returns a place for the source, which is not called like a plug-in.
fn scratch(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap().to_owned();
    name.push(".c");
    output.with_file_name(name)
}
