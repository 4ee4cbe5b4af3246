//! A recording double: keeps what was made in memory, notes every call in order, and fails where a test asks for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use bollard::models::{ContainerCreateBody, NetworkCreateRequest};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Abandoned, Address, Attached, Body, Build, Container, Engine, EngineError, EngineFacts, EngineLimits,
    ExecSpec, ExecState, Found, Kind, Network, OutputStream, Result, Server,
};

/// The address of every container of the double.
const ADDRESS: &str = "172.30.0.2";

/// Something that exists: its kind, name and labels.
type Thing = (Kind, String, BTreeMap<String, String>);

/// An engine without containers.
#[derive(Default)]
pub(crate) struct Recording {
    /// Calls, in order: `verb name`.
    pub(crate) calls: Mutex<Vec<String>>,
    /// What exists, by id: its kind, name and labels.
    pub(crate) things: Mutex<BTreeMap<String, Thing>>,
    /// The networks, by id.
    pub(crate) networks: Mutex<BTreeMap<String, Network>>,
    /// Which containers were connected to which networks after they were made, by id.
    pub(crate) connected: Mutex<Vec<(String, String)>>,
    /// What was written to containers' own processes, by id.
    pub(crate) inputs: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// The containers' descriptions, by name.
    pub(crate) bodies: Mutex<BTreeMap<String, ContainerCreateBody>>,
    /// Calls that fail, and things the engine has not or that end: `seccomp`, `memory`, `pids`, `internal`, `astray`,
    /// `api` for one that is new enough, `ended` for a container's own process, `exited` for one that is run in it.
    pub(crate) fail: BTreeSet<String>,
    /// Containers whose image is removed just before they are made.
    pub(crate) gone: Mutex<BTreeSet<String>>,
    /// Where it is.
    pub(crate) address: Option<Address>,
    /// Its identifier.
    pub(crate) id: String,
    /// Whether it reports that it is Podman.
    pub(crate) podman: bool,
    /// The output of a container.
    pub(crate) output: Mutex<Vec<u8>>,
    /// What a container that is followed says, piece by piece.
    pub(crate) followed: Mutex<Vec<Vec<u8>>>,
    /// Held by everybody who follows a container.
    pub(crate) following: Arc<()>,
    /// A request of a dead process for each look at those, and what the engine has made of it by then, by id.
    pub(crate) abandoned: Mutex<VecDeque<(u32, BTreeMap<String, Thing>)>>,
    /// Archives that were unpacked, by container and path.
    pub(crate) archives: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Recording {
    fn call(&self, call: impl Into<String>) -> Result<()> {
        let call = call.into();
        self.calls.lock().unwrap().push(call.clone());
        let refused = || EngineError::Refused { status: 500, message: format!("refused: {call}") };
        if self.fail.contains(&call) { Err(refused()) } else { Ok(()) }
    }

    fn make(
        &self,
        kind: Kind,
        name: &str,
        labels: impl IntoIterator<Item = (String, String)>,
    ) -> Result<String> {
        let mut things = self.things.lock().unwrap();
        if things.values().any(|(other, taken, _)| (*other, taken.as_str()) == (kind, name)) {
            return Err(EngineError::Conflict { message: format!("`{name}` is taken") });
        }
        let id = format!("id-{name}");
        things.insert(id.clone(), (kind, name.to_owned(), labels.into_iter().collect()));
        Ok(id)
    }

    /// Returns the names of what exists.
    pub(crate) fn names(&self) -> Vec<String> {
        self.things.lock().unwrap().values().map(|(_, name, _)| name.clone()).collect()
    }
}

impl Engine for Recording {
    fn address(&self) -> &Address {
        static USUAL: LazyLock<Address> = LazyLock::new(super::address::usual);
        self.address.as_ref().unwrap_or(&USUAL)
    }

    async fn facts(&self) -> Result<EngineFacts> {
        self.call("facts".to_owned())?;
        let has = |what: &str| !self.fail.contains(what);
        let limits = EngineLimits { memory: has("memory"), swap: true, cpu: true, pids: has("pids") };
        let security =
            if has("seccomp") { vec!["name=seccomp,profile=default".to_owned()] } else { Vec::new() };
        let api = (1, if has("api") { 41 } else { 40 });
        let id = self.id.clone();
        let facts = EngineFacts { api, id, arch: "x86_64".to_owned(), cpus: 2, ..EngineFacts::default() };
        Ok(EngineFacts { version: "5.4.2".to_owned(), podman: self.podman, limits, security, ..facts })
    }

    async fn server(&self) -> Option<Server> {
        None
    }

    async fn create_network(&self, request: NetworkCreateRequest) -> Result<String> {
        self.call(format!("create-network {}", request.name))?;
        let made = self.make(Kind::Network, &request.name, request.labels.unwrap_or_default())?;
        let network = Network {
            internal: request.internal == Some(true) && !self.fail.contains("internal"),
            subnets: vec!["172.30.0.0/16".to_owned()],
            options: request.options.unwrap_or_default().into_iter().collect(),
            ..Network::default()
        };
        self.networks.lock().unwrap().insert(made.clone(), network);
        Ok(made)
    }

    async fn inspect_network(&self, network: &str) -> Result<Network> {
        self.call(format!("inspect-network {network}"))?;
        Ok(self.networks.lock().unwrap()[network].clone())
    }

    async fn connect(&self, network: &str, container: &str) -> Result<()> {
        self.connected.lock().unwrap().push((container.to_owned(), network.to_owned()));
        self.call(format!("connect {network} {container}"))
    }

    async fn image(&self, reference: &str) -> Result<Option<(String, BTreeMap<String, String>)>> {
        self.call(format!("image {reference}"))?;
        Ok(Some(("sha256:1".to_owned(), BTreeMap::new())))
    }

    async fn image_user(&self, reference: &str) -> Result<String> {
        self.call(format!("image-user {reference}")).map(|()| "dev".to_owned())
    }

    async fn load_image(&self, _tar: Bytes) -> Result<()> {
        self.call("load-image".to_owned())
    }

    async fn build_image(&self, build: &Build, _context: Bytes, line: &mut dyn FnMut(String)) -> Result<()> {
        line("Step 1/9 : ARG BASE_IMAGE".to_owned());
        self.call(format!("build-image {}", build.tag))
    }

    async fn pull_image(&self, reference: &str, _line: &mut dyn FnMut(String)) -> Result<()> {
        self.call(format!("pull-image {reference}"))
    }

    async fn create_container(&self, name: &str, body: ContainerCreateBody) -> Result<String> {
        self.call(format!("create-container {name}"))?;
        if self.gone.lock().unwrap().remove(name) {
            return Err(EngineError::NotFound { message: "no such image".to_owned() });
        }
        let id = self.make(Kind::Container, name, body.labels.clone().unwrap_or_default())?;
        let mounts = body.host_config.clone().and_then(|host| host.mounts).unwrap_or_default();
        for (volume, mount) in mounts.into_iter().filter_map(|mount| Some((mount.source.clone()?, mount))) {
            let labels = mount.volume_options.and_then(|options| options.labels).unwrap_or_default();
            let thing = (Kind::Volume, volume.clone(), labels.into_iter().collect());
            self.things.lock().unwrap().insert(volume, thing);
        }
        self.bodies.lock().unwrap().insert(name.to_owned(), body);
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        self.call(format!("start-container {id}"))
    }

    async fn kill_container(&self, id: &str) -> Result<()> {
        self.call(format!("kill-container {id}"))
    }

    async fn stop_container(&self, id: &str, _grace: Duration) -> Result<()> {
        self.call(format!("stop-container {id}"))
    }

    async fn inspect_container(&self, id: &str) -> Result<Container> {
        self.call(format!("inspect-container {id}"))?;
        let things = self.things.lock().unwrap();
        let Some((_, name, _)) = things.get(id) else {
            return Err(EngineError::NotFound { message: format!("no container `{id}`") });
        };
        let host = self
            .bodies
            .lock()
            .unwrap()
            .get(name)
            .and_then(|body| body.host_config.clone())
            .unwrap_or_default();
        let own = host.network_mode.filter(|mode| mode != "none").map(|name| format!("id-{name}"));
        let connected = self.connected.lock().unwrap().clone();
        let later =
            connected.into_iter().filter(|(container, _)| container == id).map(|(_, network)| network);
        let mut networks: Vec<_> = own.into_iter().chain(later).collect();
        networks.extend(self.fail.contains("astray").then(|| "id-bridge".to_owned()));
        let addresses = networks.into_iter().map(|id| (id, ADDRESS.to_owned())).collect();
        let running = !self.calls.lock().unwrap().contains(&format!("kill-container {id}"));
        let mounts = host.mounts.into_iter().flatten();
        let volumes = mounts.filter_map(|mount| mount.source.zip(mount.target)).collect();
        Ok(Container { id: id.to_owned(), running, addresses, volumes, ..Container::default() })
    }

    async fn put_archive(&self, container: &str, path: &str, mut tar: Body) -> Result<()> {
        let mut bytes = Vec::new();
        while let Some(chunk) = tar.next().await {
            bytes.extend_from_slice(&chunk.map_err(|source| EngineError::Io { source })?);
        }
        self.archives.lock().unwrap().insert(format!("{container}:{path}"), bytes);
        self.call(format!("put-archive {container} {path}"))
    }

    async fn archive(&self, container: &str, path: &str) -> Result<OutputStream> {
        self.call(format!("archive {container} {path}"))?;
        let archives = self.archives.lock().unwrap();
        let Some(archive) = archives.get(&format!("{container}:{path}")).cloned() else {
            return Err(EngineError::NotFound { message: format!("no `{path}`") });
        };
        let pieces: Vec<_> = archive.chunks(700).map(|piece| Ok(piece.to_vec().into())).collect();
        Ok(Box::pin(futures_util::stream::iter(pieces)))
    }

    async fn file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>> {
        self.call(format!("file {container} {path}"))?;
        Ok(Some(b"root:x:0:0::/root:/bin/sh\ndev:x:1001:1001::/home/dev:/bin/sh\n".to_vec()))
    }

    async fn logs(&self, container: &str, _tail: Option<u32>) -> Result<(Vec<u8>, Vec<u8>)> {
        self.call(format!("logs {container}"))?;
        Ok((self.output.lock().unwrap().clone(), b"guard: trouble\n".to_vec()))
    }

    async fn follow_output(&self, container: &str) -> Result<OutputStream> {
        self.call(format!("follow {container}"))?;
        let frames = self.followed.lock().unwrap().clone();
        let frames = futures_util::stream::iter(frames).map(|frame| Ok(frame.into()));
        let following = Arc::clone(&self.following);
        // Goes on after the last one, as with a container that runs.
        Ok(Box::pin(frames.chain(futures_util::stream::once(async move {
            let _following = following;
            std::future::pending().await
        }))))
    }

    async fn out_of_memory_since(&self, container: &str, _since: SystemTime) -> Result<bool> {
        self.call(format!("out-of-memory {container}")).map(|()| false)
    }

    async fn attach(&self, container: &str, stdin: bool) -> Result<Attached> {
        self.call(format!("attach {container}{}", if stdin { " stdin" } else { "" }))?;
        let said = match self.fail.contains("ended") {
            true => &[(2, "guard: trouble\n")][..],
            false => &[(2, "{\"event\":\"listening\"}\n"), (1, "{\"event\":\"startup\"}\nready\n")],
        };
        let mut frames = Vec::new();
        for (stream, text) in said {
            frames.extend([*stream, 0, 0, 0, 0, 0, 0, text.len() as u8]);
            frames.extend_from_slice(text.as_bytes());
        }
        let (input, mut written) = tokio::io::duplex(64 * 1024);
        let (mut talk, output) = tokio::io::duplex(64 * 1024);
        let (inputs, id) = (Arc::clone(&self.inputs), container.to_owned());
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            // A guard takes its configuration and its secrets, and its input stays open behind them.
            let is_whole = |bytes: &[u8]| bytes.windows(5).filter(|part| part == b"\n...\n").count() == 2;
            while stdin && !is_whole(&bytes) && written.read_buf(&mut bytes).await.unwrap() > 0 {}
            inputs.lock().unwrap().insert(id, bytes);
            // A launch that failed has let go of it.
            talk.write_all(&frames).await.unwrap_or_default();
        });
        Ok(Attached { id: container.to_owned(), output: Box::new(output), input: Box::new(input) })
    }

    async fn create_exec(&self, container: &str, spec: &ExecSpec) -> Result<String> {
        self.call(format!("exec {container} {}", spec.user))?;
        Ok("exec".to_owned())
    }

    async fn start_exec(&self, exec: &str, _tty: bool) -> Result<Attached> {
        Ok(Attached {
            id: exec.to_owned(),
            output: Box::new(tokio::io::empty()),
            input: Box::new(tokio::io::sink()),
        })
    }

    async fn exec_state(&self, _exec: &str) -> Result<ExecState> {
        Ok(ExecState::Exited(i32::from(self.fail.contains("exited"))))
    }

    async fn resize_exec(&self, exec: &str, columns: u16, rows: u16) -> Result<()> {
        self.call(format!("resize {exec} {columns} {rows}"))
    }

    fn abandoned(&self) -> Abandoned {
        let mut looks = self.abandoned.lock().unwrap();
        let Some((request, made)) = looks.pop_front() else { return Abandoned::default() };
        self.things.lock().unwrap().extend(made);
        Abandoned { waiting: false, taken: [request].into() }
    }

    async fn list(&self, kind: Kind, labels: &[String]) -> Result<Vec<Found>> {
        self.call(format!("list {}", kind.noun()))?;
        let has = |have: &BTreeMap<String, String>| {
            labels.iter().all(|label| match label.split_once('=') {
                Some((key, value)) => have.get(key).is_some_and(|found| found == value),
                None => have.contains_key(label),
            })
        };
        let things = self.things.lock().unwrap();
        let found = things.iter().filter(|(_, (of, _, have))| *of == kind && has(have));
        let entry = |(id, (_, name, labels)): (&String, &Thing)| Found {
            id: id.clone(),
            name: name.clone(),
            labels: labels.clone(),
            state: "running".to_owned(),
            created_unix: 1,
        };
        Ok(found.map(entry).collect())
    }

    async fn has_container(&self, image: &str) -> Result<bool> {
        self.call(format!("has-container {image}"))?;
        Ok(self.bodies.lock().unwrap().values().any(|body| body.image.as_deref() == Some(image)))
    }

    async fn remove(&self, kind: Kind, id: &str) -> Result<()> {
        self.call(format!("remove {} {id}", kind.noun()))?;
        self.things.lock().unwrap().remove(id);
        Ok(())
    }
}
