//! probe: whether bottles can be made here and, if not, what fixes it.

use claude_bottle_kit::{bwrap, companions};
use claude_bottle_plugin_api::{Context, Failure, Probe};

use crate::etc;

/// Looks for everything, and starts a sandbox.
pub(crate) fn probe(context: &Context) -> Probe {
    let (program, version) = match companions::guest_program(context.setting("GUEST"), None)
        .and_then(|guest| bwrap::try_out(context.setting(bwrap::SETTING), &guest))
    {
        Ok(found) => found,
        Err(failure) => return unusable(&failure),
    };
    let probe = Probe::usable()
        .fact("bubblewrap", version.to_string())
        .fact("program", program.display().to_string());
    match etc::changed() {
        changed if changed.is_empty() => probe,
        changed => probe.fact("left out of /etc, changed here", listed(&changed)),
    }
}

/// Names a few of many.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| name.escape_default().to_string()).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn unusable(failure: &Failure) -> Probe {
    Probe::unusable(failure.to_string(), failure.hints.first().cloned().unwrap_or_default())
}
