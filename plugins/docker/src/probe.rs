//! Whether the engine can be used here, and if not, why and what to do.

use claude_bottle_plugin_api::{Failure, Probe};

use crate::advisories;
use crate::config::Config;
use crate::engine::{Address, Engine, EngineError, EngineFacts, hint};
use crate::error::DockerError;
use crate::limits;
use crate::protection::Protection;

/// The oldest API this backend was made for: engine 20.10.
const OLDEST_API: (usize, usize) = (1, 41);
/// What is said of an engine on another machine that is reached in clear.
const EXPOSED: &str = "the way to the engine is neither encrypted nor authenticated: secrets and files that go into a bottle can be read on it";
/// gVisor's name as a runtime.
pub(crate) const GVISOR: &str = "runsc";

/// Asks the engine.
pub(crate) async fn probe(engine: &impl Engine) -> Probe {
    let facts = match engine.facts().await {
        Ok(facts) => facts,
        Err(error) => return unusable(&error),
    };
    if let Err(error) = supported(&facts) {
        let failure = Failure::from(error);
        return Probe::unusable(failure.message, failure.hints.join("; "));
    }
    let probe = Probe::usable()
        .fact("engine", format!("{} (API {}.{})", facts.version, facts.api.0, facts.api.1))
        .fact("address", address_fact(engine.address()))
        .fact("machine", machine_fact(&facts))
        .fact("system", format!("{}, {}", facts.system, facts.arch))
        .fact("runtime", runtime_fact(&facts))
        .fact("cgroup", &facts.cgroup);
    let faults = advisories::warnings(&facts.version);
    let exposed = engine.address().is_exposed().then(|| EXPOSED.to_owned());
    limitations(&facts).into_iter().chain(faults).chain(exposed).fold(probe, Probe::warning)
}

/// Says where the engine is, and how it is reached.
fn address_fact(address: &Address) -> String {
    match address.way() {
        Some(way) => format!("{address}, {way}"),
        None => address.to_string(),
    }
}

/// Says which machine the engine is on, and how large that is.
fn machine_fact(facts: &EngineFacts) -> String {
    let processors = if facts.cpus == 1 { "processor" } else { "processors" };
    let memory = facts.memory_bytes as f64 / f64::from(1 << 30);
    format!("{}, {} {processors}, {memory:.1} GiB", facts.name, facts.cpus)
}

/// Returns whether the agent's own image is present, or else what the first start makes it from; `None` when the engine does not say.
pub(crate) async fn image_fact(engine: &impl Engine, config: &Config) -> Option<String> {
    let tag = config.image_tag();
    if engine.image(tag).await.ok()?.is_some() {
        return Some(format!("`{tag}` is here"));
    }
    let base = &config.images.base;
    let is_here = engine.image(base).await.ok()?.is_some();
    let how = if is_here { "is here" } else { "is pulled then" };
    Some(format!("`{tag}` is built at the first start, from `{base}`, which {how}"))
}

/// Refuses an engine that bottles cannot be made on. What is there of them can still be listed and removed.
///
/// # Errors
/// Fails on Podman, whatever version it says, and on an API that is too old.
pub(crate) fn supported(facts: &EngineFacts) -> Result<(), DockerError> {
    // First, since its version is another product's, and so is what is known of the faults of a version.
    if facts.podman {
        return Err(DockerError::EngineIsPodman { version: facts.version.clone() });
    }
    if facts.api < OLDEST_API {
        return Err(DockerError::EngineTooOld { api: facts.api, needed: OLDEST_API });
    }
    Ok(())
}

/// Says what the engine cannot give, each as a sentence.
pub(crate) fn limitations(facts: &EngineFacts) -> Vec<String> {
    let mut sentences: Vec<_> =
        Protection::missing(facts).into_iter().map(|missing| missing.absence().to_owned()).collect();
    sentences.extend(limits::missing(facts));
    sentences
}

/// Returns `true` if agents run in gVisor.
pub(crate) fn has_gvisor(facts: &EngineFacts) -> bool {
    facts.runtimes.iter().any(|name| name == GVISOR)
}

/// Says which runtime the agent gets.
pub(crate) fn runtime_fact(facts: &EngineFacts) -> &'static str {
    if has_gvisor(facts) { "runsc (gVisor)" } else { "runc (default)" }
}

fn unusable(error: &EngineError) -> Probe {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    Probe::unusable(reason, hint(error).unwrap_or_else(|| "docker info".to_owned()))
}
