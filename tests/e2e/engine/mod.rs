//! What becomes of bottles when their engine stops, dies or fills up; on an engine of the test's own.

mod address;
mod bridge;
mod fixture;
mod frozen;
mod full;
mod gone;
mod restart;

use crate::egress;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine, small_image};

/// Starts an engine that has an image bottles can run from.
fn engine(options: &Options) -> PrivateEngine {
    let engine = PrivateEngine::start(options);
    engine.load(&small_image());
    engine
}

/// Makes a home with agents that are all a shell, on an engine, in a bottle with this `egress`.
fn home(engine: &PrivateEngine, agents: &[&str], egress: &str) -> Home {
    on(engine, egress::home(agents, egress))
}

/// Has a home use an engine.
fn on(engine: &PrivateEngine, home: Home) -> Home {
    home.env("DOCKER_HOST", &engine.host()).env("CLAUDE_BOTTLE_IMAGE", &small_image())
}
