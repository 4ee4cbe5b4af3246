//! pipelock as a sidecar, as the first version ran it: <https://github.com/luckyPipewrench/pipelock>.

use super::{Delivery, Sidecar};
use crate::plan::PlanState;

/// The image has no such directory and needs none: the engine makes it for the volume.
const CONFIG_DIR: &str = "/etc/pipelock";
const CONFIG_FILE: &str = "pipelock.yaml";
/// The image names no user and would run as root; its own Helm chart uses this one.
const USER: &str = "65534:65534";

/// Describes the sidecar that runs the image `reference`.
pub(super) fn sidecar(reference: &str, plan: &PlanState) -> Sidecar {
    let words = ["run".to_owned(), "--listen".to_owned(), format!("0.0.0.0:{}", plan.port)];
    let config = ["--config".to_owned(), format!("{CONFIG_DIR}/{CONFIG_FILE}")];
    let hosts = plan.spec.bottle.egress.addresses.iter();
    Sidecar {
        image: reference.to_owned(),
        user: USER,
        command: words.into_iter().chain(config).collect(),
        delivery: Delivery::Volume { dir: CONFIG_DIR, file: CONFIG_FILE },
        extra_hosts: hosts.map(|(name, address)| format!("{name}:{address}")).collect(),
        port: plan.port,
        state_dir: super::state_dir(&plan.spec),
    }
}
