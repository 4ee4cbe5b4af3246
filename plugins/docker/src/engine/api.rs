//! The engine over its API: bollard for nearly everything, [`super::wire`] for the rest.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::errors::Error;
use bollard::models::{BuildInfo, ContainerCreateBody, NetworkConnectRequest, NetworkCreateRequest};
use bollard::query_parameters as query;
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use super::{
    Address, Attached, Body, Build, Container, Engine, EngineError, EngineFacts, EngineLimits, ExecSpec,
    ExecState, Found, Kind, Network, Result, Said, wire,
};

/// How long the engine may take to answer; an answer that is a stream may then take longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// How often, and how long each time, the engine is asked whether a container that somebody else removes is gone.
const REMOVAL: (u32, Duration) = (400, Duration::from_millis(25));
/// How long taking in an archive may last: a large working directory over a slow link.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(3600);

/// An engine at an address. It is reached on first use.
pub(crate) struct DockerApi {
    address: Address,
    client: OnceCell<Docker>,
    facts: OnceCell<EngineFacts>,
}

impl DockerApi {
    /// Names the engine, and does not reach for it.
    pub(crate) fn new(address: Address) -> Self {
        Self { address, client: OnceCell::new(), facts: OnceCell::new() }
    }

    /// Returns a client that speaks the newest version both sides know.
    async fn client(&self) -> Result<&Docker> {
        self.client
            .get_or_try_init(|| async {
                let seconds = DEADLINE.as_secs();
                let client = match &self.address {
                    Address::Unix(path) => {
                        let path = path.to_string_lossy();
                        Docker::connect_with_unix(&path, seconds, API_DEFAULT_VERSION)
                    }
                    Address::Tcp(authority) => {
                        Docker::connect_with_http(authority, seconds, API_DEFAULT_VERSION)
                    }
                };
                let client = client.map_err(|error| self.connect_error(error))?;
                client.negotiate_version().await.map_err(|error| self.connect_error(error))
            })
            .await
    }

    fn connect_error(&self, error: Error) -> EngineError {
        let address = self.address.to_string();
        let mut chain = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let denied = chain.any(|error| {
            let io = error.downcast_ref::<std::io::Error>();
            io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied)
        });
        match understand(error) {
            EngineError::Protocol { .. } if denied => EngineError::Denied { address },
            EngineError::Gone { reason } => EngineError::Unreachable { address, source: reason.into() },
            EngineError::Protocol { source } => EngineError::Unreachable { address, source },
            EngineError::Io { source } => EngineError::Unreachable { address, source: source.into() },
            other => other,
        }
    }

    async fn api(&self) -> Result<(usize, usize)> {
        let version = self.client().await?.client_version();
        Ok((version.major_version, version.minor_version))
    }

    async fn ask_facts(&self) -> Result<EngineFacts> {
        let info = self.client().await?.info().await.map_err(understand)?;
        let mut runtimes: Vec<_> = info.runtimes.unwrap_or_default().into_keys().collect();
        runtimes.sort();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        Ok(EngineFacts {
            version: info.server_version.unwrap_or_default(),
            api: self.api().await?,
            arch: info.architecture.unwrap_or_default(),
            system: info.operating_system.unwrap_or_default(),
            cpus: number(info.ncpu),
            memory_bytes: number(info.mem_total),
            runtimes,
            security: info.security_options.unwrap_or_default(),
            cgroup: info.cgroup_version.map(|version| version.to_string()).unwrap_or_default(),
            limits: EngineLimits {
                memory: info.memory_limit == Some(true),
                swap: info.swap_limit == Some(true),
                cpu: info.cpu_cfs_quota == Some(true),
                pids: info.pids_limit == Some(true),
            },
        })
    }
}

impl Engine for DockerApi {
    async fn facts(&self) -> Result<EngineFacts> {
        self.facts.get_or_try_init(|| self.ask_facts()).await.cloned()
    }

    async fn create_network(&self, request: NetworkCreateRequest) -> Result<String> {
        let api = self.api().await?;
        wire::create_network(&self.address, api, &request).await
    }

    async fn inspect_network(&self, network: &str) -> Result<Network> {
        let options = None::<query::InspectNetworkOptions>;
        let found = self.client().await?.inspect_network(network, options).await.map_err(understand)?;
        let configs = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        Ok(Network {
            internal: found.internal == Some(true),
            ipv6: found.enable_ipv6 == Some(true),
            gateways: configs.iter().filter_map(|config| config.gateway.clone()).collect(),
            subnets: configs.into_iter().filter_map(|config| config.subnet).collect(),
            options: found.options.unwrap_or_default().into_iter().collect(),
        })
    }

    async fn connect(&self, network: &str, container: &str) -> Result<()> {
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        self.client().await?.connect_network(network, request).await.map_err(understand)
    }

    async fn image(&self, reference: &str) -> Result<Option<(String, BTreeMap<String, String>)>> {
        match self.client().await?.inspect_image(reference).await.map_err(understand) {
            Ok(image) => {
                let labels = image.config.and_then(|config| config.labels).unwrap_or_default();
                Ok(Some((image.id.unwrap_or_default(), labels.into_iter().collect())))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn load_image(&self, tar: Body) -> Result<()> {
        let options = query::ImportImageOptionsBuilder::default().quiet(true).build();
        let body = bollard::body_try_stream(tar);
        follow(self.client().await?.import_image(options, body, None), &mut |_| {}).await
    }

    async fn build_image(&self, build: &Build, context: Body, line: &mut dyn FnMut(String)) -> Result<()> {
        let options = query::BuildImageOptionsBuilder::default()
            .t(&build.tag)
            .rm(true)
            .forcerm(true)
            .nocache(build.no_cache)
            .pull(if build.pull { "1" } else { "" })
            .buildargs(&hash(&build.args))
            .labels(&hash(&build.labels))
            .build();
        let body = bollard::body_try_stream(context);
        follow(self.client().await?.build_image(options, None, Some(body)), line).await
    }

    async fn pull_image(&self, reference: &str, line: &mut dyn FnMut(String)) -> Result<()> {
        let options = query::CreateImageOptionsBuilder::default().from_image(reference).build();
        let mut stream = self.client().await?.create_image(Some(options), None, None);
        while let Some(info) = stream.try_next().await.map_err(understand)? {
            if let Some(error) = info.error_detail.and_then(|detail| detail.message) {
                return Err(EngineError::Failed { message: error });
            }
            line(info.status.unwrap_or_default());
        }
        Ok(())
    }

    async fn create_container(&self, name: &str, body: ContainerCreateBody) -> Result<String> {
        let options = query::CreateContainerOptionsBuilder::default().name(name).build();
        let made = self.client().await?.create_container(Some(options), body).await.map_err(understand)?;
        Ok(made.id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let options = None::<query::StartContainerOptions>;
        self.client().await?.start_container(id, options).await.map_err(understand)
    }

    async fn kill_container(&self, id: &str) -> Result<()> {
        let options = None::<query::KillContainerOptions>;
        match self.client().await?.kill_container(id, options).await.map_err(understand) {
            // 409: it does not run.
            Err(EngineError::NotFound { .. } | EngineError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = query::StopContainerOptionsBuilder::default().t(seconds).build();
        match self.client().await?.stop_container(id, Some(options)).await {
            Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
            other => other.map_err(understand),
        }
    }

    async fn inspect_container(&self, id: &str) -> Result<Container> {
        let options = None::<query::InspectContainerOptions>;
        let found = self.client().await?.inspect_container(id, options).await.map_err(understand)?;
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let address = |(_, end): (String, bollard::models::EndpointSettings)| {
            Some((end.network_id?, end.ip_address.filter(|address| !address.is_empty())?))
        };
        let state = found.state.unwrap_or_default();
        Ok(Container {
            id: found.id.unwrap_or_default(),
            running: state.running == Some(true),
            exit_code: state.exit_code.unwrap_or(0),
            oom_killed: state.oom_killed == Some(true),
            addresses: networks.into_iter().filter_map(address).collect(),
            error: state.error.unwrap_or_default(),
        })
    }

    async fn put_archive(&self, container: &str, path: &str, tar: Body) -> Result<()> {
        let options = query::UploadToContainerOptionsBuilder::default().path(path).build();
        let client = self.client().await?.clone().with_timeout(UPLOAD_DEADLINE);
        let body = bollard::body_try_stream(tar);
        client.upload_to_container(container, Some(options), body).await.map_err(understand)
    }

    async fn logs(&self, container: &str, tail: Option<u32>) -> Result<(Vec<u8>, Vec<u8>)> {
        let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail).build();
        let mut stream = self.client().await?.logs(container, Some(options));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(chunk) = stream.try_next().await.map_err(understand)? {
            let kept = match chunk {
                bollard::container::LogOutput::StdErr { .. } => &mut stderr,
                _ => &mut stdout,
            };
            kept.extend_from_slice(&chunk.into_bytes());
        }
        Ok((stdout, stderr))
    }

    async fn follow_output(&self, container: &str) -> Result<Said> {
        let options = query::LogsOptionsBuilder::default().follow(true).stdout(true).tail("all").build();
        let stream = self.client().await?.logs(container, Some(options));
        Ok(Box::pin(stream.map_ok(bollard::container::LogOutput::into_bytes).map_err(understand)))
    }

    async fn out_of_memory_since(&self, container: &str, since: SystemTime) -> Result<bool> {
        let filters = HashMap::from([
            ("container".to_owned(), vec![container.to_owned()]),
            ("event".to_owned(), vec!["oom".to_owned()]),
        ]);
        let stamp = |time: SystemTime| {
            let age = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("{}.{:09}", age.as_secs(), age.subsec_nanos())
        };
        // With an end in the past the engine answers from what it remembers, and closes.
        let options = query::EventsOptionsBuilder::default()
            .since(&stamp(since))
            .until(&stamp(SystemTime::now()))
            .filters(&filters)
            .build();
        let mut events = self.client().await?.events(Some(options));
        Ok(events.try_next().await.map_err(understand)?.is_some())
    }

    async fn attach(&self, container: &str, stdin: bool) -> Result<Attached> {
        wire::attach(&self.address, self.api().await?, container, stdin).await
    }

    async fn create_exec(&self, container: &str, spec: &ExecSpec) -> Result<String> {
        let options = bollard::models::ExecConfig {
            attach_stdin: Some(spec.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(!spec.tty),
            tty: Some(spec.tty),
            // The usual sequence begins with ctrl-P, which would be held back until the next key; none cannot be said.
            detach_keys: spec.tty.then(|| "ctrl-^,ctrl-@,ctrl-^,ctrl-@".to_owned()),
            env: Some(spec.env.clone()),
            cmd: Some(spec.command.clone()),
            user: Some(spec.user.clone()),
            working_dir: spec.working_dir.clone(),
            ..Default::default()
        };
        let made = self.client().await?.create_exec(container, options).await.map_err(understand)?;
        Ok(made.id)
    }

    async fn start_exec(&self, exec: &str, tty: bool) -> Result<Attached> {
        wire::start(&self.address, self.api().await?, exec, tty).await
    }

    async fn exec_state(&self, exec: &str) -> Result<ExecState> {
        let found = self.client().await?.inspect_exec(exec).await.map_err(understand)?;
        Ok(match (found.running, found.exit_code) {
            (Some(false), Some(code)) => ExecState::Exited(i32::try_from(code).unwrap_or(i32::MAX)),
            _ => ExecState::Running,
        })
    }

    async fn resize_exec(&self, exec: &str, columns: u16, rows: u16) -> Result<()> {
        let size = bollard::exec::ResizeExecOptions { height: rows, width: columns };
        self.client().await?.resize_exec(exec, size).await.map_err(understand)
    }

    async fn list(&self, kind: Kind, labels: &[String]) -> Result<Vec<Found>> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        list(self.client().await?, kind, filters).await
    }

    async fn remove(&self, kind: Kind, id: &str) -> Result<()> {
        let client = self.client().await?;
        let removed = match kind {
            Kind::Container => {
                let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                client.remove_container(id, Some(options)).await
            }
            Kind::Network => client.remove_network(id).await,
            Kind::Volume => {
                let options = query::RemoveVolumeOptionsBuilder::default().force(true).build();
                client.remove_volume(id, Some(options)).await
            }
        };
        match removed.map_err(understand) {
            Err(error) if error.is_not_found() => Ok(()),
            Err(EngineError::Conflict { message }) if message.contains("already in progress") => {
                until_gone(client, id).await
            }
            other => other,
        }
    }
}

/// Waits for another removal of the same container, without which its networks cannot be removed.
async fn until_gone(client: &Docker, container: &str) -> Result<()> {
    for _ in 0..REMOVAL.0 {
        let options = None::<query::InspectContainerOptions>;
        match client.inspect_container(container, options).await.map_err(understand) {
            Ok(_) => tokio::time::sleep(REMOVAL.1).await,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err(EngineError::Timeout)
}

async fn list(client: &Docker, kind: Kind, filters: HashMap<String, Vec<String>>) -> Result<Vec<Found>> {
    let mut found: Vec<_> = match kind {
        Kind::Container => {
            let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            let list = client.list_containers(Some(options)).await.map_err(understand)?;
            list.into_iter().map(container).collect()
        }
        Kind::Network => {
            let options = query::ListNetworksOptionsBuilder::default().filters(&filters).build();
            let list = client.list_networks(Some(options)).await.map_err(understand)?;
            list.into_iter().map(network).collect()
        }
        Kind::Volume => {
            let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
            let list = client.list_volumes(Some(options)).await.map_err(understand)?;
            list.volumes.unwrap_or_default().into_iter().map(volume).collect()
        }
    };
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn container(summary: bollard::models::ContainerSummary) -> Found {
    let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    Found {
        id: summary.id.unwrap_or_default(),
        name: name.trim_start_matches('/').to_owned(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        state: summary.state.map(|state| state.to_string()).unwrap_or_default(),
        created_unix: summary.created.and_then(|created| u64::try_from(created).ok()).unwrap_or(0),
    }
}

fn network(network: bollard::models::Network) -> Found {
    Found {
        id: network.id.unwrap_or_default(),
        name: network.name.unwrap_or_default(),
        labels: network.labels.unwrap_or_default().into_iter().collect(),
        ..Found::default()
    }
}

fn volume(volume: bollard::models::Volume) -> Found {
    Found {
        id: volume.name.clone(),
        name: volume.name,
        labels: volume.labels.into_iter().collect(),
        ..Found::default()
    }
}

/// Follows a build or a load to its end.
/// Reads what a build or a pull tells, line by line; the engine hands a build's output on in pieces of its own making.
async fn follow(
    stream: impl Stream<Item = Result<BuildInfo, Error>>,
    line: &mut dyn FnMut(String),
) -> Result<()> {
    let mut stream = std::pin::pin!(stream);
    let mut begun = String::new();
    let mut failed = None;
    while let (Some(info), None) = (stream.next().await, &failed) {
        let info = info.map_err(understand)?;
        failed = info.error_detail.and_then(|detail| detail.message);
        begun.push_str(&info.stream.unwrap_or_default());
        if let Some(status) = info.status {
            begun.push_str(&status);
            begun.push('\n');
        }
        while let Some((whole, rest)) = begun.split_once('\n') {
            tell(whole, line);
            begun = rest.to_owned();
        }
    }
    tell(&begun, line);
    failed.map_or(Ok(()), |message| Err(EngineError::Failed { message }))
}

fn tell(text: &str, line: &mut dyn FnMut(String)) {
    let text = text.trim_end();
    if !text.is_empty() {
        line(text.to_owned());
    }
}

fn hash(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Says what bollard's error means.
fn understand(error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code, message } => refused(status_code, message),
        Error::DockerStreamError { error } => EngineError::Failed { message: error },
        Error::RequestTimeoutError => EngineError::Timeout,
        Error::IOError { err } => EngineError::io(err),
        other => EngineError::protocol(other),
    }
}

/// What an engine says of a name that two networks have.
pub(super) const AMBIGUOUS: &str = "is ambiguous";

/// Says what a status other than success means.
pub(super) fn refused(status: u16, message: String) -> EngineError {
    match status {
        404 => EngineError::NotFound { message },
        // Somebody else is removing the container.
        _ if message.contains("dead or marked for removal") => EngineError::NotFound { message },
        409 => EngineError::Conflict { message },
        // Engines before 25 answer 409 for a container's name and 403 or 500 for some others.
        _ if message.contains("already exists") || message.contains("already in use by") => {
            EngineError::Conflict { message }
        }
        // Engines before 25 check a network's name and then take it: two runs at once can both be told it is free.
        _ if message.contains(AMBIGUOUS) => EngineError::Conflict { message },
        _ => EngineError::Refused { status, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines_and_a_failure_comes_last() {
        let piece = |text: &str| BuildInfo { stream: Some(text.to_owned()), ..BuildInfo::default() };
        let detail = bollard::models::ErrorDetail { code: None, message: Some("broken".to_owned()) };
        let error = BuildInfo { error_detail: Some(detail), ..BuildInfo::default() };
        let status = BuildInfo { status: Some("Pulling".to_owned()), ..BuildInfo::default() };
        let pieces = [piece("Step 1\n\nid: "), piece("no such user\n"), status, piece("last"), error];
        let mut lines = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stream = futures_util::stream::iter(pieces.map(Ok));
        let failed = runtime.block_on(follow(stream, &mut |line| lines.push(line))).unwrap_err();
        assert_eq!(lines, ["Step 1", "id: no such user", "Pulling", "last"]);
        assert!(failed.to_string().contains("broken"), "{failed}");
    }
}
