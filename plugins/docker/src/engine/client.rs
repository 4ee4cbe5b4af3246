//! The connection to the engine: made on first use, in the newest version both sides speak.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bollard::errors::Error;
use bollard::models::{SystemInfo, SystemVersion};
use bollard::{API_DEFAULT_VERSION, Docker};
use claude_bottle_engine::Dialer;
use tokio::sync::OnceCell;

use super::api::DEADLINE;
use super::error::understand;
use super::wire::Wire;
use super::{Address, Ahead, EngineError, EngineFacts, EngineLimits, Result};

/// Podman's name among the components of `GET /version`, where Docker's own engine says `Engine`:
/// <https://github.com/containers/podman/blob/v5.4.2/pkg/api/handlers/compat/version.go>.
const PODMAN: &str = "Podman Engine";

/// An engine at an address. It is reached on first use.
pub(crate) struct DockerApi {
    pub(super) dialer: Arc<Dialer>,
    client: OnceCell<Docker>,
    pub(super) facts: OnceCell<EngineFacts>,
}

impl DockerApi {
    /// Names the engine, and does not reach for it; `guest` is the program for the inside, when the user named it.
    pub(crate) fn new(address: Address, guest: Option<String>) -> Self {
        Self {
            dialer: Arc::new(Dialer::new(address, guest)),
            client: OnceCell::new(),
            facts: OnceCell::new(),
        }
    }

    /// Returns a client that speaks the newest version both sides know.
    pub(super) async fn client(&self) -> Result<&Docker> {
        self.client
            .get_or_try_init(|| async {
                let seconds = DEADLINE.as_secs();
                let dialer = Arc::clone(&self.dialer);
                let transport = move |request| {
                    let dialer = Arc::clone(&dialer);
                    // It is taken out again by `understand`.
                    async move {
                        dialer
                            .send(request)
                            .await
                            .map_err(|error| Error::IOError { err: io::Error::other(error) })
                    }
                };
                // The name is not looked up: it is what stands in a request's URL until the dialer takes it out.
                let client = Docker::connect_with_custom_transport(
                    transport,
                    Some("http://docker"),
                    seconds,
                    API_DEFAULT_VERSION,
                );
                let client = client.map_err(|error| self.connect_error(error))?;
                client.negotiate_version().await.map_err(|error| self.connect_error(error))
            })
            .await
    }

    fn connect_error(&self, error: Error) -> EngineError {
        understand(error).at(self.dialer.address())
    }

    /// Returns the way of requests that bollard cannot make.
    pub(super) async fn wire(&self) -> Result<Wire<'_>> {
        Ok(Wire { dialer: &self.dialer, version: self.api().await? })
    }

    /// Returns the API version spoken, as major and minor.
    async fn api(&self) -> Result<(usize, usize)> {
        let version = self.client().await?.client_version();
        Ok((version.major_version, version.minor_version))
    }

    /// Asks the engine about itself.
    pub(super) async fn ask_facts(&self) -> Result<EngineFacts> {
        let client = self.client().await?;
        let before = SystemTime::now();
        let (info, version) = tokio::try_join!(client.info(), client.version()).map_err(understand)?;
        let ahead = match self.dialer.address() {
            Address::Unix(_) => Ahead::default(),
            _ => Ahead::of(info.system_time.as_deref(), before, SystemTime::now()),
        };
        let id = identity(&info);
        let mut runtimes: Vec<_> = info.runtimes.unwrap_or_default().into_keys().collect();
        runtimes.sort();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        Ok(EngineFacts {
            version: info.server_version.unwrap_or_default(),
            id,
            ahead,
            podman: is_podman(&version),
            api: self.api().await?,
            arch: info.architecture.unwrap_or_default(),
            name: info.name.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
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

/// Returns what distinguishes an engine from others. Its own identifier is not enough: engines before 25 keep it in `/etc/docker`, so that two
/// of one machine share it, and machines that were cloned do.
fn identity(info: &SystemInfo) -> String {
    let parts = [&info.id, &info.name, &info.docker_root_dir].map(|part| part.as_deref().unwrap_or_default());
    if parts[0].is_empty() { String::new() } else { parts.join(" ") }
}

/// Returns `true` if the engine reports that it is Podman.
fn is_podman(version: &SystemVersion) -> bool {
    version.components.iter().flatten().any(|component| component.name == PODMAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_is_known_by_its_own_word_and_an_engine_of_docker_is_not_taken_for_it() {
        let podman = r#"{"Platform":{"Name":"linux/amd64/debian-13"},"Components":[
            {"Name":"Podman Engine","Version":"5.4.2",
             "Details":{"APIVersion":"5.4.2","MinAPIVersion":"4.0.0","Os":"linux"}},
            {"Name":"Conmon","Version":"conmon version 2.1.12, commit: unknown",
             "Details":{"Package":"conmon_2.1.12-4_amd64"}}],
            "Version":"5.4.2","ApiVersion":"1.41","MinAPIVersion":"1.24","GitCommit":"",
            "GoVersion":"go1.24.4","Os":"linux","Arch":"amd64"}"#;
        let docker = r#"{"Platform":{"Name":""},"Components":[
            {"Name":"Engine","Version":"20.10.24+dfsg1",
             "Details":{"ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux"}},
            {"Name":"containerd","Version":"1.6.20~ds1","Details":{"GitCommit":"1.6.20~ds1-1+deb12u3"}},
            {"Name":"runc","Version":"1.1.5+ds1","Details":{"GitCommit":"1.1.5+ds1-1+deb12u1"}}],
            "Version":"20.10.24+dfsg1","ApiVersion":"1.41","MinAPIVersion":"1.12","GitCommit":"5d6db84",
            "GoVersion":"go1.19.8","Os":"linux","Arch":"amd64"}"#;
        let silent = r#"{"Version":"1","ApiVersion":"1.41"}"#;
        for (text, expected) in [(podman, true), (docker, false), (silent, false)] {
            let version: SystemVersion = serde_json::from_str(text).unwrap();
            assert_eq!(is_podman(&version), expected, "{text}");
        }
    }
}
