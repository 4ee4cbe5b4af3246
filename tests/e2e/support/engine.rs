//! A real engine, seen from outside the product: what exists in it, by label.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{run, stderr, stdout};

/// An engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Engine {
    host: Option<String>,
}

impl Engine {
    /// Names the engine at an address, as in `DOCKER_HOST`; the default is the machine's.
    pub(crate) fn at(host: &str) -> Self {
        Self { host: Some(host.to_owned()) }
    }

    /// Runs the engine's own client.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("docker");
        command.args(arguments).envs(self.host.iter().map(|host| ("DOCKER_HOST", host)));
        let output = run(&mut command);
        assert!(output.status.success(), "docker {arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Returns the address of the engine's default bridge on this machine: the first of its range.
    ///
    /// Not every engine names it as the gateway.
    pub(crate) fn bridge_address(&self) -> IpAddr {
        let format = "{{(index .IPAM.Config 0).Subnet}}";
        let subnet = self.docker(&["network", "inspect", "bridge", "--format", format]);
        let network = subnet.trim().rsplit_once('.').expect("the bridge has an IPv4 range").0;
        format!("{network}.1").parse().expect("the bridge has an address")
    }

    /// Returns the name of one of the networks of an agent's only bottle: `net`, the inner one, or `egress`.
    pub(crate) fn network_of(&self, agent: &str, role: &str) -> String {
        let labels =
            [format!("label=io.claude-bottle.agent={agent}"), format!("label=io.claude-bottle.role={role}")];
        let words =
            ["network", "ls", "--format", "{{.Name}}", "--filter", &labels[0], "--filter", &labels[1]];
        let names = self.docker(&words);
        assert_eq!(names.lines().count(), 1, "networks `{role}` of `{agent}`: {names}");
        names.trim().to_owned()
    }

    /// Lists the containers, networks and volumes that carry an agent's label. Tests use an agent name of their own.
    pub(crate) fn resources_of(&self, agent: &str) -> Vec<String> {
        let filter = format!("label=io.claude-bottle.agent={agent}");
        let containers =
            self.docker(&["ps", "--all", "--filter", &filter, "--format", "container {{.Names}}"]);
        let networks = self.docker(&["network", "ls", "--filter", &filter, "--format", "network {{.Name}}"]);
        let volumes = self.docker(&["volume", "ls", "--filter", &filter, "--format", "volume {{.Name}}"]);
        let all = containers.lines().chain(networks.lines()).chain(volumes.lines());
        all.map(str::to_owned).collect()
    }
}

/// Says whether the machine's engine has gVisor, which every bottle then runs in.
pub(crate) fn has_gvisor() -> bool {
    docker(&["info", "--format", "{{json .Runtimes}}"]).contains(r#""runsc""#)
}

/// Runs the client of the machine's engine.
pub(crate) fn docker(arguments: &[&str]) -> String {
    Engine::default().docker(arguments)
}

/// Returns the address of the default bridge of the machine's engine.
pub(crate) fn bridge_address() -> IpAddr {
    Engine::default().bridge_address()
}

/// Returns the name of a network of an agent's only bottle in the machine's engine.
pub(crate) fn network_of(agent: &str, role: &str) -> String {
    Engine::default().network_of(agent, role)
}

/// Lists what the machine's engine has of an agent.
pub(crate) fn resources_of(agent: &str) -> Vec<String> {
    Engine::default().resources_of(agent)
}

/// Returns when the last container or network of an agent was removed since a time; `None` when none was.
pub(crate) fn last_removal(agent: &str, since: SystemTime) -> Option<SystemTime> {
    let stamp = |time: SystemTime| {
        let age = time.duration_since(UNIX_EPOCH).unwrap();
        format!("{}.{:09}", age.as_secs(), age.subsec_nanos())
    };
    let (since, until) = (stamp(since), stamp(SystemTime::now()));
    let words = ["events", "--filter", "event=destroy", "--format", "{{json .}}"];
    let text = docker(&[&words[..], &["--since", &since, "--until", &until]].concat());
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // A network's event has no labels; its name says whose it was.
    let is_ours = |event: &Value| {
        let about = &event["Actor"]["Attributes"];
        about["io.claude-bottle.agent"] == agent
            || about["name"].as_str().is_some_and(|name| name.contains(agent))
    };
    let time = |event: Value| UNIX_EPOCH + Duration::from_nanos(event["timeNano"].as_u64().unwrap());
    events.filter(is_ours).map(time).max()
}
