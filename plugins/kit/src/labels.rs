//! The labels every resource of a bottle carries from the moment it exists: whose it is, in one place.
//!
//! Ownership is a label, never a name: a clean-up removes what carries these and nothing else.

use std::collections::BTreeMap;

use claude_bottle_plugin_api::{CONTRACT, Owner, Spec};

/// The label keys.
pub mod key {
    /// The run's identifier. What carries it is ours.
    pub const ID: &str = "io.claude-bottle.id";
    /// The agent's name in the manifest.
    pub const AGENT: &str = "io.claude-bottle.agent";
    /// The bottle's name in the manifest.
    pub const BOTTLE: &str = "io.claude-bottle.bottle";
    /// The machine of the process that owns the bottle.
    pub const OWNER_HOST: &str = "io.claude-bottle.owner.host";
    /// That process's number.
    pub const OWNER_PID: &str = "io.claude-bottle.owner.pid";
    /// When that process started.
    pub const OWNER_STARTED: &str = "io.claude-bottle.owner.started";
    /// Which start of which kernel that process runs under.
    pub const OWNER_BOOT: &str = "io.claude-bottle.owner.boot";
    /// Which machine that is, whatever its name.
    pub const OWNER_MACHINE: &str = "io.claude-bottle.owner.machine";
    /// The pid namespace in which that process's number counts.
    pub const OWNER_NAMESPACE: &str = "io.claude-bottle.owner.pid-namespace";
    /// The contract version it was made under.
    pub const CONTRACT: &str = "io.claude-bottle.contract";
    /// What part of the bottle it is: `agent`, `sidecar`, `net`, `egress`.
    pub const ROLE: &str = "io.claude-bottle.role";
    /// On a sidecar, and on the agent's container of a bottle without one: the port its proxy listens on.
    pub const PORT: &str = "io.claude-bottle.port";
    /// The run's directory of the host, where its record is, and where a sidecar's decisions are kept.
    pub const STATE_DIR: &str = "io.claude-bottle.state-dir";
    /// On an image: the hash of all that went into it.
    pub const IMAGE_KEY: &str = "io.claude-bottle.image.key";
}

/// Whose a resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The run's identifier.
    pub id: String,
    /// The agent's name in the manifest.
    pub agent: String,
    /// The bottle's name in the manifest.
    pub bottle: String,
    /// The process it belongs to.
    pub owner: Owner,
    /// The run's directory of the host; `None` where the host named none that a label can hold.
    pub state_dir: Option<String>,
}

impl Labels {
    /// Takes the labels from what the host asks for.
    pub fn new(spec: &Spec) -> Self {
        Self {
            id: spec.id.clone(),
            agent: spec.agent.name.clone(),
            bottle: spec.bottle.name.clone(),
            owner: spec.owner.clone(),
            state_dir: spec.state_dir.to_str().filter(|dir| !dir.is_empty()).map(str::to_owned),
        }
    }

    /// Returns them as the map an engine takes, with the part of the bottle they are for.
    pub fn with_role(&self, role: &str) -> BTreeMap<String, String> {
        let pairs = [
            (key::ID, self.id.clone()),
            (key::AGENT, self.agent.clone()),
            (key::BOTTLE, self.bottle.clone()),
            (key::OWNER_HOST, self.owner.host.clone()),
            (key::OWNER_PID, self.owner.pid.to_string()),
            (key::OWNER_STARTED, self.owner.started.to_string()),
            (key::OWNER_BOOT, self.owner.boot_id.clone()),
            (key::OWNER_MACHINE, self.owner.machine_id.clone()),
            (key::OWNER_NAMESPACE, self.owner.pid_namespace.to_string()),
            (key::CONTRACT, CONTRACT.to_string()),
            (key::ROLE, role.to_owned()),
        ];
        let pairs = pairs.into_iter().chain(self.state_dir.clone().map(|dir| (key::STATE_DIR, dir)));
        pairs.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Reads them back; `None` when the thing is not ours or its owner cannot be read.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let text = |name: &str| get(name).map(str::to_owned);
        let mut owner = Owner::new(
            text(key::OWNER_HOST)?,
            get(key::OWNER_PID)?.parse().ok()?,
            get(key::OWNER_STARTED)?.parse().ok()?,
        );
        // What was made before contract 1.1 does not say these.
        owner.boot_id = text(key::OWNER_BOOT).unwrap_or_default();
        owner.machine_id = text(key::OWNER_MACHINE).unwrap_or_default();
        owner.pid_namespace = get(key::OWNER_NAMESPACE).map_or(Some(0), |number| number.parse().ok())?;
        let (id, agent, bottle) = (text(key::ID)?, text(key::AGENT)?, text(key::BOTTLE)?);
        Some(Self { id, agent, bottle, owner, state_dir: text(key::STATE_DIR) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut labels = Labels {
            id: "dev-1".to_owned(),
            agent: "dev".to_owned(),
            bottle: "box".to_owned(),
            owner: Owner::new("here", 7, 99),
            state_dir: Some("/home/u/runs/dev-1".to_owned()),
        };
        (labels.owner.boot_id, labels.owner.machine_id) = ("boot".to_owned(), "machine".to_owned());
        labels.owner.pid_namespace = 4_026_531_836;
        let mut map = labels.with_role("agent");
        assert_eq!(map[key::ROLE], "agent");
        assert_eq!(Labels::read(|name| map.get(name).map(String::as_str)), Some(labels.clone()));
        // As a version before contract 1.1 wrote them.
        map.retain(|name, _| {
            ![key::OWNER_BOOT, key::OWNER_MACHINE, key::OWNER_NAMESPACE].contains(&name.as_str())
        });
        let read = Labels::read(|name| map.get(name).map(String::as_str)).unwrap();
        assert_eq!(read.owner, Owner::new("here", 7, 99));
    }

    #[test]
    fn a_missing_or_unreadable_owner_is_nobody() {
        assert_eq!(Labels::read(|_| None), None);
        assert_eq!(Labels::read(|_| Some("x")), None);
    }
}
