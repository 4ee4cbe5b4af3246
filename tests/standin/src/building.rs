//! Programs that tests build: by the cargo that runs them, and as if nothing were above it.

use std::process::Command;

/// What cargo says to a test of the package it is in.
const OF_THE_PACKAGE: [&str; 3] = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_MANIFEST_"];
/// What a make above the tests says of itself, such as descriptors that a test was not given.
const OF_MAKE: [&str; 4] = ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CARGO_MAKEFLAGS"];

/// Takes out of a command that builds what describes the test that runs it.
///
/// A build script that looks at such a variable is run again when there is another value, and what depends on it is built again.
pub fn as_by_hand(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THE_PACKAGE.iter().any(|begin| text.starts_with(begin)) || OF_MAKE.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}
