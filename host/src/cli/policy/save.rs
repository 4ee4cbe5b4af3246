//! `--save`: rules that are written into the manifest, for new bottles.

use claude_bottle_egress_policy::{Policy, Rule};

use super::change::denied;
use crate::cli::App;
use crate::cli::written::{self, Written, how_to_edit};
use crate::egress::amend::amend;
use crate::egress::effective_policy;
use crate::error::{CliError, CliResult};
use crate::manifest::{Agent, Bottle, Format, add_rules};

/// A manifest with rules added, judged and not yet written.
pub(super) struct Addition {
    target: Written,
    text: String,
    bottle: String,
}

impl Addition {
    /// Makes it for the manifest that defines the bottle; nothing when that says it already.
    pub(super) fn prepare(
        app: &App,
        (agent, bottle): (&Agent, &Bottle),
        rules: &[Rule],
    ) -> CliResult<Option<Self>> {
        let before = effective_policy(Some(agent), bottle)?;
        let after = amend(&before, rules).map_err(denied)?;
        let new = added(&before, &after);
        if new.is_empty() {
            return Ok(None);
        }
        let target = Written::of(app, bottle)?;
        let old = written::text(&target.old, &target.path)?;
        let text = add_rules(old, Format::of(&target.path), &bottle.name, &new).map_err(|error| {
            let path = target.path.display().to_string();
            let hint =
                format!("add {} to `egress.allowlist` by hand: {}", new.join(", "), how_to_edit(app, bottle));
            CliError::from(anyhow::Error::new(error).context(format!("cannot change `{path}`"))).hint(hint)
        })?;
        target.judge(app, text.as_bytes())?;
        Ok(Some(Self { target, text, bottle: bottle.name.to_string() }))
    }

    /// Writes it.
    pub(super) fn save(&self, app: &App) -> CliResult {
        self.target
            .save(app, &self.text)
            .map_err(|error| error.hint(format!("bottle `{}` in the manifest is as it was", self.bottle)))
    }
}

/// Returns the rules that one policy has and another has not.
fn added(before: &Policy, after: &Policy) -> Vec<String> {
    let had: Vec<_> = before.rules.iter().map(ToString::to_string).collect();
    after.rules.iter().map(ToString::to_string).filter(|rule| !had.contains(rule)).collect()
}
