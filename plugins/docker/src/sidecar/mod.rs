//! The sidecar: the bottle's only neighbour and way out. What the two proxies share is here.

mod guard;
pub(crate) mod log;
mod pipelock;

use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use claude_bottle_kit::tree::{Entry, TarWriter};
use claude_bottle_kit::{Labels, guard_secrets, key};
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, Proxy, Result, Spec};
use futures_util::StreamExt;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::engine::{Body, Engine, ExecSpec, Run, run, whole};
use crate::error::DockerError;
use crate::guard_place::GuardPlace;
use crate::hardening;
use crate::image;
use crate::image::guard::{GUEST, GuardImage, Programs};
use crate::launch::process::ReadyLine;
use crate::limits;
use crate::link;
use crate::network;
use crate::plan::{Planned, labels, role};

/// A proxy, ready to be made into a container.
pub(crate) struct Sidecar {
    pub(crate) image: String,
    user: &'static str,
    command: Vec<String>,
    delivery: Delivery,
    /// The bottle's secrets, as it reads them from its standard input.
    secrets: Zeroizing<Vec<u8>>,
    /// The line with which it is ready.
    ready_line: ReadyLine,
    extra_hosts: Vec<String>,
    port: u16,
}

/// How a proxy gets its configuration.
enum Delivery {
    /// On its standard input, before the secrets. Such a proxy listens once it has read them.
    Stdin,
    /// As a file in a volume without a name, since an engine copies nothing into a read-only root. No secret goes there.
    Volume { dir: &'static str, file: &'static str },
}

/// Where a proxy serves the agent.
pub(crate) enum Place<'a> {
    /// At a socket in a volume that the agent has too.
    Socket,
    /// At this port, for the members of these ranges alone.
    Network { port: u16, subnets: &'a [String] },
}

/// Returns the short name of a proxy, as it is in a container's name.
pub(crate) fn kind(proxy: Proxy) -> Result<&'static str> {
    match proxy {
        Proxy::Guard => Ok("guard"),
        Proxy::Pipelock => Ok("pipelock"),
        _ => Err(Failure::new(
            FailureKind::Unsupported,
            "this backend does not know the egress proxy asked for",
        )
        .hint("set `egress.proxy` to guard or pipelock, or update the backend's plug-in")),
    }
}

/// Makes sure the sidecar's image is there.
pub(crate) async fn ensure_image(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &Planned,
) -> Result<Sidecar> {
    let egress = &plan.spec.bottle.egress;
    if kind(egress.proxy)? == "pipelock" {
        image::ensure_given(engine, call, &config.pipelock_image).await?;
        let secrets = pipelock::secrets(&plan.spec, call)?;
        return Ok(pipelock::sidecar(&config.pipelock_image, plan, secrets));
    }
    let (guard, guest, arch) =
        (guard::program(&plan.spec)?.to_owned(), plan.guest.clone(), plan.arch.clone());
    let data_dir = config.data_dir.clone();
    let image = tokio::task::spawn_blocking(move || {
        GuardImage::find(Programs { guard: &guard, guest: &guest }, &arch, &data_dir)
    });
    let image = image.await.failure(FailureKind::Internal, || "cannot find the egress guard")??;
    let tag = image::guard::ensure(engine, call, image).await?;
    let secrets = guard_secrets(&plan.spec, call)?;
    Ok(guard::sidecar(tag, plan, secrets))
}

/// Checks before anything is made that the proxy's configuration can be read.
pub(crate) fn check(spec: &Spec, arch: &str, place: &GuardPlace) -> Result<()> {
    if kind(spec.bottle.egress.proxy)? == "guard" {
        image::guard::check(guard::program(spec)?, arch)?;
        guard::check(spec, place)?;
    }
    Ok(())
}

/// Returns the proxy's configuration.
pub(crate) fn config(plan: &Planned, place: &Place<'_>) -> Result<Vec<u8>> {
    match plan.spec.bottle.egress.proxy {
        Proxy::Pipelock => Ok(plan.spec.bottle.egress.config.clone().into_bytes()),
        _ => Ok(guard::config(&plan.spec, place)?.into_bytes()),
    }
}

impl Sidecar {
    /// Describes the sidecar's container, on its way out and with its end of the link.
    pub(crate) fn container(&self, plan: &Planned, owner: &Labels) -> ContainerCreateBody {
        let run = &plan.spec.id;
        let volumes = self.config_volume(owner).into_iter().chain(plan.link.mount(run, owner));
        let mut host = HostConfig {
            readonly_rootfs: Some(true),
            init: Some(false),
            // An engine lets the kernel forward packets in every container. This one may be between two networks.
            sysctls: Some([("net.ipv4.ip_forward".to_owned(), "0".to_owned())].into()),
            extra_hosts: (!self.extra_hosts.is_empty()).then(|| self.extra_hosts.clone()),
            mounts: Some(volumes.collect()),
            ..HostConfig::default()
        };
        limits::SIDECAR.apply(&mut host);
        hardening::apply(plan, &mut host);
        let networking_config = link::member(network::egress_name(run), &mut host);
        let mut labels = owner.with_role(role::SIDECAR);
        labels.insert(key::PORT.to_owned(), self.port.to_string());
        ContainerCreateBody {
            image: Some(self.image.clone()),
            user: Some(self.user.to_owned()),
            cmd: Some(self.command.clone()),
            open_stdin: Some(true),
            stdin_once: Some(self.input_ends()),
            labels: Some(labels.into_iter().collect()),
            host_config: Some(host),
            networking_config: Some(networking_config),
            ..ContainerCreateBody::default()
        }
    }

    /// Returns `true` if the proxy's input has an end: a guard reads on, since its policy may be changed.
    pub(crate) fn input_ends(&self) -> bool {
        !matches!(self.delivery, Delivery::Stdin)
    }

    /// Returns the line with which the proxy is ready.
    pub(crate) fn ready_line(&self) -> &ReadyLine {
        &self.ready_line
    }

    /// Returns `true` if it listens once it has written that line; otherwise it is polled.
    pub(crate) fn listens_at_its_word(&self) -> bool {
        matches!(self.delivery, Delivery::Stdin)
    }

    fn config_volume(&self, owner: &Labels) -> Option<Mount> {
        let Delivery::Volume { dir, .. } = self.delivery else { return None };
        let options = MountVolumeOptions {
            no_copy: Some(true),
            labels: labels(owner, role::SIDECAR),
            ..MountVolumeOptions::default()
        };
        Some(Mount {
            target: Some(dir.to_owned()),
            typ: Some(MountType::VOLUME),
            volume_options: Some(options),
            ..Mount::default()
        })
    }

    /// Returns what the proxy is to read from its standard input, which the engine keeps nowhere.
    pub(crate) fn input(&self, config: &[u8]) -> Zeroizing<Vec<u8>> {
        match &self.delivery {
            Delivery::Stdin => guard::input(config, &self.secrets),
            Delivery::Volume { .. } => self.secrets.clone(),
        }
    }

    /// Returns the archive that puts the configuration in its place, and where it is to be unpacked, when it is a file.
    pub(crate) fn config_archive(&self, config: &[u8]) -> Result<Option<(&'static str, Body)>> {
        let Delivery::Volume { dir, file } = self.delivery else { return Ok(None) };
        let mut bytes = Vec::new();
        let write = |source| DockerError::CopyIn { source };
        let mut writer = TarWriter::new(&mut bytes);
        // It holds host names and no secret; the proxy's user need not own it.
        let entry = Entry { owner: (0, 0), mode: 0o444, mtime: 0 };
        writer.file(Path::new(file), entry, config).map_err(write)?;
        writer.finish().map_err(write)?;
        Ok(Some((dir, whole(bytes))))
    }
}

/// Waits, from inside the agent's container, until the proxy accepts a connection: over the very path the agent will use.
pub(crate) async fn await_ready(
    engine: &impl Engine,
    agent: &str,
    address: &str,
    port: u16,
) -> Result<bool, DockerError> {
    let words = [GUEST.to_owned(), "reach".to_owned(), format!("{address}:{port}")];
    let spec = ExecSpec { command: words.into(), ..ExecSpec::default() };
    let output = run(engine, agent, &Run { spec, input: Zeroizing::default() }).await;
    let output = output.map_err(|source| DockerError::RunInside { program: GUEST.to_owned(), source })?;
    match output.code {
        0 => Ok(true),
        1 => Ok(false),
        code => {
            let output = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(DockerError::FailedInside { action: "reach the sidecar", code, output })
        }
    }
}

/// Waits until the sidecar has ended, and forever when that cannot be told.
pub(crate) async fn ended(engine: &impl Engine, sidecar: &str) {
    if let Ok(mut said) = engine.follow_output(sidecar).await {
        while let Some(Ok(_)) = said.next().await {}
        // The engine ends the stream a moment before it notes the end.
        while let Ok(found) = engine.inspect_container(sidecar).await {
            if !found.running {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    std::future::pending().await
}
