//! Settings that nothing reads: a misspelt name must not start something else than what was meant.

use std::collections::BTreeSet;

use super::App;
use super::app::DEFAULT_BACKEND;
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
    learn(app, backend.name(), &unknown, &mut known, &mut all_say)?;
    for name in unknown.into_iter().filter(|name| !known.contains(*name)) {
        let text = format!("{PREFIX}{name} is set, and nothing reads a setting of that name");
        let hint = |near: &str| format!("did you mean {PREFIX}{near}? Else: unset {PREFIX}{name}");
        match nearest(name, known.iter().map(String::as_str)) {
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

/// Learns what the other backends read. To load one takes longer than all else here, so the default one, whose settings are what users of several
/// backends have set, is asked first, and the others only while a name is unknown. One that cannot be loaded, or does not say it, may read anything.
fn learn(
    app: &App,
    chosen: &str,
    unknown: &[&str],
    known: &mut BTreeSet<String>,
    all_say: &mut bool,
) -> CliResult {
    let (path, pins) = (app.search_path(), app.pins()?);
    let settings = |name: &str| {
        registry::load(&path, &pins, name).ok().and_then(|loaded| loaded.module.describe().ok()?.settings)
    };
    let of_default = (chosen != DEFAULT_BACKEND).then(|| settings(DEFAULT_BACKEND)).flatten();
    known.extend(of_default.iter().flatten().cloned());
    if unknown.iter().all(|name| known.contains(*name)) {
        return Ok(());
    }
    for name in app.loadable()?.iter().filter(|name| *name != chosen) {
        let said = if name == DEFAULT_BACKEND { of_default.clone() } else { settings(name) };
        *all_say &= said.is_some();
        known.extend(said.unwrap_or_default());
    }
    Ok(())
}
