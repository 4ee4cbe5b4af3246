//! Podman, as the rest of the plug-in sees it. Nothing outside this folder talks to it.

mod address;
mod client;
mod images;
mod service;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use claude_bottle_directory::{Home, inside};
use claude_bottle_kit::LOCALE;
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, Result};
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Runtime;

pub(crate) use address::Address;
use client::{Ask, Body, send, whole};
pub(crate) use images::Build;

use crate::error::PodmanError;

/// How long Podman may refuse to remove a container.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether a build or a pull is to end, or a container is gone.
const LOOK: Duration = Duration::from_millis(100);

/// Podman at an address.
pub(crate) struct Podman {
    address: Address,
    runtime: Runtime,
}

/// What Podman says of itself and its machine.
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
    /// Returns where the kernel counts what it kills for want of memory, in either kind of control groups. A container without
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
    /// Names Podman, and asks nothing.
    pub(crate) fn new(address: Address) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("podman")
            .enable_all()
            .build()
            .failure(FailureKind::Internal, || "cannot start the backend's threads")?;
        Ok(Self { address, runtime })
    }

    /// Asks what it is.
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
        let made = self.document(Method::POST, "/containers/create", Body::Document(document))?;
        let id = made["Id"].as_str().ok_or(PodmanError::ReadAnswer { what: "a container" })?;
        let warnings = made["Warnings"].as_array().into_iter().flatten();
        Ok((id.to_owned(), warnings.filter_map(|text| text.as_str().map(str::to_owned)).collect()))
    }

    /// Starts a container.
    pub(crate) fn start(&self, id: &str) -> Result<(), PodmanError> {
        self.ask(Method::POST, &format!("/containers/{id}/start"), Body::Nothing).map(drop)
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
            match self.ask(Method::DELETE, &path, Body::Nothing) {
                Err(error @ PodmanError::Refused { .. })
                    if !error.is_not_found() && begun.elapsed() < PATIENCE =>
                {
                    tracing::debug!(%error, id, "a container is not removed yet");
                    std::thread::sleep(LOOK);
                }
                Err(error) if !error.is_not_found() => return Err(error),
                _ => return Ok(()),
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
        self.document(Method::GET, path, Body::Nothing)
    }

    fn document(&self, method: Method, path: &str, body: Body<'_>) -> Result<Value, PodmanError> {
        serde_json::from_slice(&self.ask(method, path, body)?).map_err(PodmanError::talk)
    }

    fn ask(&self, method: Method, path: &str, body: Body<'_>) -> Result<bytes::Bytes, PodmanError> {
        let ask = Ask { method, path, body };
        self.runtime.block_on(async { whole(send(&self.address, ask).await?).await })
    }

    /// Does work that may be dropped half-way, unless the call ends before.
    fn unless_cancelled<T>(
        &self,
        call: &Call,
        work: impl Future<Output = Result<T, PodmanError>>,
    ) -> Result<T> {
        call.check()?;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                done = work => Ok(done?),
                () = cancelled(call) => Err(Failure::cancelled()),
            }
        })
    }
}

/// Waits until the call is cancelled.
async fn cancelled(call: &Call) {
    while !call.cancelled() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Writes text for a query: <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn a_query_has_nothing_of_its_own_in_it() {
        assert_eq!(encoded(r#"{"label":["a=b c"]}"#), "%7B%22label%22%3A%5B%22a%3Db%20c%22%5D%7D");
    }
}
