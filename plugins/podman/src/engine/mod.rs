//! Podman, as the rest of the plug-in sees it. Nothing outside this folder talks to it.

mod address;
mod images;
mod service;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use claude_bottle_directory::{Home, inside};
use claude_bottle_engine::{Answer, Ask, Body, EngineError, encoded, follow, read_all, unless_cancelled};
use claude_bottle_kit::LOCALE;
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

pub(crate) use address::Address;
pub(crate) use images::Build;

use crate::error::PodmanError;

/// The first version whose API has everything used here; a newer Podman goes on speaking it.
/// <https://docs.podman.io/en/latest/_static/api.html>
const ROOT: &str = "/v4.0.0/libpod";

/// How long Podman may refuse to remove a container.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two attempts.
const LOOK: Duration = Duration::from_millis(100);

/// Podman at an address.
pub(crate) struct Podman {
    address: Address,
    runtime: Runtime,
}

/// What Podman reports about itself and its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) arch: String,
    /// Whether it is an ordinary user's.
    pub(crate) rootless: bool,
    pub(crate) call_filter: bool,
    pub(crate) runtime: String,
    pub(crate) cpus: u64,
    /// What control groups limit.
    pub(crate) controllers: Vec<String>,
}

/// What is known of an image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) variables: Vec<String>,
}

/// What is known of a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// What is known of a container's own process.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Process {
    pub(crate) running: bool,
    pub(crate) pid: u32,
    pub(crate) exit_code: i32,
    pub(crate) error: String,
    pub(crate) cgroup_path: String,
}

impl Image {
    /// Returns the variables of every program: the image's own, and those of its user.
    pub(crate) fn basis(&self, home: &Home) -> Vec<(String, String)> {
        let own = self.variables.iter().filter_map(|variable| variable.split_once('='));
        let usual = [("PATH", inside::SEARCH), LOCALE];
        let user = [("HOME", home.path.as_str()), ("LOGNAME", inside::USER), ("USER", inside::USER)];
        let all = usual.into_iter().chain(own).chain(user);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl Process {
    /// Returns the control groups, of either version, that count what the kernel kills for lack of memory. A container without
    /// a group of its own is in that of the process which asked for it.
    pub(crate) fn memory_groups(&self, container: &str) -> Vec<PathBuf> {
        let path = self.cgroup_path.trim_start_matches('/');
        if !path.contains(container) {
            return Vec::new();
        }
        let groups = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(|root| Path::new(root).join(path));
        groups.into_iter().filter(|group| group.is_dir()).collect()
    }
}

impl Podman {
    /// Makes a client, and sends nothing yet.
    pub(crate) fn new(address: Address) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("podman")
            .enable_all()
            .build()
            .failure(FailureKind::Internal, || "cannot start the backend's threads")?;
        Ok(Self { address, runtime })
    }

    /// Asks Podman about itself and its machine.
    pub(crate) fn facts(&self) -> Result<Facts, PodmanError> {
        let said = self.get("/info")?;
        let (host, security) = (&said["host"], &said["host"]["security"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let controllers = host["cgroupControllers"].as_array().into_iter().flatten();
        Ok(Facts {
            version: text(&said["version"]["Version"]),
            arch: text(&host["arch"]),
            rootless: security["rootless"].as_bool().ok_or(PodmanError::ReadAnswer { what: "itself" })?,
            call_filter: security["seccompEnabled"] == true,
            runtime: text(&host["ociRuntime"]["name"]),
            cpus: host["cpus"].as_u64().unwrap_or(0),
            controllers: controllers.map(text).collect(),
        })
    }

    /// Makes a container, and returns its id and what Podman warns of.
    pub(crate) fn create(&self, document: &Value) -> Result<(String, Vec<String>), PodmanError> {
        let made = self.document(Ask::post("/containers/create", Body::Json(document)))?;
        let id = made["Id"].as_str().ok_or(PodmanError::ReadAnswer { what: "a container" })?;
        let warnings = made["Warnings"].as_array().into_iter().flatten();
        Ok((id.to_owned(), warnings.filter_map(|text| text.as_str().map(str::to_owned)).collect()))
    }

    /// Starts a container.
    pub(crate) fn start(&self, id: &str) -> Result<(), PodmanError> {
        self.ask(Ask::post(&format!("/containers/{id}/start"), Body::Nothing)).map(drop)
    }

    /// Looks at a container's own process.
    pub(crate) fn process(&self, id: &str) -> Result<Process, PodmanError> {
        let found = self.get(&format!("/containers/{id}/json"))?;
        serde_json::from_value(found["State"].clone())
            .map_err(|_| PodmanError::ReadAnswer { what: "a container" })
    }

    /// Ends every process of a container and removes it; one that is gone is fine.
    ///
    /// Podman refuses now and then to remove a container that ends by itself at the same time, and takes it a moment later.
    pub(crate) fn remove(&self, id: &str) -> Result<(), PodmanError> {
        let path = format!("/containers/{id}?force=true&v=true&timeout=0");
        let begun = Instant::now();
        loop {
            match self.ask(Ask::delete(&path)) {
                Err(error) if error.is_not_found() => return Ok(()),
                Err(PodmanError::Ask {
                    source: EngineError::Refused { .. } | EngineError::Conflict { .. },
                }) if begun.elapsed() < PATIENCE => {
                    tracing::debug!(id, "Podman does not remove a container yet");
                    std::thread::sleep(LOOK);
                }
                other => return other.map(drop),
            }
        }
    }

    /// Lists the containers, running or not, that have a label `key` or `key=value`.
    pub(crate) fn labelled(&self, label: &str) -> Result<Vec<Container>, PodmanError> {
        let filters = serde_json::json!({ "label": [label] }).to_string();
        let found = self.get(&format!("/containers/json?all=true&filters={}", encoded(&filters)))?;
        let found = found.as_array().ok_or(PodmanError::ReadAnswer { what: "its containers" })?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let container = |found: &Value| Container {
            id: text(&found["Id"]),
            name: text(&found["Names"][0]),
            labels: serde_json::from_value(found["Labels"].clone()).unwrap_or_default(),
        };
        Ok(found.iter().map(container).collect())
    }

    fn get(&self, path: &str) -> Result<Value, PodmanError> {
        self.document(Ask::get(path))
    }

    fn document(&self, ask: Ask<'_>) -> Result<Value, PodmanError> {
        Ok(serde_json::from_slice(&self.ask(ask)?).map_err(EngineError::protocol)?)
    }

    fn ask(&self, ask: Ask<'_>) -> Result<Bytes, PodmanError> {
        self.runtime.block_on(async { Ok(read_all(self.send(ask).await?).await?) })
    }

    /// Sends a request, and returns the answer once it has begun.
    async fn send(&self, ask: Ask<'_>) -> Result<Answer, PodmanError> {
        let connecting = async {
            let stream = self.address.connect()?;
            let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
            Ok(stream.map_err(EngineError::io)?)
        };
        ask.send(ROOT, connecting).await
    }

    /// Sends a request whose progress is reported line by line. It is dropped when the call is cancelled.
    fn follow(&self, call: &Call, ask: Ask<'_>, line: &mut dyn FnMut(String)) -> Result<()> {
        call.check()?;
        let work = async {
            let answer = self.send(ask).await?;
            Ok(follow(answer, line).await.map_err(PodmanError::from)?)
        };
        self.runtime.block_on(unless_cancelled(call, work))
    }
}
