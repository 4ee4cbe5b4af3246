//! What `start` says after the agent has ended: the limit that ended it, what was refused, how long it all took.

use std::time::Duration;

use claude_bottle_plugin_api::Spec;

use super::App;
use super::app::Calls;
use super::refused_credential;
use super::written::how_to_edit;
use crate::egress::summary::{self, Summary};
use crate::manifest::{Agent, Bottle};
use crate::run::refresh;
use crate::run::session::Ending;

/// A run that has ended.
pub(super) struct RunReport<'a> {
    pub(super) spec: &'a Spec,
    pub(super) agent: &'a Agent,
    pub(super) bottle: &'a Bottle,
    pub(super) ending: &'a Ending,
}

impl RunReport<'_> {
    /// Says what the user should know.
    pub(super) fn report(&self, app: &App) {
        if let Some(limit) = &self.ending.status.limit {
            app.ui.warning(&format!("the agent was ended by the {limit}"));
        }
        match summary::read(&self.spec.state_dir) {
            Ok(summary) => {
                refused_credential::tell(app, self.spec, (self.agent, self.bottle), &summary.rejected);
                self.show_blocked(app, &summary);
            }
            // What the agent did is done; its log being unreadable changes nothing about that.
            Err(error) => app.ui.warning(&format!("the run's egress log cannot be read: {error}")),
        }
        refresh::told(&self.ending.stale).iter().for_each(|text| app.ui.warning(text));
        if self.ending.is_being_removed {
            app.ui.warning("removing the bottle takes long; another process goes on with it");
            app.ui.hint("see whether anything is left of it: claude-bottle cleanup --dry-run");
        }
    }

    fn show_blocked(&self, app: &App, summary: &Summary) {
        let texts = [summary.text(), summary.failed_text(), summary.distrusted_text()];
        let texts: Vec<_> = texts.into_iter().flatten().collect();
        if texts.is_empty() || app.ui.is_quiet() {
            return;
        }
        texts.iter().for_each(|text| app.ui.status(text));
        if let Some(advice) = how_to_allow(app, self.bottle, &summary.rules()) {
            app.ui.hint(&advice);
        }
        if let [first, rest @ ..] = summary.distrusted_hosts().as_slice() {
            let hosts = rest.iter().fold((*first).to_owned(), |all, host| format!("{all}, {host}"));
            app.ui.hint(&format!(
                "these pin certificates, or do not read the system's store; to let them through unopened, add {hosts} to `egress.passthrough` of bottle `{}` ({}): {}",
                self.bottle.name,
                self.bottle.origin,
                how_to_edit(app, self.bottle)
            ));
        }
        app.ui.hint(&format!("see every decision: claude-bottle logs {} --egress", self.spec.id));
    }
}

/// Says where rules have to go so that a bottle allows more; nothing without rules.
pub(super) fn how_to_allow(app: &App, bottle: &Bottle, rules: &[String]) -> Option<String> {
    let them = match rules {
        [] => return None,
        [_] => "it",
        _ => "them",
    };
    Some(format!(
        "to allow {}, add {them} to `egress.allowlist` of bottle `{}` ({}): {}",
        rules.join(", "),
        bottle.name,
        bottle.origin,
        how_to_edit(app, bottle)
    ))
}

/// Shows how long each step took, in the order they began, and all together.
pub(super) fn show_timings(app: &App, calls: &Calls) {
    let row = |step: &str, took: Duration| format!("{:>9.1} ms  {step}", took.as_secs_f64() * 1000.0);
    let timings = calls.progress.timings();
    timings.iter().for_each(|(step, took)| app.ui.text(&row(step, *took)));
    app.ui.text(&row("in all (steps at the same time count once)", calls.progress.lasted()));
}
