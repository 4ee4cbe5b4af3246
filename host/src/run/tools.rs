//! Tools of this machine that a bottle is granted: from the manifest into the spec, and where a refusal of one is written.
//!
//! A backend that declares no feature `FEATURE` cannot show a directory of this machine, and the contract's glue
//! refuses for it.

use claude_bottle_plugin_api::{Failure, FailureKind, Spec, ToolSpec};

use crate::manifest::Bottle;

/// What a backend declares that mounts `spec.bottle.tools`.
const FEATURE: &str = "bottle.tools";

/// Puts a bottle's tools into a spec.
pub fn enter(bottle: &Bottle, spec: &mut Spec) {
    if bottle.tools.is_empty() {
        return;
    }
    spec.bottle.tools = bottle.tools.iter().map(|tool| ToolSpec::new(&tool.path)).collect();
    spec.requires.push(FEATURE.to_owned());
}

/// Adds to a backend's refusal where the tool it is about is written.
pub fn locate(bottle: &Bottle, backend: &str, mut failure: Failure) -> Failure {
    let Some(first) = bottle.tools.first() else { return failure };
    if failure.kind == FailureKind::Unsupported && failure.message.contains(&format!("`{FEATURE}`")) {
        let message = format!(
            "{}: `tools` of bottle `{}`: the {backend} backend cannot show directories of this machine",
            first.origin, bottle.name
        );
        return Failure::new(FailureKind::Unsupported, message)
            .hint(format!("put the tools into an image and name it in bottles.{}.image", bottle.name))
            .hint("or use CLAUDE_BOTTLE_BACKEND=bubblewrap");
    }
    let is_about = |path: String| failure.message.contains(&format!("tools: `{path}`"));
    if let Some(tool) = bottle.tools.iter().find(|tool| is_about(tool.path.display().to_string())) {
        failure.message.insert_str(0, &format!("{}: ", tool.origin));
    }
    failure
}
