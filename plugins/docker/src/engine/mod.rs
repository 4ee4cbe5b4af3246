//! The engine, as the rest of the plug-in sees it: a small trait, so that its order of calls can be tested.
//!
//! How an engine is reached is `plugins/engine`'s. Invariant: nothing outside this folder talks to an engine. Documents of the engine's API
//! (bodies of requests) are bollard's data types; its client is known to the modules of this folder alone.

mod address;
mod api;
mod client;
mod clock;
mod context;
mod error;
mod listing;
mod locality;
#[cfg(test)]
pub(crate) mod recording;
mod run;
mod wire;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bollard::models::{ContainerCreateBody, NetworkCreateRequest};
use bytes::Bytes;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use address::{AddressError, find};
pub(crate) use claude_bottle_engine::{Abandoned, Address, EngineError};
pub(crate) use client::DockerApi;
pub(crate) use clock::Ahead;
pub(crate) use error::{disk_full_hint, hint, unless_ambiguous};
pub(crate) use locality::{Server, distance};
pub(crate) use run::{ExecSpec, Frames, Output, Run, container_exit_code, exit_code, run};

type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Bytes on their way to the engine; an error ends the request.
pub(crate) type Body = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// The output of a container as it comes, or an archive of its files.
pub(crate) type OutputStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// What an engine reports about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EngineFacts {
    pub(crate) version: String,
    /// Identifies it, independent of the address it is reached at.
    pub(crate) id: String,
    /// Whether it is Podman, which answers a part of Docker's API.
    pub(crate) podman: bool,
    /// The API version spoken with it, as major and minor.
    pub(crate) api: (usize, usize),
    pub(crate) arch: String,
    /// How far its machine's clock is from this one's.
    pub(crate) ahead: Ahead,
    /// The name of its machine, and that machine's kernel.
    pub(crate) name: String,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) cpus: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) runtimes: Vec<String>,
    pub(crate) security: Vec<String>,
    pub(crate) cgroup: String,
    /// Which limits it can enforce.
    pub(crate) limits: EngineLimits,
}

/// Which limits an engine can enforce.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EngineLimits {
    pub(crate) memory: bool,
    pub(crate) swap: bool,
    pub(crate) cpu: bool,
    pub(crate) pids: bool,
}

/// A container or network found by a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The engine's word for a container's state; empty for others.
    pub(crate) state: String,
    /// When it was made, in seconds since 1970-01-01 UTC.
    pub(crate) created_unix: u64,
}

/// What is known of a container that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) running: bool,
    /// The number of its own process, as the engine sees it; 0 when it does not run.
    pub(crate) pid: u32,
    pub(crate) exit_code: i64,
    pub(crate) oom_killed: bool,
    /// Its address in each network, by the network's id.
    pub(crate) addresses: BTreeMap<String, String>,
    /// Where it has its volumes, by their names.
    pub(crate) volumes: BTreeMap<String, String>,
    /// The runtime's own complaint when it did not start.
    pub(crate) error: String,
}

/// What is known of a network that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// Whether the engine gives it no way out.
    pub(crate) internal: bool,
    pub(crate) ipv6: bool,
    /// Its ranges, as `address/bits`.
    pub(crate) subnets: Vec<String>,
    /// The addresses a bridge would have in them.
    pub(crate) gateways: Vec<String>,
    /// The driver's options.
    pub(crate) options: BTreeMap<String, String>,
}

/// How an image is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) tag: String,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) pull: bool,
    pub(crate) no_cache: bool,
}

/// The streams of a program that was started in a container.
pub(crate) struct Attached {
    /// The engine's name for this execution, or for the container.
    pub(crate) id: String,
    pub(crate) output: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) input: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Whether a program that was started in a container still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExecState {
    Running,
    Exited(i32),
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Container,
    Network,
    Volume,
    Image,
}

impl Kind {
    /// Returns its name for people.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Image => "image",
        }
    }
}

/// An engine that speaks Docker's API.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Returns where it is.
    fn address(&self) -> &Address;
    async fn facts(&self) -> Result<EngineFacts>;
    /// Returns what can be seen of the process that serves the engine's address; `None` when it is not one of this machine.
    async fn server(&self) -> Option<Server>;

    async fn create_network(&self, request: NetworkCreateRequest) -> Result<String>;
    async fn inspect_network(&self, network: &str) -> Result<Network>;
    async fn connect(&self, network: &str, container: &str) -> Result<()>;

    /// Returns the image's id and labels, or `None` when there is none of this name.
    async fn image(&self, reference: &str) -> Result<Option<(String, BTreeMap<String, String>)>>;
    /// Returns the user that an image says; empty when it says none.
    async fn image_user(&self, reference: &str) -> Result<String>;
    async fn load_image(&self, tar: Bytes) -> Result<()>;
    async fn build_image(&self, build: &Build, context: Bytes, line: &mut dyn FnMut(String)) -> Result<()>;
    async fn pull_image(&self, reference: &str, line: &mut dyn FnMut(String)) -> Result<()>;

    async fn create_container(&self, name: &str, body: ContainerCreateBody) -> Result<String>;
    async fn start_container(&self, id: &str) -> Result<()>;
    /// Ends all processes of a container at once; one that does not run or exist is not an error.
    async fn kill_container(&self, id: &str) -> Result<()>;
    /// Asks a container's own process to end, ends it after `grace`, and waits; one that does not run is not an error.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()>;
    async fn inspect_container(&self, id: &str) -> Result<Container>;
    async fn put_archive(&self, container: &str, path: &str, tar: Body) -> Result<()>;
    /// Returns an archive of a path in a container, which need not run; a link is not followed when it is the last part.
    async fn archive(&self, container: &str, path: &str) -> Result<OutputStream>;
    /// Returns the content of a regular file in a container, which need not run; `None` when there is none.
    async fn file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>>;
    /// Returns what the container has written, each stream in order: standard output, standard error.
    async fn logs(&self, container: &str, tail: Option<u32>) -> Result<(Vec<u8>, Vec<u8>)>;
    /// Returns a container's standard output from its beginning and on, until the container ends.
    async fn follow_output(&self, container: &str) -> Result<OutputStream>;
    /// Returns `true` if the kernel killed a process of the container for lack of memory since a time.
    async fn out_of_memory_since(&self, container: &str, since: SystemTime) -> Result<bool>;

    /// Takes the streams of a container's own process, best before it starts; standard input when it has one open.
    async fn attach(&self, container: &str, stdin: bool) -> Result<Attached>;
    /// Describes a program that is to run in a container; returns the engine's name for it.
    async fn create_exec(&self, container: &str, spec: &ExecSpec) -> Result<String>;
    /// Starts what [`Self::create_exec`] described, and takes its streams.
    async fn start_exec(&self, exec: &str, tty: bool) -> Result<Attached>;
    async fn exec_state(&self, exec: &str) -> Result<ExecState>;
    async fn resize_exec(&self, exec: &str, columns: u16, rows: u16) -> Result<()>;

    /// Returns the requests that the engine still works on although their process is gone, as far as that can be seen.
    fn abandoned(&self) -> Abandoned;
    /// Lists what carries all of these labels, `key` or `key=value`, running or not.
    async fn list(&self, kind: Kind, labels: &[String]) -> Result<Vec<Found>>;
    /// Returns `true` if there is a container, running or not, that was made from an image.
    async fn has_container(&self, image: &str) -> Result<bool>;
    /// Removes by force, but an image only when no container was made from it; a container's anonymous volumes go with it. What is already gone is not an error.
    async fn remove(&self, kind: Kind, id: &str) -> Result<()>;
}

/// Makes a body of bytes that are all there.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    let bytes = bytes.into();
    Box::pin(futures_util::stream::once(async move { Ok(bytes) }))
}
