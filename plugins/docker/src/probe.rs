//! Whether the engine can be used here, and if not, why and what to do.

use claude_bottle_plugin_api::Probe;

use crate::advisories;
use crate::engine::{Engine, EngineError, EngineFacts};
use crate::limits;
use crate::protection::Protection;

/// The oldest API this backend was made for: engine 20.10.
const OLDEST_API: (usize, usize) = (1, 41);
/// gVisor's name as a runtime.
pub(crate) const GVISOR: &str = "runsc";

/// Asks the engine.
pub(crate) async fn probe(engine: &impl Engine) -> Probe {
    let facts = match engine.facts().await {
        Ok(facts) => facts,
        Err(error) => return unusable(&error),
    };
    let api = format!("{}.{}", facts.api.0, facts.api.1);
    if facts.api < OLDEST_API {
        return Probe::unusable(
            format!("the engine speaks API {api}, and 1.41 or newer is needed"),
            "update the engine to 20.10 or newer",
        );
    }
    let probe = Probe::usable()
        .fact("engine", format!("{} (API {api})", facts.version))
        .fact("system", format!("{}, {}", facts.system, facts.arch))
        .fact("runtime", runtime_fact(&facts))
        .fact("cgroup", &facts.cgroup);
    let faults = advisories::warnings(&facts.version);
    limitations(&facts).into_iter().chain(faults).fold(probe, Probe::warning)
}

/// Says what the engine cannot give, each as a sentence.
pub(crate) fn limitations(facts: &EngineFacts) -> Vec<String> {
    let mut sentences: Vec<_> =
        Protection::missing(facts).into_iter().map(|missing| missing.absence().to_owned()).collect();
    sentences.extend(limits::missing(facts));
    sentences
}

/// Says whether agents run in gVisor.
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
    Probe::unusable(reason, error.hint().unwrap_or_else(|| "docker info".to_owned()))
}
