//! Clients that the agent image does not have: this machine's own cargo and pip, in a container on a bottle's inner network.
//!
//! Such a container has what an agent has: no way out but the bottle's sidecar.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::clients::Service;
use super::fixture::IMAGE;
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

/// A container beside a bottle, which has the bottle's network and so its proxy.
pub(super) struct Beside {
    options: Vec<String>,
}

impl Beside {
    /// Prepares containers that share the network of an agent's bottle, whose proxy has this address.
    pub(super) fn new(agent: &str, proxy: &str) -> Self {
        let rust = said("rustc", &["--print", "sysroot"]);
        let python = said("python3", &["-c", "import sys; print(sys.base_prefix)"]);
        let mut options = vec![format!("--network=container:claude-bottle-{agent}")];
        options
            .extend([format!("--volume={rust}:/opt/rust:ro"), format!("--volume={python}:/opt/python:ro")]);
        let environment = [
            ("PATH", "/opt/rust/bin:/opt/python/bin:/usr/bin:/bin"),
            ("LD_LIBRARY_PATH", "/opt/python/lib"),
            ("HOME", "/tmp"),
            ("https_proxy", proxy),
            ("http_proxy", proxy),
            ("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"),
        ];
        options.extend(environment.map(|(name, value)| format!("--env={name}={value}")));
        Self { options }
    }

    /// Runs a script; returns whether it succeeded, and all it said.
    pub(super) fn run(&self, script: &str) -> (bool, String) {
        let mut command = Command::new("docker");
        // Files of this machine's user may be closed to others.
        command.args(["run", "--rm", "--user=root", "--init"]).args(&self.options);
        let output = run(command.arg(IMAGE).args(["timeout", "60", "sh", "-c", script]));
        (output.status.success(), stdout(&output) + &stderr(&output))
    }
}

/// Lets cargo fetch a crate, and refuses it another registry.
pub(super) fn cargo(beside: &Beside) {
    let package = "mkdir -p /tmp/package/src /tmp/.cargo && cd /tmp/package && touch src/lib.rs \
        && printf '[package]\\nname = \"package\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\n' > Cargo.toml";
    let (fetched, said) =
        beside.run(&format!("{package} && echo 'itoa = \"1\"' >> Cargo.toml && cargo fetch"));
    assert!(fetched, "{said}");
    let registry =
        "printf '[net]\\nretry = 0\\n[registries.other]\\nindex = \"sparse+https://refused-cargo.test/\"\\n'";
    let refused = "echo 'itoa = { version = \"1\", registry = \"other\" }' >> Cargo.toml && cargo fetch";
    let (fetched, said) =
        beside.run(&format!("{package} && {registry} > /tmp/.cargo/config.toml && {refused}"));
    assert!(!fetched && said.contains("403"), "{said}");
}

/// Lets pip download a package, and refuses it another index.
pub(super) fn pip(beside: &Beside) {
    let download = "python3 -m pip --disable-pip-version-check --retries 0 download --no-deps --dest /tmp/wheels iniconfig";
    let (fetched, said) = beside.run(&format!("{download} && ls /tmp/wheels/iniconfig-*"));
    assert!(fetched, "{said}");
    let (fetched, said) = beside.run(&format!("{download} --index-url https://refused-pip.test/simple/"));
    // It keeps the reason to itself; the decision log has it.
    assert!(!fetched && said.contains("No matching distribution"), "{said}");
}
