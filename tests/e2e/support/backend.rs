//! The backends an end-to-end test runs against. One body of a test serves them all.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use super::home::Home;
use super::{cluster, engine, podman};

/// A backend, by the name users give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Docker,
    Bubblewrap,
    Podman,
    Kubernetes,
}

/// Makes a test for each backend out of functions that take one: `NAME::docker` and `NAME::bubblewrap`.
macro_rules! on_each_backend {
    ($($(#[$attribute:meta])* $body:ident),+ $(,)?) => {$(
        mod $body {
            use crate::support::backend::Backend;

            #[test]
            $(#[$attribute])*
            fn docker() {
                super::$body(Backend::Docker);
            }

            #[test]
            $(#[$attribute])*
            fn bubblewrap() {
                super::$body(Backend::Bubblewrap);
            }
        }
    )+};
}
pub(crate) use on_each_backend;

/// Makes a test for each backend as [`on_each_backend`] does, and `NAME::podman`: what shows that a backend of containers is whole.
macro_rules! on_each_backend_and_podman {
    ($($body:ident),+ $(,)?) => {$(
        mod $body {
            use crate::support::backend::Backend;

            #[test]
            fn docker() {
                super::$body(Backend::Docker);
            }

            #[test]
            fn bubblewrap() {
                super::$body(Backend::Bubblewrap);
            }

            #[test]
            fn podman() {
                super::$body(Backend::Podman);
            }
        }
    )+};
}
pub(crate) use on_each_backend_and_podman;

/// Makes tests of the same functions for a cluster: `kubernetes::NAME`. They are run by `make test-cluster`.
macro_rules! on_a_cluster {
    ($($body:ident),+ $(,)?) => {
        mod kubernetes {
            use crate::support::backend::Backend;

            $(
                #[test]
                #[ignore = "needs a cluster: make test-cluster"]
                fn $body() {
                    super::$body(Backend::Kubernetes);
                }
            )+
        }
    };
}
pub(crate) use on_a_cluster;

impl Backend {
    /// Returns its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Bubblewrap => "bubblewrap",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// Returns an address of this machine that a bottle's proxy can reach.
    pub(crate) fn host_address(self) -> IpAddr {
        match self {
            Self::Docker => engine::bridge_address(),
            Self::Bubblewrap | Self::Podman => Ipv4Addr::LOCALHOST.into(),
            Self::Kubernetes => cluster::NODE,
        }
    }

    /// Prepares a call of the program with this backend.
    pub(crate) fn command(self, home: &Home, arguments: &[&str]) -> Command {
        let mut command = home.command(arguments);
        command.env("CLAUDE_BOTTLE_BACKEND", self.name());
        if self == Self::Bubblewrap {
            command.env("PATH", path_with_the_agent());
        }
        if self == Self::Podman {
            podman::let_answer(&mut command);
        }
        if self == Self::Kubernetes {
            cluster::let_answer(&mut command);
        }
        command
    }

    /// Prepares `cleanup`: on another backend without the engine, since dead runs in it are those of other tests, at this moment.
    pub(crate) fn cleanup(self, home: &Home) -> Command {
        let mut command = self.command(home, &["cleanup", "--yes"]);
        if self != Self::Docker {
            command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        }
        command
    }

    /// Fails when anything of the agent's is left in the engine or on the disk.
    #[track_caller]
    pub(crate) fn assert_nothing_left(self, home: &Home, agent: &str) {
        let nothing = Vec::<String>::new();
        assert_eq!(home.left_in_tmp(), nothing);
        assert_eq!(self.left(home, agent), nothing);
    }

    /// Lists what is left of the agent's in the engine or on the disk.
    pub(crate) fn left(self, home: &Home, agent: &str) -> Vec<String> {
        match self {
            Self::Docker => [engine::resources_of(agent), self.directories(home)].concat(),
            Self::Bubblewrap => self.directories(home),
            Self::Podman => [self.directories(home), podman::containers_of(agent)].concat(),
            Self::Kubernetes => cluster::pods_of(agent),
        }
    }
}

impl Backend {
    /// Lists the directories of bottles, of a backend that has some.
    fn directories(self, home: &Home) -> Vec<String> {
        let bottles =
            home.path().join(format!(".local/share/claude-bottle/backends/{}/bottles", self.name()));
        let left = std::fs::read_dir(&bottles).into_iter().flatten();
        left.map(|entry| entry.unwrap().path().display().to_string()).collect()
    }
}

/// Returns the search path with the real Claude Code CLI first; a bottle on bubblewrap runs the host's.
fn path_with_the_agent() -> OsString {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let bin = root.join(".cache/claude/node_modules/.bin");
    assert!(bin.join("claude").exists(), "no Claude Code CLI below .cache; make it: tests/setup/claude.sh");
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}
