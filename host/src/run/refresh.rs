//! Secrets whose command is asked again while the agent runs: what it prints then is what the guard puts in from there on.
//!
//! The agent has the placeholder and notices nothing. Nothing is said while the agent has the terminal: what failed is told at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{Bottle, ReloadRequest, Secret};

use crate::egress::live::LivePolicy;
use crate::manifest::{SecretEntry, SecretSource};
use crate::run::backend::{Backend, Verb};
use crate::run::plugin_services::Secrets;
use crate::run::values;

/// A secret that is asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    name: String,
    words: Vec<String>,
    every: Duration,
}

impl Refresh {
    /// Returns those among a bottle's secrets.
    pub fn all(secrets: &[SecretEntry]) -> Vec<Self> {
        let of = |secret: &SecretEntry| match &secret.source {
            SecretSource::Command { words, refresh } => {
                Some(Self { name: secret.name.to_string(), words: words.clone(), every: (*refresh)? })
            }
            _ => None,
        };
        secrets.iter().filter_map(of).collect()
    }
}

/// How often a secret could not be had again, and why the last time.
pub type Failed = BTreeMap<String, (usize, String)>;

/// Asks again as long as it lives.
pub struct Refresher {
    /// Dropped to end it.
    _stop: Sender<()>,
    failed: Arc<Mutex<Failed>>,
}

/// Where values come from and go to.
struct Way {
    backend: Backend,
    bottle: Bottle,
    home: PathBuf,
    run_dir: PathBuf,
}

impl Refresher {
    /// Begins, if there is anything to ask for.
    pub fn start(
        backend: &Backend,
        bottle: &Bottle,
        (home, run_dir): (&Path, &Path),
        wanted: &[Refresh],
    ) -> Option<Self> {
        if wanted.is_empty() {
            return None;
        }
        let (backend, bottle) = (backend.unseen(), bottle.clone());
        let way = Way { backend, bottle, home: home.to_owned(), run_dir: run_dir.to_owned() };
        let (stop, stopped) = channel();
        let failed = Arc::<Mutex<Failed>>::default();
        let (noted, wanted) = (Arc::clone(&failed), wanted.to_vec());
        let work = move || {
            let mut due: Vec<_> =
                wanted.iter().map(|secret| (Instant::now() + secret.every, secret)).collect();
            while let Some((when, secret)) = due.iter_mut().min_by_key(|(when, _)| *when) {
                let wait = when.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if let Err(reason) = way.renew(secret) {
                    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    let entry = noted.entry(secret.name.clone()).or_default();
                    *entry = (entry.0 + 1, reason);
                }
                *when = Instant::now() + secret.every;
            }
        };
        // Without a thread the value of the start stays, which the guard's host will say.
        thread::Builder::new().name("refresh".to_owned()).spawn(work).ok()?;
        Some(Self { _stop: stop, failed })
    }

    /// Ends it, and returns what failed. One that asks just now is not waited for: its value would not be used any more.
    pub fn end(self) -> Failed {
        std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The one value that a call is given.
struct Renewed {
    name: String,
    value: Secret,
}

impl Secrets for Renewed {
    fn get(&self, name: &str) -> Option<Secret> {
        (name == self.name).then(|| Secret::new(self.value.expose().to_vec()))
    }
}

impl Way {
    /// Asks for a secret, and hands it to the guard. What failed is told without a word of a value.
    fn renew(&self, secret: &Refresh) -> Result<(), String> {
        let value = values::of_command(&secret.words, &self.home).map_err(|error| error.to_string())?;
        let mut backend = self.backend.clone();
        backend.grant(Arc::new(Renewed { name: secret.name.clone(), value }));
        let _lock = LivePolicy::lock(&self.run_dir).map_err(|error| format!("{error:#}"))?;
        let (bottle, request) = (self.bottle.clone(), ReloadRequest::of_secret(&secret.name));
        let answer =
            backend.call_through(Verb::RELOAD, move |opened, call| opened.reload(call, &bottle, &request));
        match answer {
            Ok(answer) if answer.applied => Ok(()),
            Ok(_) => Err("the backend does not say that the value counts".to_owned()),
            Err(failure) => Err(failure.message),
        }
    }
}

/// Says what failed, a sentence for each secret.
pub fn told(failed: &Failed) -> Vec<String> {
    let say = |(name, (count, reason)): (&String, &(usize, String))| {
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        format!("the secret `{name}` could not be had again, {times}, and kept its value: {reason}")
    };
    failed.iter().map(say).collect()
}
