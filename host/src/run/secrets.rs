//! The secret values of a run, from the manifest's entries and the token, asked for when the user has agreed.

use std::collections::BTreeMap;

use claude_bottle_egress_policy::{GuardSecret, GuardSecrets, Intercept};
use claude_bottle_plugin_api::Secret;

use crate::egress::{credentials, upstream};
use crate::environment::Invocation;
use crate::error::{CliError, Exit};
use crate::manifest::{Bottle, EnvEntry, EnvSource, ProxyKind, SecretEntry, SecretSource};
use crate::run::plugin_services::Secrets;
use crate::run::token::Granted;
use crate::run::values::{self, ValueError};
use crate::run::variables::{self, AskError, AskSecret, EnvError, Question};
use crate::ui::Ui;
use crate::ui::interrupt::Interrupt;

/// The values of one run, by variable.
pub struct RunSecrets(BTreeMap<String, Secret>);

impl Secrets for RunSecrets {
    fn get(&self, name: &str) -> Option<Secret> {
        self.0.get(name).map(|secret| Secret::new(secret.expose().to_vec()))
    }

    fn all(&self) -> Option<GuardSecrets> {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let entry = |(name, secret): (&String, &Secret)| GuardSecret {
            name: name.clone(),
            value: text(secret),
            hosts: Vec::new(),
        };
        Some(GuardSecrets { entries: self.0.iter().map(entry).collect() })
    }
}

/// Fails before the question when a variable of the host is missing.
pub fn check(invocation: &Invocation, bottle: &Bottle) -> Result<(), CliError> {
    let entries = with_asked(&bottle.env, &bottle.secrets);
    Ok(variables::check_host_variables(&entries, |name| invocation.host_variable(name).is_some())?)
}

/// Says which variables the agent reads that the guard could hold.
pub fn note(bottle: &Bottle) -> Option<String> {
    let is_closed =
        bottle.egress.proxy == Some(ProxyKind::Pipelock) || bottle.egress.intercept.mode == Intercept::None;
    let is_readable = |entry: &&EnvEntry| {
        !matches!(entry.source, EnvSource::Literal(_))
            && credentials::of_variable(entry.name.as_str()).is_some()
    };
    let names: Vec<_> = bottle.env.iter().filter(is_readable).map(|entry| entry.name.as_str()).collect();
    (!is_closed && !names.is_empty()).then(|| {
        format!("the agent can read {}; under `secrets` in place of `env` it cannot", names.join(", "))
    })
}

/// Returns the variables, and the secrets whose values come as those of variables do.
fn with_asked(env: &[EnvEntry], secrets: &[SecretEntry]) -> Vec<EnvEntry> {
    let asked = secrets.iter().filter_map(|secret| {
        let source = match &secret.source {
            SecretSource::Ask { message } => EnvSource::Ask { message: message.clone() },
            SecretSource::Host { variable } => EnvSource::Host { variable: variable.clone() },
            SecretSource::File(_) | SecretSource::Command { .. } => return None,
        };
        Some(EnvEntry { name: secret.name.clone(), source, origin: secret.origin.clone() })
    });
    env.iter().cloned().chain(asked).collect()
}

/// Returns the value of a secret that is no question's and no variable's; `None` of another.
fn value_of(secret: &SecretEntry, invocation: &Invocation) -> Result<Option<Secret>, ValueError> {
    match &secret.source {
        SecretSource::File(path) => values::of_file(path).map(Some),
        SecretSource::Command { words, .. } => values::of_command(words, &invocation.home).map(Some),
        SecretSource::Ask { .. } | SecretSource::Host { .. } => Ok(None),
    }
}

/// Takes all values; asks on the terminal, or fails with why that is not to be had.
pub fn resolve(
    terminal: Result<&Ui, AskError>,
    invocation: &Invocation,
    granted: &Granted,
    upstream: Option<&upstream::Found>,
    interrupt: &Interrupt,
) -> Result<RunSecrets, CliError> {
    let mut asker = Asker { terminal, interrupt };
    let readable = granted.readable.iter().map(|token| &token.entry);
    let secrets: Vec<_> = granted.bottle.secrets.iter().chain(readable).cloned().collect();
    let entries = with_asked(&granted.bottle.env, &secrets);
    let resolved = variables::resolve(&entries, |name| invocation.host_variable(name), &mut asker)?;
    let values = resolved.secrets.into_iter().map(|(name, secret)| (name.to_string(), secret));
    let mut values: BTreeMap<_, _> = values.collect();
    for secret in &secrets {
        let name = secret.name.as_str();
        let failed = |source| {
            anyhow::Error::new(source)
                .context(format!("{}: cannot take the value of the secret `{name}`", secret.origin))
        };
        if let Some(value) = value_of(secret, invocation).map_err(failed)? {
            values.insert(name.to_owned(), value);
        }
        values.get(name).map_or(Ok(()), values::check).map_err(failed)?;
    }
    if let Some(credentials) = upstream.and_then(|found| found.credentials.as_ref()) {
        values.insert(upstream::CREDENTIALS.to_owned(), Secret::new(credentials.as_bytes().to_vec()));
    }
    Ok(RunSecrets(values))
}

struct Asker<'a> {
    terminal: Result<&'a Ui, AskError>,
    interrupt: &'a Interrupt,
}

impl AskSecret for Asker<'_> {
    fn ask(&mut self, question: &Question<'_>) -> Result<Secret, AskError> {
        let ui = self.terminal.clone()?;
        let text = match question.message {
            Some(message) => format!("{message} ({})", question.name),
            None => question.name.to_string(),
        };
        match ui.ask_secret(&text, self.interrupt) {
            Ok(Some(mut answer)) => Ok(Secret::new(std::mem::take(&mut *answer))),
            Ok(None) => Err(AskError::Interrupted),
            Err(error) => Err(AskError::Terminal { reason: error.to_string() }),
        }
    }
}

impl From<EnvError> for CliError {
    fn from(error: EnvError) -> Self {
        let interrupted = matches!(error, EnvError::Ask { source: AskError::Interrupted, .. });
        let hint = error.hint().unwrap_or_default();
        let exit = if interrupted { Exit::Interrupted } else { Exit::Failed };
        Self::from(anyhow::Error::new(error)).exit(exit).hint(hint)
    }
}
