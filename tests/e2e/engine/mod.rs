//! What becomes of bottles when their engine stops, dies or fills up; on an engine of the test's own.

mod fixture;
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
    let home = egress::home(agents, egress).env("DOCKER_HOST", &engine.host());
    home.env("CLAUDE_BOTTLE_IMAGE", &small_image())
}
