//! `policy allow` and `policy deny`: a running bottle's policy, changed at once, for this run and, with `--save`, for later ones.

use claude_bottle_egress_policy::{Effect, Rule, date_time};
use claude_bottle_plugin_api::{Bottle, Capability, Failure, FailureKind};

use super::running::{live_runs, only, send, settled};
use super::save::Addition;
use crate::cli::app::Calls;
use crate::cli::info::resolve;
use crate::cli::{App, duration, usage};
use crate::egress::amend::{AmendError, ORIGIN, amend, rule};
use crate::egress::live::{LivePolicy, now};
use crate::error::{CliError, CliResult, Exit};
use crate::run::backend::Backend;
use crate::run::records::Record;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy allow dev registry.npmjs.org      443 and 80, in the only bottle of `dev`
  claude-bottle policy allow dev git.example:22 '*.cdn.example' --for 2h
  claude-bottle policy allow dev pypi.org --save         and in the manifest, for new bottles
  claude-bottle policy deny claude-bottle-dev-2 pypi.org

It counts for every request from now on, and ends with the bottle. `--save` adds the rule to the
manifest as well, whose comments and order stay; where no bottle runs, to the manifest alone.")]
pub(super) struct ChangeArgs {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
    /// Hosts, as in `egress.allowlist` of the manifest
    #[arg(value_name = "HOST[:PORT]", required = true)]
    hosts: Vec<String>,
    /// End it by itself after this time, as 30m or 2h
    #[arg(long = "for", value_name = "TIME", conflicts_with = "save")]
    lasting: Option<String>,
    /// Write it into the manifest as well, for new bottles
    #[arg(long)]
    save: bool,
}

impl ChangeArgs {
    fn rules(&self, effect: Effect) -> CliResult<Vec<Rule>> {
        let until = self.lasting.as_deref().map(duration::parse).transpose()?.map(|length| now() + length);
        let rules = self.hosts.iter().map(|host| {
            let rule = rule(host, effect).map_err(wrong_host)?;
            Ok(until.map_or_else(|| rule.clone(), |until| rule.clone().ending(until)))
        });
        rules.collect()
    }
}

pub(super) fn run(app: &App, args: &ChangeArgs, effect: Effect) -> CliResult {
    let rules = args.rules(effect)?;
    if args.save && live_runs(app, &args.bottle)?.is_empty() {
        let manifest = app.manifest()?;
        let (agent, bottle) = resolve(&manifest, &args.bottle)?;
        save(app, Addition::prepare(app, (agent, bottle), &rules)?.as_ref())?;
        app.ui.status(&format!("no bottle of `{}` is running; it counts for the next", agent.name));
        return Ok(());
    }
    let (run, bottle) = only(app, &args.bottle)?;
    let addition = args.save.then(|| addition(app, &run, &rules)).transpose()?;
    let is_changed = change(app, &run, &bottle, &rules)?;
    app.ui.status(&said(&run, args, effect, (is_changed, &rules)));
    addition.map_or(Ok(()), |addition| save(app, addition.as_ref()))
}

/// Makes the manifest's change for the bottle that a run has.
fn addition(app: &App, run: &Record, rules: &[Rule]) -> CliResult<Option<Addition>> {
    let manifest = app.manifest()?;
    let (agent, bottle) = resolve(&manifest, &run.agent)?;
    if bottle.name.as_str() == run.bottle {
        return Addition::prepare(app, (agent, bottle), rules);
    }
    let (agent, here, was) = (&run.agent, &bottle.name, &run.bottle);
    let message =
        format!("`{agent}` runs in bottle `{was}`, and by the manifest of this directory in `{here}`");
    Err(CliError::new(Exit::Failed, message)
        .hint("run it where the bottle was started, or leave out `--save`"))
}

fn save(app: &App, addition: Option<&Addition>) -> CliResult {
    match addition {
        Some(addition) => addition.save(app),
        None => {
            app.ui.status("the manifest says so already");
            Ok(())
        }
    }
}

fn said(run: &Record, args: &ChangeArgs, effect: Effect, (is_changed, rules): (bool, &[Rule])) -> String {
    let (name, hosts) = (&run.name, args.hosts.join(", "));
    let until = rules.first().and_then(Rule::until);
    let (now, more, end) = match until {
        Some(until) => ("", "", format!(" until {}Z", date_time(until))),
        None => (" from now on", " any more", ", until it ends".to_owned()),
    };
    match (is_changed, effect) {
        (true, Effect::Allow) => format!("{name} may reach {hosts}{now}{end}"),
        (true, Effect::Deny) => format!("{name} may not reach {hosts}{more}{end}"),
        (false, Effect::Allow) => format!("{name} may reach {hosts} already; nothing was changed"),
        (false, Effect::Deny) => format!("{name} may not reach {hosts} already; nothing was changed"),
    }
}

/// Adds rules to the policy of a bottle that runs; returns `true` if that changed it.
pub(in crate::cli) fn change(app: &App, run: &Record, bottle: &Bottle, rules: &[Rule]) -> CliResult<bool> {
    let calls = Calls::new(app)?;
    let backend = app.open(&run.backend, &calls)?;
    if !backend.offers(&Capability::RELOAD) {
        let message = format!("the {} backend cannot change the policy of a running bottle", backend.name());
        return Err(CliError::new(Exit::Failed, message).hint(restart(run)));
    }
    let dir = app.runs().dir(&run.id);
    let _lock = LivePolicy::lock(&dir)?;
    let mut live = settled(&backend, bottle, LivePolicy::read(&dir, run)?)?;
    let is_changed = amend_all(&backend, run, bottle, &mut live, rules)?;
    calls.progress.clear();
    if !backend.offers(&Capability::EGRESS) {
        let text = format!(
            "the {} backend does not enforce the egress policy: every host may be reached",
            backend.name()
        );
        app.ui.warning(&text);
    }
    Ok(is_changed)
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

pub(super) fn denied(error: AmendError) -> CliError {
    let hint = match &error {
        AmendError::Denied { origin, .. } if origin == ORIGIN => {
            "allow it without `--for`, which takes that rule back"
        }
        _ => "take that rule out of the manifest, and start the bottle again: claude-bottle edit",
    };
    CliError::from(anyhow::Error::new(error)).hint(hint)
}
