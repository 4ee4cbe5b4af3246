//! `policy allow` and `policy deny`: a running bottle's policy, changed at once and for this run alone.

use claude_bottle_egress_policy::{Effect, Rule};
use claude_bottle_plugin_api::{Bottle, Capability, Failure, FailureKind};

use super::running::{only, send, settled};
use crate::cli::app::Calls;
use crate::cli::{App, usage};
use crate::egress::amend::{AmendError, amend, rule};
use crate::egress::live::LivePolicy;
use crate::error::{CliError, CliResult, Exit};
use crate::run::backend::Backend;
use crate::run::records::Record;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy allow dev registry.npmjs.org      443 and 80, in the only bottle of `dev`
  claude-bottle policy allow dev git.example:22 '*.cdn.example'
  claude-bottle policy deny claude-bottle-dev-2 pypi.org

It counts for every request from now on, and ends with the bottle. To change what new bottles may
reach, edit the manifest: claude-bottle edit")]
pub(super) struct ChangeArgs {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
    /// Hosts, as in `egress.allowlist` of the manifest
    #[arg(value_name = "HOST[:PORT]", required = true)]
    hosts: Vec<String>,
}

pub(super) fn run(app: &App, args: &ChangeArgs, effect: Effect) -> CliResult {
    let rules = args.hosts.iter().map(|host| rule(host, effect).map_err(wrong_host));
    let rules: Vec<Rule> = rules.collect::<CliResult<_>>()?;
    let (run, bottle) = only(app, &args.bottle)?;
    let calls = Calls::new(app)?;
    let backend = app.open(&run.backend, &calls)?;
    if !backend.offers(&Capability::RELOAD) {
        let message = format!("the {} backend cannot change the policy of a running bottle", backend.name());
        return Err(CliError::new(Exit::Failed, message).hint(restart(&run)));
    }
    let dir = app.runs().dir(&run.id);
    let _lock = LivePolicy::lock(&dir)?;
    let mut live = settled(&backend, &bottle, LivePolicy::read(&dir, &run)?)?;
    let changed = amend_all(&backend, &run, &bottle, &mut live, &rules)?;
    calls.progress.clear();
    let (name, hosts) = (&run.name, args.hosts.join(", "));
    app.ui.status(&match (changed, effect) {
        (true, Effect::Allow) => format!("{name} may reach {hosts} from now on, until it ends"),
        (true, Effect::Deny) => format!("{name} may not reach {hosts} any more, until it ends"),
        (false, Effect::Allow) => format!("{name} may reach {hosts} already; nothing was changed"),
        (false, Effect::Deny) => format!("{name} may not reach {hosts} already; nothing was changed"),
    });
    if !backend.offers(&Capability::EGRESS) {
        let text = format!(
            "the {} backend does not enforce the egress policy: every host may be reached",
            backend.name()
        );
        app.ui.warning(&text);
    }
    Ok(())
}

/// Sends the policy with these rules, unless it has them, and notes what came of that.
fn amend_all(
    backend: &Backend,
    run: &Record,
    bottle: &Bottle,
    live: &mut LivePolicy,
    rules: &[Rule],
) -> CliResult<bool> {
    let next = amend(live.policy(), rules).map_err(denied)?;
    let Some(change) = live.policy().change_to(&next) else { return Ok(false) };
    live.begin()?;
    match send(backend, bottle, &next) {
        Ok(()) => {
            live.replace(next, change)?;
            Ok(true)
        }
        Err(failure) => {
            if is_refused(&failure) {
                live.keep()?;
            }
            let is_restart = failure.kind == FailureKind::Unsupported;
            let error = CliError::from(failure);
            Err(if is_restart { error.hint(restart(run)) } else { error })
        }
    }
}

/// Returns `true` if a failure says that the old policy counts.
fn is_refused(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Invalid | FailureKind::Unsupported | FailureKind::NotFound)
}

fn restart(run: &Record) -> String {
    format!(
        "change the manifest and start the bottle again: claude-bottle edit; claude-bottle stop {}",
        run.name
    )
}

fn wrong_host(error: AmendError) -> CliError {
    let AmendError::NotAHost { source, .. } = &error else { return anyhow::Error::new(error).into() };
    usage(format!("{error}: {}", source.with_cause()))
}

fn denied(error: AmendError) -> CliError {
    CliError::from(anyhow::Error::new(error))
        .hint("take that rule out of the manifest, and start the bottle again: claude-bottle edit")
}
