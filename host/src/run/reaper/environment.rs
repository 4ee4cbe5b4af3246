//! The environment of the process that watches a run: what reaches a backend's engine, and none of the user's secrets.
//!
//! That process lives as long as the run, and `/proc/PID/environ` shows what it was given to every program of the user.

use std::ffi::{OsStr, OsString};

use crate::environment::{PREFIX, TOKEN};

/// Variables by their whole name.
///
/// Of those for engines not all: `DOCKER_AUTH_CONFIG` and `DOCKER_PASSWORD` of continuous integration are secrets.
const NAMES: &[&str] = &[
    "CONTAINER_HOST",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "HOME",
    "KRB5CCNAME",
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "LANG",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "RUST_BACKTRACE",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "TZ",
    "USER",
    "WAYLAND_DISPLAY",
];

/// Variables by how their name begins: the system's, and this program's own.
const BEGINNINGS: &[&str] = &["LC_", "XDG_", PREFIX];

/// Variables with such a beginning that it must not have: the agent's token, and a fault that a test asks for, which is
/// the run's and not its watcher's.
const LEFT_OUT: &[&str] = &[TOKEN, "CLAUDE_BOTTLE_FAULT"];

/// Returns those of the user's variables that the watching process gets.
pub(in crate::run) fn of_watcher(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| is_passed_on(name))
}

fn is_passed_on(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_known = NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    is_known && !LEFT_OUT.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_an_engine_is_passed_on_and_no_secret() {
        for name in [
            "HOME",
            "PATH",
            "DOCKER_HOST",
            "KUBECONFIG",
            "SSH_AUTH_SOCK",
            "XDG_RUNTIME_DIR",
            "LC_ALL",
            "CLAUDE_BOTTLE_BASE_IMAGE",
        ] {
            assert!(is_passed_on(name.as_ref()), "{name}");
        }
        for name in [
            "ANTHROPIC_API_KEY",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "DOCKER_AUTH_CONFIG",
            "DOCKER_PASSWORD",
            TOKEN,
            "CLAUDE_BOTTLE_FAULT",
            "PATHS",
            "",
        ] {
            assert!(!is_passed_on(name.as_ref()), "{name}");
        }
    }
}
