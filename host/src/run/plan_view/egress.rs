//! What a plan says of the way out: the proxy, the hosts that it allows and where they come from.

use std::collections::{BTreeMap, BTreeSet};

use claude_bottle_plugin_api::{BottleSpec, ForwardSpec, Proxy};
use serde::Serialize;

use super::https::InterceptView;
use crate::egress::presets::Preset;

#[derive(Debug, Clone, Serialize)]
pub(super) struct EgressView {
    proxy: Proxy,
    hosts: Vec<String>,
    /// Whether the backend declares that it enforces them.
    enforced: bool,
    /// The address of a proxy above.
    upstream_proxy: Option<String>,
    /// For how many seconds a request that no rule allows waits for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<u64>,
    /// Whether requests and answers are shown in the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    capture: bool,
    /// How much may go up in one run, by hosts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    upload_limits: BTreeMap<String, u64>,
    /// Ports inside and where they lead, `5432 to db.example.com:5432`.
    pub(super) forward: Vec<String>,
    /// Which of the hosts come from the agent's profile.
    #[serde(skip)]
    pub(super) defaults: BTreeSet<String>,
    /// Which of the hosts come from presets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) presets: Vec<PresetView>,
    /// Whose HTTPS the guard looks into; nothing where that is no host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) intercept: Option<InterceptView>,
}

/// A preset of the manifest, and what it allows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PresetView {
    name: &'static str,
    hosts: Vec<&'static str>,
}

impl From<&Preset> for PresetView {
    fn from(preset: &Preset) -> Self {
        Self { name: preset.name, hosts: preset.hosts.iter().map(|host| host.rule).collect() }
    }
}

impl PresetView {
    fn text(&self) -> String {
        format!("preset {}: {}", self.name, self.hosts.join(" "))
    }
}

/// Returns the limits that the guard is given.
fn upload_limits(config: &serde_json::Value) -> BTreeMap<String, u64> {
    let limits = config["upload_limits"].as_array().into_iter().flatten();
    limits.filter_map(|limit| Some((limit["hosts"].as_str()?.to_owned(), limit["bytes"].as_u64()?))).collect()
}

impl EgressView {
    /// Says what is kept of requests, if anything.
    pub(super) fn capture_text(&self) -> Option<&'static str> {
        self.capture.then_some("requests and answers are kept in the log, without values, queries and bodies")
    }

    /// Says how much may go up, if that is limited.
    pub(super) fn upload_text(&self) -> Option<String> {
        let limits: Vec<_> =
            self.upload_limits.iter().map(|(hosts, bytes)| format!("{hosts}: {bytes} bytes")).collect();
        (!limits.is_empty()).then(|| limits.join(", "))
    }

    pub(super) fn new(bottle: &BottleSpec, enforced: bool) -> Self {
        let upstream = bottle.egress.config_json.pointer("/upstream_proxy/address");
        let forward = |to: &ForwardSpec| format!("{} to {}:{}", to.port, to.host, to.host_port);
        Self {
            proxy: bottle.egress.proxy,
            hosts: bottle.egress.hosts.clone(),
            enforced,
            upstream_proxy: upstream.and_then(serde_json::Value::as_str).map(str::to_owned),
            asks: bottle.egress.config_json["ask_seconds"].as_u64().filter(|seconds| *seconds > 0),
            capture: bottle.egress.config_json["log"]["exchanges"] == true,
            upload_limits: upload_limits(&bottle.egress.config_json),
            forward: bottle.forward.iter().map(forward).collect(),
            defaults: BTreeSet::new(),
            presets: Vec::new(),
            intercept: None,
        }
    }

    pub(super) fn is_enforced(&self) -> bool {
        self.enforced
    }

    pub(super) fn upstream(&self) -> Option<String> {
        let address = self.upstream_proxy.as_ref()?;
        Some(format!("{address}; it looks names up, so their addresses are not checked here"))
    }

    pub(super) fn text(&self) -> String {
        let proxy = match self.proxy {
            Proxy::Pipelock => "pipelock",
            _ => "egress-guard",
        };
        let (usual, own): (Vec<_>, Vec<_>) =
            self.hosts.iter().partition(|host| self.defaults.contains(*host));
        // What the manifest adds is named however much it is: it is what the user agrees to.
        let is_of_preset = |host: &str| self.presets.iter().any(|preset| preset.hosts.contains(&host));
        let mut parts: Vec<_> = own.into_iter().filter(|host| !is_of_preset(host)).cloned().collect();
        parts.extend(self.presets.iter().map(PresetView::text));
        match usual.len() {
            0 => {}
            1 => parts.push("1 default".to_owned()),
            count => parts.push(format!("{count} defaults")),
        }
        let (count, named) = (self.hosts.len(), parts.join(", "));
        if !self.enforced {
            return format!(
                "NOT ENFORCED by this backend: every host may be reached, not only {count} ({named})"
            );
        }
        let waits = |seconds| format!("; a request to another waits up to {seconds} s for an answer");
        let asks = self.asks.map(waits).unwrap_or_default();
        match count {
            0 => format!("no host allowed, by {proxy}{asks}"),
            _ => format!("{count} hosts allowed ({named}), by {proxy}{asks}"),
        }
    }
}
