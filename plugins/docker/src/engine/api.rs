//! The engine over its API: bollard for nearly everything, [`super::wire::Wire`] for the rest.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, NetworkConnectRequest, NetworkCreateRequest};
use bollard::query_parameters as query;
use bytes::Bytes;
use claude_bottle_engine::{Ask, Body as Content, encoded, follow};
use futures_util::{StreamExt, TryStreamExt};

use super::client::DockerApi;
use super::error::understand;
use super::listing::list;
use super::{
    Abandoned, Address, Attached, Body, Build, Container, Engine, EngineError, EngineFacts, ExecSpec,
    ExecState, Found, Kind, Network, OutputStream, Result, Server,
};

/// How long the engine may take to answer; an answer that is a stream may then take longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// How often, and how long each time, the engine is asked whether a container that somebody else removes is gone.
const REMOVAL: (u32, Duration) = (400, Duration::from_millis(25));
/// The most that is read of a file in a container, such as a list of users.
const LARGEST_FILE: usize = 1 << 20;
/// How long taking in an archive may last: a large working directory over a slow link.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(3600);

impl Engine for DockerApi {
    fn address(&self) -> &Address {
        self.dialer.address()
    }

    async fn facts(&self) -> Result<EngineFacts> {
        self.facts.get_or_try_init(|| self.ask_facts()).await.cloned()
    }

    async fn server(&self) -> Option<Server> {
        super::locality::server(self.dialer.address()).await
    }

    async fn create_network(&self, request: NetworkCreateRequest) -> Result<String> {
        self.wire().await?.create_network(&request).await
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

    async fn image_user(&self, reference: &str) -> Result<String> {
        let image = self.client().await?.inspect_image(reference).await.map_err(understand)?;
        Ok(image.config.and_then(|config| config.user).unwrap_or_default())
    }

    async fn load_image(&self, tar: Bytes) -> Result<()> {
        let loaded = self.wire().await?.send(Ask::post("/images/load?quiet=true", Content::Tar(tar))).await?;
        follow(loaded, &mut |_| {}).await
    }

    async fn build_image(&self, build: &Build, context: Bytes, line: &mut dyn FnMut(String)) -> Result<()> {
        let document = |map: &BTreeMap<String, String>| encoded(&serde_json::json!(map).to_string());
        let path = format!(
            "/build?t={}&rm=true&forcerm=true&nocache={}&pull={}&buildargs={}&labels={}",
            encoded(&build.tag),
            build.no_cache,
            if build.pull { "1" } else { "" },
            document(&build.args),
            document(&build.labels),
        );
        follow(self.wire().await?.send(Ask::post(&path, Content::Tar(context))).await?, line).await
    }

    async fn pull_image(&self, reference: &str, line: &mut dyn FnMut(String)) -> Result<()> {
        let path = format!("/images/create?fromImage={}", encoded(reference));
        follow(self.wire().await?.send(Ask::post(&path, Content::Nothing)).await?, line).await
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
        let volume = |mount: bollard::models::MountPoint| mount.name.zip(mount.destination);
        let state = found.state.unwrap_or_default();
        Ok(Container {
            id: found.id.unwrap_or_default(),
            running: state.running == Some(true),
            pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
            exit_code: state.exit_code.unwrap_or(0),
            oom_killed: state.oom_killed == Some(true),
            addresses: networks.into_iter().filter_map(address).collect(),
            volumes: found.mounts.into_iter().flatten().filter_map(volume).collect(),
            error: state.error.unwrap_or_default(),
        })
    }

    async fn put_archive(&self, container: &str, path: &str, tar: Body) -> Result<()> {
        let options = query::UploadToContainerOptionsBuilder::default().path(path).build();
        let client = self.client().await?.clone().with_timeout(UPLOAD_DEADLINE);
        let body = bollard::body_try_stream(tar);
        client.upload_to_container(container, Some(options), body).await.map_err(understand)
    }

    async fn archive(&self, container: &str, path: &str) -> Result<OutputStream> {
        let options = query::DownloadFromContainerOptionsBuilder::default().path(path).build();
        let stream = self.client().await?.download_from_container(container, Some(options));
        let mut stream = Box::pin(stream.map_err(understand));
        // With the first piece it is known whether the path is there.
        match stream.try_next().await? {
            None => Ok(Box::pin(futures_util::stream::empty())),
            Some(first) => Ok(Box::pin(futures_util::stream::iter([Ok(first)]).chain(stream))),
        }
    }

    async fn file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>> {
        let options = query::DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut stream = self.client().await?.download_from_container(container, Some(options));
        let mut archive = Vec::new();
        loop {
            match stream.try_next().await.map_err(understand) {
                Ok(None) => return first_file(&archive).map_err(|source| EngineError::Io { source }),
                Ok(Some(piece)) if archive.len() + piece.len() <= LARGEST_FILE => archive.extend(piece),
                Ok(Some(_)) => {
                    return Err(EngineError::Failed {
                        message: format!("`{path}` in the image is too large"),
                    });
                }
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
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

    async fn follow_output(&self, container: &str) -> Result<OutputStream> {
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
        let ahead = self.facts().await?.ahead;
        // With an end in the past the engine answers from what it remembers, and closes.
        let options = query::EventsOptionsBuilder::default()
            .since(&stamp(ahead.earliest(since)))
            .until(&stamp(ahead.latest(SystemTime::now())))
            .filters(&filters)
            .build();
        let mut events = self.client().await?.events(Some(options));
        Ok(events.try_next().await.map_err(understand)?.is_some())
    }

    async fn attach(&self, container: &str, stdin: bool) -> Result<Attached> {
        self.wire().await?.attach(container, stdin).await
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
        self.wire().await?.start(exec, tty).await
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

    fn abandoned(&self) -> Abandoned {
        let Address::Unix(path) = self.dialer.address() else { return Abandoned::default() };
        Abandoned::at(path).unwrap_or_else(|error| {
            tracing::debug!(%error, "list the engine's connections");
            Abandoned::default()
        })
    }

    async fn list(&self, kind: Kind, labels: &[String]) -> Result<Vec<Found>> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        list(self.client().await?, kind, filters).await
    }

    async fn has_container(&self, image: &str) -> Result<bool> {
        let filters = HashMap::from([("ancestor".to_owned(), vec![image.to_owned()])]);
        Ok(!list(self.client().await?, Kind::Container, filters).await?.is_empty())
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
            Kind::Image => {
                let options = query::RemoveImageOptionsBuilder::default().build();
                client.remove_image(id, Some(options), None).await.map(drop)
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

/// Returns the content of the first entry of an archive, if that is a regular file.
fn first_file(archive: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(archive);
    let Some(entry) = archive.entries()?.next() else { return Ok(None) };
    let mut entry = entry?;
    if !entry.header().entry_type().is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content)?;
    Ok(Some(content))
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
