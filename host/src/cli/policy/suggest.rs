//! `policy suggest`: what a manifest would have to say so that what a run was refused would have gone through.

use anyhow::Context;
use claude_bottle_egress_policy::{Effect, Rule};
use serde::Serialize;

use super::save::Addition;
use crate::cli::info::resolve;
use crate::cli::logs::find;
use crate::cli::{App, Format, usage};
use crate::egress::amend::rule;
use crate::egress::effective_policy;
use crate::egress::summary;
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::as_entry;
use crate::run::records::Record;
use crate::ui::Answer;
use crate::ui::interrupt::Interrupt;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle policy suggest dev                  of the newest run of `dev`
  claude-bottle policy suggest dev --save           ask of each, and add those to the manifest
  claude-bottle policy suggest dev pypi.org --save  add this one

Nothing is changed without `--save`. Hosts are what the agent asked for: add those that you trust.")]
pub(super) struct SuggestArgs {
    /// The bottle: its name, its run's id, or its agent for the newest run
    bottle: String,
    /// The rules that are meant, of those that would be printed
    #[arg(value_name = "RULE")]
    picked: Vec<String>,
    /// Add the rules to the manifest
    #[arg(long)]
    save: bool,
    /// How the rules are printed
    #[arg(long, value_enum, default_value_t, conflicts_with = "save")]
    format: Format,
}

/// A rule that would have let requests through. Its keys are a contract.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Suggestion {
    rule: String,
    /// How many requests it is about.
    requests: usize,
}

pub(super) fn run(app: &App, args: &SuggestArgs) -> CliResult {
    let records = app.runs().all()?;
    let record = find(&records, &args.bottle)?;
    let suggestions = picked(args, suggestions(app, record)?)?;
    if args.format == Format::Json {
        return Ok(app.ui.json(&suggestions)?);
    }
    if suggestions.is_empty() {
        app.ui.status(&format!("run `{}` was refused nothing that a new rule would let through", record.id));
        return Ok(());
    }
    if args.save {
        return save(app, args, record, suggestions);
    }
    app.ui.data(&lines(&suggestions));
    let save = format!("claude-bottle policy suggest {} --save", args.bottle);
    app.ui.hint(&format!("add those that you trust to bottle `{}`: {save}", record.bottle));
    app.ui
        .hint(&format!("while it runs, for that run alone: claude-bottle policy allow {} HOST", record.name));
    Ok(())
}

/// Returns the rules for what a run was refused and the manifest does not allow by now.
fn suggestions(app: &App, record: &Record) -> CliResult<Vec<Suggestion>> {
    let summary = summary::read(&app.runs().dir(&record.id))
        .with_context(|| format!("cannot read the decisions of run `{}`", record.id))?;
    let allowed = allowed_by_now(app, record)?;
    let rules = summary::rules(&summary.targets).into_iter();
    let new = rules.filter(|(rule, _)| !allowed.contains(rule));
    Ok(new.map(|(rule, requests)| Suggestion { rule, requests }).collect())
}

/// Returns the rules that the manifest has by now; none where it does not define the agent any more.
fn allowed_by_now(app: &App, record: &Record) -> CliResult<Vec<String>> {
    let Ok(manifest) = app.manifest() else { return Ok(Vec::new()) };
    let Ok((agent, bottle)) = resolve(&manifest, &record.agent) else {
        return Ok(Vec::new());
    };
    Ok(effective_policy(Some(agent), bottle)?.rules.iter().map(ToString::to_string).collect())
}

/// Returns those that the command line names, or all.
fn picked(args: &SuggestArgs, all: Vec<Suggestion>) -> CliResult<Vec<Suggestion>> {
    let is_named = |suggestion: &Suggestion| args.picked.contains(&suggestion.rule);
    let is_there = |name: &&String| all.iter().any(|suggestion| suggestion.rule == **name);
    if let Some(other) = args.picked.iter().find(|name| !is_there(name)) {
        let message = format!("`{}` is not a rule that was suggested", other.escape_debug());
        let hint = format!("see those that are: claude-bottle policy suggest {}", args.bottle);
        return Err(CliError::new(Exit::Failed, message).hint(hint));
    }
    let wants = |suggestion: &Suggestion| args.picked.is_empty() || is_named(suggestion);
    Ok(all.into_iter().filter(wants).collect())
}

/// Adds rules to the manifest: those that were named, or those that the user agrees to one by one.
fn save(app: &App, args: &SuggestArgs, record: &Record, suggestions: Vec<Suggestion>) -> CliResult {
    let agreed = if args.picked.is_empty() { ask(app, args, suggestions)? } else { suggestions };
    if agreed.is_empty() {
        app.ui.status("nothing was added");
        return Ok(());
    }
    let manifest = app.manifest()?;
    let (agent, bottle) = resolve(&manifest, &record.agent)?;
    let rules = agreed.iter().map(|suggestion| rule(&suggestion.rule, Effect::Allow));
    let rules: Vec<Rule> = rules.collect::<Result<_, _>>().map_err(anyhow::Error::new)?;
    match Addition::prepare(app, (agent, bottle), &rules)? {
        Some(addition) => addition.save(app),
        None => {
            app.ui.status("the manifest says so already");
            Ok(())
        }
    }
}

fn ask(app: &App, args: &SuggestArgs, suggestions: Vec<Suggestion>) -> CliResult<Vec<Suggestion>> {
    if !app.ui.interactive {
        let error = usage("`--save` asks of each rule, and standard input is not a terminal");
        return Err(
            error.hint(format!("name them: claude-bottle policy suggest {} RULE --save", args.bottle))
        );
    }
    let interrupt = Interrupt::install()?;
    let mut agreed = Vec::new();
    for suggestion in suggestions {
        let question = format!("allow {} ({})?", suggestion.rule, times(suggestion.requests));
        match app.ui.ask(&question, &interrupt)? {
            Some(Answer::Yes) => agreed.push(suggestion),
            Some(Answer::No) => {}
            None => return Err(CliError::new(Exit::Interrupted, "interrupted; nothing was added")),
        }
    }
    Ok(agreed)
}

fn times(requests: usize) -> String {
    format!("{requests} {}", if requests == 1 { "request" } else { "requests" })
}

/// Formats rules as the part of a manifest that they go into.
fn lines(suggestions: &[Suggestion]) -> String {
    let line = |Suggestion { rule, requests }: &Suggestion| {
        format!("    - {}  # {}", as_entry(rule), times(*requests))
    };
    let rules: Vec<_> = suggestions.iter().map(line).collect();
    format!("egress:\n  allowlist:\n{}", rules.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_lines_of_a_manifest() {
        let suggestion = |rule: &str, requests| Suggestion { rule: rule.to_owned(), requests };
        let text = lines(&[suggestion("a.test", 4), suggestion("[2001:db8::1]", 1)]);
        assert_eq!(
            text,
            "egress:\n  allowlist:\n    - a.test  # 4 requests\n    - \"[2001:db8::1]\"  # 1 request"
        );
    }
}
