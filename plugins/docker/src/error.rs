//! What can go wrong, each with what was being done; and how it crosses to the host.

use std::io;
use std::path::PathBuf;

use claude_bottle_egress_policy::ConfigError;
use claude_bottle_kit::tree::TreeError;
use claude_bottle_kit::{closed, printable};
use claude_bottle_plugin_api::{Failure, FailureKind};
use thiserror::Error;

use crate::engine::{EngineError, disk_full_hint, hint};

/// A failure of this backend.
#[derive(Debug, Error)]
pub(crate) enum DockerError {
    #[error("cannot find the engine: {reason}")]
    FindEngine { reason: String, hint: String },
    #[error("cannot ask the engine for its features")]
    AskEngine { source: EngineError },
    #[error("the engine speaks API {}.{}, and {}.{} or newer is needed", api.0, api.1, needed.0, needed.1)]
    EngineTooOld { api: (usize, usize), needed: (usize, usize) },
    #[error(
        "the engine is Podman {version}, which is not supported: it answers a part of Docker's API only, without \
         owners of tmpfs mounts and without networks that have no address of the host"
    )]
    EngineIsPodman { version: String },
    #[error("cannot create network `{name}`")]
    CreateNetwork { name: String, source: EngineError },
    #[error("cannot read the addresses of network `{name}`")]
    ReadNetwork { name: String, source: EngineError },
    #[error("network `{name}` got no IPv4 range from the engine")]
    NetworkWithoutRange { name: String },
    #[error("the engine's network range `{range}` cannot be read")]
    ReadRange { range: String },
    #[error("cannot create container `{name}`")]
    CreateContainer { name: String, source: EngineError },
    #[error("cannot configure the sidecar `{name}`")]
    ConfigureSidecar { name: String, source: EngineError },
    #[error("cannot connect the sidecar `{name}` to the agent's network")]
    ConnectSidecar { name: String, source: EngineError },
    #[error("cannot start container `{name}`")]
    StartContainer { name: String, source: EngineError },
    #[error("the engine put container `{name}` on another network than its own")]
    AgentOnWrongNetwork { name: String },
    #[error("cannot inspect container `{name}`")]
    InspectContainer { name: String, source: EngineError },
    #[error("the sidecar `{name}` ended at once, with exit code {code}{}", said(.output))]
    SidecarEnded { name: String, code: i64, output: String },
    #[error("the sidecar `{name}` does not answer on port {port}{}", said(.output))]
    SidecarNotReady { name: String, port: u16, output: String },
    #[error("cannot read the configuration of the egress guard")]
    ReadGuardConfig { source: ConfigError },
    #[error("cannot read the program `{}`", path.display())]
    ReadProgram { path: PathBuf, source: io::Error },
    #[error("the program `{}` is {found}, and the engine runs {wanted}", path.display())]
    ProgramArchitecture { path: PathBuf, found: String, wanted: String },
    #[error("cannot load the egress guard's image `{tag}`")]
    LoadImage { tag: String, source: EngineError },
    #[error("cannot look for image `{reference}`")]
    FindImage { reference: String, source: EngineError },
    #[error("cannot build image `{tag}`")]
    BuildImage { tag: String, base: String, tail: Vec<String>, pull: bool, source: EngineError },
    #[error("the image `{tag}` was not built by claude-bottle, so it is not built over")]
    ReplaceImage { tag: String },
    #[error("cannot pull image `{reference}`")]
    PullImage { reference: String, source: EngineError },
    #[error("cannot copy into the bottle")]
    CopyIn { source: TreeError },
    #[error("cannot read what is in the bottle")]
    ReadArchive { source: EngineError },
    #[error("cannot end container `{name}`")]
    Halt { name: String, source: EngineError },
    #[error("cannot give the guard `{name}` another policy")]
    ReloadGuard { name: String, source: EngineError },
    #[error("cannot copy into the bottle")]
    PutArchive { source: EngineError },
    #[error("cannot run `{program}` in the bottle")]
    RunInside { program: String, source: EngineError },
    #[error(
        "the engine no longer knows of `{program}`: the bottle was removed, or the engine restarted, while it ran"
    )]
    LostProgram { program: String },
    #[error("the image `{image}` has no user `{user}`")]
    NoUser { user: String, image: String, users: Vec<String> },
    #[error("`{user}` is root in the image `{image}`, and the agent cannot run as root")]
    AgentAsRoot { user: String, image: String },
    #[error("the agent's program `{program}` is not in the image{}", named(.image.as_deref()))]
    NoProgram { program: String, image: Option<String> },
    #[error("cannot read what the program in the bottle writes")]
    ReadOutput { source: EngineError },
    #[error("{}", closed(.program).message)]
    Closed { program: String },
    #[error("{action} in the bottle: exit code {code}{}", said(.output))]
    FailedInside { action: &'static str, code: i32, output: String },
    #[error("the variable `{name}` cannot be carried into the bottle: its name, or a NUL byte in its value")]
    CarryVariable { name: String },
    #[error("cannot list what is left of bottle `{name}`")]
    ListLeftovers { name: String, source: EngineError },
    #[error("cannot remove {kind} `{name}`")]
    Remove { kind: &'static str, name: String, source: EngineError },
    #[error("cannot save the egress log to `{}`", path.display())]
    SaveLog { path: PathBuf, source: io::Error },
    #[error("cannot read the egress log of the sidecar")]
    ReadLog { source: EngineError },
    #[error("the name `{name}` is taken")]
    NameTaken { name: String },
    #[error("run `{id}` has a bottle already")]
    RunExists { id: String },
    #[error("no free name among `{first}` to `{last}`")]
    NamesTaken { first: String, last: String },
    #[error("a fault was asked for after step `{step}`")]
    Injected { step: String },
}

/// Output of a program as the end of a sentence.
fn said(output: &str) -> String {
    let text = output.trim();
    if text.is_empty() { String::new() } else { format!(": {}", printable(text)) }
}

/// An image's name, where it is known.
fn named(image: Option<&str>) -> String {
    image.map_or_else(String::new, |image| format!(" `{image}`"))
}

impl DockerError {
    fn engine(&self) -> Option<&EngineError> {
        match self {
            Self::AskEngine { source }
            | Self::CreateNetwork { source, .. }
            | Self::ReadNetwork { source, .. }
            | Self::CreateContainer { source, .. }
            | Self::ConfigureSidecar { source, .. }
            | Self::ConnectSidecar { source, .. }
            | Self::StartContainer { source, .. }
            | Self::InspectContainer { source, .. }
            | Self::LoadImage { source, .. }
            | Self::FindImage { source, .. }
            | Self::BuildImage { source, .. }
            | Self::PullImage { source, .. }
            | Self::PutArchive { source }
            | Self::RunInside { source, .. }
            | Self::ReadOutput { source }
            | Self::ListLeftovers { source, .. }
            | Self::ReloadGuard { source, .. }
            | Self::Remove { source, .. }
            | Self::ReadLog { source } => Some(source),
            _ => None,
        }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::FindEngine { .. }
            | Self::ReadGuardConfig { .. }
            | Self::ProgramArchitecture { .. }
            | Self::CopyIn { .. }
            | Self::CarryVariable { .. }
            | Self::NoUser { .. }
            | Self::AgentAsRoot { .. }
            | Self::ReplaceImage { .. } => FailureKind::Invalid,
            Self::EngineTooOld { .. } | Self::EngineIsPodman { .. } => FailureKind::Unsupported,
            Self::Closed { .. } => FailureKind::NotFound,
            Self::ReadProgram { .. } | Self::PullImage { .. } | Self::NoProgram { .. } => {
                FailureKind::Missing
            }
            Self::NameTaken { .. } | Self::NamesTaken { .. } | Self::RunExists { .. } => {
                FailureKind::Conflict
            }
            Self::SidecarNotReady { .. } => FailureKind::Timeout,
            Self::LostProgram { .. } => FailureKind::Unreachable,
            _ => self.engine().map_or(FailureKind::Internal, EngineError::kind),
        }
    }

    fn hints(&self) -> Vec<String> {
        let own = match self {
            Self::BuildImage { base, tail, pull, source, .. } if hint(source).is_none() => {
                return build_hints(base, tail, *pull);
            }
            Self::PullImage { reference, .. } => Some(format!(
                "docker pull {reference}   # by hand; the plug-in itself has no login for a registry"
            )),
            Self::ReplaceImage { .. } => Some("unset CLAUDE_BOTTLE_IMAGE, or leave out --rebuild".to_owned()),
            Self::FindEngine { hint, .. } => Some(hint.clone()),
            Self::EngineTooOld { .. } => Some("update the engine to 20.10 or newer".to_owned()),
            Self::EngineIsPodman { .. } => Some(
                "export CLAUDE_BOTTLE_BACKEND=podman   # the backend for it; or name Docker's own engine in DOCKER_HOST"
                    .to_owned(),
            ),
            Self::NameTaken { name } => Some(format!("docker rm -f {name}")),
            Self::NamesTaken { .. } => Some("claude-bottle cleanup".to_owned()),
            // Engine 20.10 answers 404, as if something were not found.
            Self::CreateNetwork {
                source: EngineError::Refused { message, .. } | EngineError::NotFound { message },
                ..
            } if message.contains("address pool") => Some(
                "claude-bottle cleanup   # the engine has no address range left for a network".to_owned(),
            ),
            Self::CopyIn { source } => source.hint(),
            Self::NoUser { users, .. } if users.is_empty() => {
                Some("set `user` of the bottle to a number, such as 1000: it needs no entry in the image".to_owned())
            }
            Self::NoUser { users, .. } => Some(format!("its users are: {}", users.join(", "))),
            Self::AgentAsRoot { .. } => Some(
                "leave `user` out: the agent is then the image's user 1000, or one that is added".to_owned(),
            ),
            Self::NoProgram { program, .. } => Some(format!(
                "use an image with `{program}` in its PATH, or set `command` of the agent to a program that is there"
            )),
            Self::FailedInside { output, .. } | Self::SidecarEnded { output, .. } => disk_full_hint(output),
            Self::ReadProgram { .. } => Some("reinstall claude-bottle: one of its programs is missing".to_owned()),
            _ => None,
        };
        own.into_iter().chain(self.engine().and_then(hint)).collect()
    }
}

/// Returns advice for a build that failed. A failure of its first step is about the base image.
fn build_hints(base: &str, tail: &[String], pull: bool) -> Vec<String> {
    let step = tail.iter().rev().find(|line| line.starts_with("Step "));
    if step.is_some_and(|step| !step.contains(" : FROM") && !step.contains(" : ARG BASE_IMAGE")) {
        return vec!["the output above says why; behind a proxy set HTTP_PROXY and HTTPS_PROXY".to_owned()];
    }
    if pull {
        return vec![format!(
            "docker pull {base}   # by hand; without --pull the image that is here is used"
        )];
    }
    vec![
        "export CLAUDE_BOTTLE_BACKEND=bubblewrap   # it needs no image: the agent runs with this machine's programs"
            .to_owned(),
        format!("docker pull {base}   # by hand, where it can be had; CLAUDE_BOTTLE_BASE_IMAGE names another one"),
    ]
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        let mut failure = Self::new(error.kind(), error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            failure = failure.caused_by(source);
        }
        error.hints().into_iter().fold(failure, Self::hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_without_addresses_is_told_with_what_helps() {
        let message = "could not find an available, non-overlapping IPv4 address pool".to_owned();
        let source = EngineError::NotFound { message };
        let failure = Failure::from(DockerError::CreateNetwork { name: "n".to_owned(), source });
        assert!(failure.hints[0].starts_with("claude-bottle cleanup "), "{failure:?}");
    }

    #[test]
    fn a_disk_that_is_full_for_a_program_in_the_bottle_is_told_with_what_helps() {
        let output = "cat: write error: No space left on device".to_owned();
        let failure = Failure::from(DockerError::FailedInside { action: "write it", code: 1, output });
        assert!(failure.hints[0].starts_with("docker system df "), "{failure:?}");
    }
}
