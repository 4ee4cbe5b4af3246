//! Settings that nothing reads: a misspelt name must not start something else than what was meant.

use std::collections::BTreeSet;

use super::App;
use crate::environment::PREFIX;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::nearest;
use crate::plugins::registry;
use crate::run::backend::Backend;

/// What this program itself reads, without the prefix.
const OWN: [&str; 8] =
    ["BACKEND", "DRY_RUN", "GUARD", "LOG", "OAUTH_TOKEN", "PIPELOCK_IMAGE", "PIPELOCK_PORT", "PLUGIN_PATH"];
/// What is read elsewhere: by the scripts of the source tree, and to find the processes of a bottle.
const ELSEWHERE: [&str; 2] = ["NO_INSTALL", "DIR"];
/// How what the tests of the source tree read begins.
const OF_TESTS: &str = "TEST_";

/// Refuses a setting that is a known one but for its spelling, and warns of others that nothing reads.
///
/// A backend that does not say what it reads may read anything, so that names which are not near a known one pass then.
pub(super) fn check(app: &App, backend: &Backend) -> CliResult {
    let mut known: BTreeSet<String> = OWN.iter().map(|&name| name.to_owned()).collect();
    known.extend(backend.settings().into_iter().flatten().cloned());
    let set = app.invocation.settings.keys().map(String::as_str);
    let set = set.filter(|name| app.invocation.setting(name).is_some());
    let odd =
        |name: &&str| !ELSEWHERE.contains(name) && !name.starts_with(OF_TESTS) && !known.contains(*name);
    let unknown: Vec<_> = set.filter(odd).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let mut all_say = backend.settings().is_some();
    let all = known.iter().cloned().chain(of_others(app, backend.name(), &mut all_say)?);
    let all: BTreeSet<_> = all.collect();
    for name in unknown.into_iter().filter(|name| !all.contains(*name)) {
        let text = format!("{PREFIX}{name} is set, and nothing reads a setting of that name");
        let hint = |near: &str| format!("did you mean {PREFIX}{near}? Else: unset {PREFIX}{name}");
        match nearest(name, all.iter().map(String::as_str)) {
            Some(near) if backend.settings().is_some() => {
                return Err(CliError::new(Exit::Start, text).hint(hint(near)));
            }
            Some(near) => app.ui.warning(&format!("{text}; {}", hint(near))),
            None if all_say => app.ui.warning(&text),
            None => {}
        }
    }
    Ok(())
}

/// Returns what the other backends read. One that cannot be loaded, or does not say it, may read anything.
fn of_others(app: &App, chosen: &str, all_say: &mut bool) -> CliResult<Vec<String>> {
    let (path, pins) = (app.search_path(), app.pins()?);
    let mut names = Vec::new();
    for name in app.loadable()?.iter().filter(|name| *name != chosen) {
        let loaded = registry::load(&path, &pins, name).ok();
        let settings = loaded.and_then(|loaded| loaded.module.describe().ok()?.settings);
        *all_say &= settings.is_some();
        names.extend(settings.unwrap_or_default());
    }
    Ok(names)
}
