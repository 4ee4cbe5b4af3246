//! The program and the fake backend as an installed tree, so that no other plug-in of the build is found.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use claude_bottle_standin::as_by_hand;

use super::root;

/// Returns the installed program; the first call builds the plug-in.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(install);
    &PROGRAM
}

/// Returns the root of the tree.
pub(crate) fn prefix() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli")
}

/// Returns the installed plug-in.
pub(crate) fn plugin() -> PathBuf {
    prefix().join("lib/claude-bottle/plugins/claude-bottle-backend-fake.so")
}

fn install() -> PathBuf {
    let program = prefix().join("bin/claude-bottle");
    link(Path::new(env!("CARGO_BIN_EXE_claude-bottle")), &program);
    link(&fake(), &plugin());
    program
}

/// Builds the fake backend, where the program was built and in the same way, and returns its file.
fn fake() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_claude-bottle")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--package", "claude-bottle-backend-fake", "--target-dir"]);
    cargo.arg(built.parent().unwrap()).current_dir(root());
    if built.ends_with("release") {
        cargo.arg("--release");
    }
    let output = as_by_hand(&mut cargo).output().unwrap();
    assert!(output.status.success(), "{cargo:?}\n{}", String::from_utf8_lossy(&output.stderr));
    let file = built.join("libclaude_bottle_backend_fake.so");
    assert!(file.is_file(), "{cargo:?} made no `{}`", file.display());
    file
}

/// Puts a link to a file in place, in one step: another run of the tests may be using the tree.
fn link(from: &Path, to: &Path) {
    let beside = to.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    match fs::hard_link(from, &beside) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => drop(fs::copy(from, &beside).unwrap()),
        other => other.unwrap(),
    }
    fs::rename(&beside, to).unwrap();
    // Renaming a link over another link to the same file does nothing, and leaves both.
    fs::remove_file(&beside)
        .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .unwrap();
}
