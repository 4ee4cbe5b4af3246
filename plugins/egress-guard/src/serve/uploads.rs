//! How much has gone up in this run, where the configuration limits that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use claude_bottle_egress_policy::{Code, GuardConfig, HostOrIp};

use super::admit::Denial;

/// What has gone up under each limit. Counted by limits and not by hosts: with a wildcard rule the agent chooses those.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Arc<AtomicU64>>>);

/// What a request may still send.
pub(crate) struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
    /// The hosts, as the limit names them.
    hosts: String,
}

impl Uploads {
    /// Returns what may still go to a host; `None` where nothing limits it.
    pub(super) fn budget(&self, config: &GuardConfig, host: &HostOrIp) -> Option<Budget> {
        let limit = config.upload_limit(host)?;
        let hosts = limit.hosts.to_string();
        // A panic elsewhere leaves whole entries behind.
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = Arc::clone(counters.entry(hosts.clone()).or_default());
        Some(Budget { used, limit: limit.bytes, hosts })
    }
}

impl Budget {
    /// Takes bytes that are about to go.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), Denial> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.denial()),
        }
    }

    /// Refuses what would not fit whole, before any of it goes.
    pub(super) fn check(&self, bytes: u64) -> Result<(), Denial> {
        let used = self.used.load(Ordering::Acquire);
        if used.checked_add(bytes).is_some_and(|sum| sum <= self.limit) { Ok(()) } else { Err(self.denial()) }
    }

    fn denial(&self) -> Denial {
        let (limit, hosts) = (self.limit, &self.hosts);
        Denial::new(
            Code::UploadLimit,
            format!("no more than {limit} bytes may go up to `{hosts}` in one run"),
        )
    }
}
