//! Clients that the agent image does not have: this machine's own cargo and pip, carried into a live bottle.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::clients::Service;
use super::session::Session;
use crate::support::{run, stderr, stdout};

/// Returns what a program of this machine prints; it must succeed.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = run(Command::new(program).args(arguments));
    assert!(output.status.success(), "{program} {arguments:?}: {}", stderr(&output));
    stdout(&output).trim().to_owned()
}

/// Returns the hosts that cargo asks: those of the index this very test's dependencies came from.
pub(super) fn cargo_services() -> Vec<Service> {
    let home = || Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo");
    let home = std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from);
    let indexes = std::fs::read_dir(home.join("registry/index")).expect("cargo has an index");
    let mut services = Vec::new();
    for index in indexes.map(Result::unwrap) {
        // A directory is named after its index's host and a hash.
        let name = index.file_name().into_string().unwrap();
        services.push(Service { host: name.rsplit_once('-').unwrap().0.to_owned(), port: 443 });
        let config = std::fs::read_to_string(index.path().join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        services.push(Service::of(config["dl"].as_str().unwrap()));
    }
    assert!(!services.is_empty());
    services
}

/// Returns the hosts that pip asks.
pub(super) fn pip_services() -> Vec<Service> {
    let built_in =
        "from pip._internal.models.index import PyPI; print(PyPI.simple_url, PyPI.file_storage_domain)";
    let built_in = said("python3", &["-c", built_in]);
    let (index, files) = built_in.split_once(' ').unwrap();
    vec![Service::of(index), Service { host: files.to_owned(), port: 443 }]
}

/// Puts what cargo and pip consist of below `/opt` of a container, for every user to read. No standard library of Rust is among
/// it: none is needed to fetch.
const CARRY: &str = r#"
    set -eu
    carry() {
        into=$1; shift
        tar -c --owner=0 --group=0 --mode=a+rX --transform "s,^,$into/,SH" "$@" | docker cp - "$container:/opt"
    }
    container=$1 python=$2 library=$3 pip=$4
    cd "$(rustc --print sysroot)"
    carry rust bin/cargo bin/rustc lib/lib*
    cd "$python"
    carry python --exclude=site-packages --exclude=test --exclude=__pycache__ \
        bin/python3* $(ls -d lib/libpython3* 2>/dev/null) "$library"
    carry python "$pip""#;

/// What a shell in the bottle needs to find them.
const ENVIRONMENT: &str = "export HOME=/tmp PATH=/opt/rust/bin:/opt/python/bin:$PATH \
    LD_LIBRARY_PATH=/opt/python/lib PIP_CERT=/etc/ssl/certs/ca-certificates.crt";

/// Carries cargo and pip into the bottle of an agent, which runs.
pub(super) fn carry_in(agent: &str) {
    let places = "import os, pip, sys, sysconfig; at = lambda path: os.path.relpath(path, sys.base_prefix); \
        print(sys.base_prefix, at(sysconfig.get_path('stdlib')), at(os.path.dirname(pip.__file__)), sep='\\n')";
    let places = said("python3", &["-c", places]);
    let container = format!("claude-bottle-{agent}");
    let words = ["-c", CARRY, "carry", &container];
    let output = run(Command::new("sh").args(words).args(places.lines()));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Lets cargo fetch a crate, and refuses it another registry.
pub(super) fn cargo(inside: &mut Session) {
    let package = format!(
        "{ENVIRONMENT}; mkdir -p /tmp/package/src /tmp/.cargo && cd /tmp/package && touch src/lib.rs \
         && printf '[package]\\nname = \"package\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\n' > Cargo.toml"
    );
    inside.ok(&format!("{package} && echo 'itoa = \"1\"' >> Cargo.toml && timeout 60 cargo fetch"));
    let registry =
        "printf '[net]\\nretry = 0\\n[registries.other]\\nindex = \"sparse+https://refused-cargo.test/\"\\n'";
    let refused =
        "echo 'itoa = { version = \"1\", registry = \"other\" }' >> Cargo.toml && timeout 60 cargo fetch";
    let said = inside.fails(&format!("{package} && {registry} > /tmp/.cargo/config.toml && {refused}"));
    assert!(said.contains("403"), "{said}");
}

/// Lets pip download a package, and refuses it another index.
pub(super) fn pip(inside: &mut Session) {
    let download = format!(
        "{ENVIRONMENT}; timeout 60 python3 -m pip --disable-pip-version-check --retries 0 download --no-deps \
         --dest /tmp/wheels iniconfig"
    );
    inside.ok(&format!("{download} && ls /tmp/wheels/iniconfig-*"));
    let said = inside.fails(&format!("{download} --index-url https://refused-pip.test/simple/"));
    // It keeps the reason to itself; the decision log has it.
    assert!(said.contains("No matching distribution"), "{said}");
}
