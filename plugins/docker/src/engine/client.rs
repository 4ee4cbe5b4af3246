//! The connection to the engine: made on first use, in the newest version both sides speak.

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::sync::OnceCell;

use super::api::DEADLINE;
use super::error::understand;
use super::{Address, EngineError, EngineFacts, EngineLimits, Result};

/// An engine at an address. It is reached on first use.
pub(crate) struct DockerApi {
    pub(super) address: Address,
    client: OnceCell<Docker>,
    pub(super) facts: OnceCell<EngineFacts>,
}

impl DockerApi {
    /// Names the engine, and does not reach for it.
    pub(crate) fn new(address: Address) -> Self {
        Self { address, client: OnceCell::new(), facts: OnceCell::new() }
    }

    /// Returns a client that speaks the newest version both sides know.
    pub(super) async fn client(&self) -> Result<&Docker> {
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

    /// Returns the API version spoken, as major and minor.
    pub(super) async fn api(&self) -> Result<(usize, usize)> {
        let version = self.client().await?.client_version();
        Ok((version.major_version, version.minor_version))
    }

    /// Asks what the engine says of itself.
    pub(super) async fn ask_facts(&self) -> Result<EngineFacts> {
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
