//! What all connections share: the current configuration, the log, and the count of places.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use claude_bottle_egress_policy::{
    Code, DlpConfig, GuardConfig, GuardSecret, GuardSecrets, Intercept, LogEvent, LogRecord, Policy, Verdict,
};
use hyper::header::HeaderValue;
use serde_json::json;
use tokio::sync::watch;
use tokio_rustls::rustls::ClientConfig;

use super::admit::{self, Denial};
use super::asking::Questions;
use super::request::Request;
use super::uploads::Uploads;
use super::upstream_proxy;
use crate::dlp::Inspector;
use crate::dlp::mask::Mask;
use crate::error::GuardError;
use crate::held::Held;
use crate::http::destination::Destination;
use crate::log::{Logger, event, notice};
use crate::net::resolve::{Resolver, system_name_servers};
use crate::tls::authority::Authority;
use crate::tls::roots;

/// How many values of a held secret are known at a time: the one that is put in, and those before it.
const MOST_VALUES: usize = 8;

/// One configuration with everything made from it. A reload makes a new one; requests under way keep theirs.
pub struct Snapshot {
    /// The configuration.
    pub config: GuardConfig,
    /// Looks names up as configured.
    pub(crate) resolver: Arc<Resolver>,
    /// Looks for credentials as configured.
    pub(crate) inspector: Arc<Inspector>,
    /// Every secret of the bottle, as it was handed over; of a held one the values that it had before as well.
    secrets: Arc<GuardSecrets>,
    /// The secrets that are put into requests.
    pub(crate) held: Held,
    /// Overwrites those secrets in answers.
    answers: Arc<Mask>,
    /// What the proxy above this one is told of who asks.
    pub(crate) proxy_authorization: Option<HeaderValue>,
    /// How TLS is spoken with hosts whose tunnels are opened; none where no tunnel is.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Snapshot {
    /// Makes everything the configuration asks for, with the secrets from where it says.
    pub fn new(config: GuardConfig) -> Result<Self, GuardError> {
        let secrets = read_secrets(&config.dlp)?;
        Self::with_secrets(config, &secrets)
    }

    /// Makes everything the configuration asks for, with secrets that were handed over with it.
    pub fn with_secrets(config: GuardConfig, secrets: &GuardSecrets) -> Result<Self, GuardError> {
        let servers = match config.resolver {
            Some(server) => vec![server],
            // Without a name server only static hosts work, and every other name says so.
            None => system_name_servers().unwrap_or_default(),
        };
        let timeout = Duration::from_secs(config.limits.resolve_timeout_seconds);
        let held = Held::new(&config.policy.secrets, secrets)?;
        let inspector = Inspector::new(&config.dlp, &held.for_inspection(secrets))?;
        let inspector = inspector.with_placeholders(held.placeholders());
        for name in inspector.skipped_secrets() {
            event("secret_too_short", &json!({ "name": name }));
        }
        let proxy_authorization = upstream_proxy::authorization(&config, secrets)?;
        let tls = opens(&config).then(|| roots::client(&config.roots)).transpose()?;
        let resolver = Arc::new(Resolver::new(&servers, timeout));
        let answers = Arc::new(Mask::new(held.values_among(secrets))?);
        let (inspector, secrets) = (Arc::new(inspector), Arc::new(secrets.clone()));
        Ok(Self { secrets, resolver, inspector, held, answers, proxy_authorization, tls, config })
    }

    /// Returns the same with another value for a held secret. What it had before is looked for and masked as ever: it may still be
    /// good.
    fn with_secret(&self, secret: GuardSecret) -> Result<Self, GuardError> {
        let name = secret.name.clone();
        if !self.config.policy.secrets.iter().any(|held| held.name == name) {
            return Err(GuardError::NotHeld { name });
        }
        let mut secrets = GuardSecrets::clone(&self.secrets);
        secrets.entries.insert(0, secret);
        let mut values = 0;
        secrets.entries.retain(|entry| {
            values += usize::from(entry.name == name);
            entry.name != name || values <= MOST_VALUES
        });
        let next = Self::with_secrets(self.config.clone(), &secrets)?;
        Ok(Self { resolver: Arc::clone(&self.resolver), ..next })
    }

    /// Returns the same with another policy: its secrets, for one, were given once.
    fn with_policy(&self, policy: Policy) -> Result<Self, GuardError> {
        let config = self.config.with_policy(policy).map_err(|source| GuardError::Policy { source })?;
        Ok(Self {
            config,
            secrets: Arc::clone(&self.secrets),
            resolver: Arc::clone(&self.resolver),
            inspector: Arc::clone(&self.inspector),
            held: self.held.clone(),
            answers: Arc::clone(&self.answers),
            proxy_authorization: self.proxy_authorization.clone(),
            tls: self.tls.clone(),
        })
    }
}

impl Snapshot {
    /// Returns what is overwritten in answers from this place; `None` when no secret goes there.
    pub(crate) fn answers(&self, from: &Destination) -> Option<&Mask> {
        self.held.goes_to(&from.host, from.port, from.scheme).then_some(&self.answers)
    }
}

/// Returns `true` if tunnels to some hosts are opened.
fn opens(config: &GuardConfig) -> bool {
    config.policy.intercept != Intercept::None
}

/// Reads the bottle's secrets from where the configuration says.
fn read_secrets(config: &DlpConfig) -> Result<GuardSecrets, GuardError> {
    let text = match (&config.secrets_file, &config.secrets_env) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map_err(|source| GuardError::ReadFile { path: path.clone(), source })?,
        (None, Some(name)) => {
            std::env::var(name).map_err(|_| GuardError::NoSecretsVariable { name: name.clone() })?
        }
        (None, None) => return Ok(GuardSecrets::default()),
    };
    GuardSecrets::from_json(&text).map_err(|source| GuardError::Secrets { source })
}

/// Shared by all connections.
pub struct Server {
    snapshot: RwLock<Arc<Snapshot>>,
    pub(crate) logger: Logger,
    pub(crate) own_address: Option<SocketAddr>,
    /// The bottle's own authority; none where no tunnel is opened.
    pub(crate) authority: Option<Authority>,
    places: Arc<AtomicUsize>,
    connections: AtomicU64,
    stop: watch::Sender<bool>,
    /// Told of each new configuration.
    changed: watch::Sender<()>,
    pub(super) questions: Questions,
    pub(super) uploads: Uploads,
}

/// Returns the line for a change of the policy.
fn change_record(bottle: &str, change: &str) -> LogRecord {
    let reason = format!("the policy was changed: {change}");
    notice(bottle, LogEvent::Policy, (Verdict::Allow, Code::Allowed), reason)
}

/// One of the limited places for clients, given back when dropped.
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    /// Returns a server that answers by `snapshot` and never dials `own_address`.
    ///
    /// # Errors
    /// Fails when tunnels are to be opened and the bottle's authority cannot be made.
    pub fn new(
        snapshot: Snapshot,
        logger: Logger,
        own_address: Option<SocketAddr>,
    ) -> Result<Self, GuardError> {
        let config = &snapshot.config;
        let make = || Authority::new(&config.bottle, &config.policy);
        let authority = opens(config).then(make).transpose()?;
        Ok(Self {
            authority,
            snapshot: RwLock::new(Arc::new(snapshot)),
            logger,
            own_address,
            places: Arc::default(),
            connections: AtomicU64::new(1),
            stop: watch::Sender::new(false),
            changed: watch::Sender::new(()),
            questions: Questions::default(),
            uploads: Uploads::default(),
        })
    }

    /// Returns the bottle's own authority; none where no tunnel is opened.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// Returns the current configuration.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        // A panic elsewhere cannot leave half an `Arc` behind, so a poisoned lock still holds a whole one.
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the configuration for requests from now on; what is under way and allowed no more ends.
    ///
    /// What is bound once at the start cannot change.
    pub async fn replace(&self, next: Snapshot) -> Result<(), GuardError> {
        let current = self.snapshot();
        if current.config.listen != next.config.listen {
            return Err(GuardError::NeedsRestart { key: "listen" });
        }
        if current.config.socket_access != next.config.socket_access {
            return Err(GuardError::NeedsRestart { key: "socket_access" });
        }
        if current.config.log != next.config.log {
            return Err(GuardError::NeedsRestart { key: "log" });
        }
        if opens(&current.config) != opens(&next.config) {
            return Err(GuardError::NeedsRestart { key: "policy.intercept" });
        }
        // The trust files have them too, and are written once.
        if current.config.roots != next.config.roots {
            return Err(GuardError::NeedsRestart { key: "roots" });
        }
        // Their values are given once.
        if current.config.policy.secrets != next.config.policy.secrets {
            return Err(GuardError::NeedsRestart { key: "policy.secrets" });
        }
        let outside = self.authority.as_ref().and_then(|authority| authority.outside(&next.config.policy));
        if let Some(host) = outside {
            return Err(GuardError::OutsideAuthority { host });
        }
        self.put(next).await;
        Ok(())
    }

    /// Replaces the policy alone.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), GuardError> {
        let next = self.snapshot().with_policy(policy)?;
        self.replace(next).await
    }

    /// Gives a held secret another value, for requests from now on.
    pub async fn set_secret(&self, secret: GuardSecret) -> Result<(), GuardError> {
        let change = format!("the secret `{}` has another value", secret.name);
        let next = self.snapshot().with_secret(secret)?;
        let bottle = next.config.bottle.clone();
        self.put(next).await;
        self.logger.write(change_record(&bottle, &change)).await;
        Ok(())
    }

    /// Lets a configuration count from now on, and writes to the log what it changes.
    async fn put(&self, next: Snapshot) {
        let next = Arc::new(next);
        let before = {
            let mut current = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, Arc::clone(&next))
        };
        self.tell_change(&before, &next).await;
    }

    /// Lets all that is open look at a new configuration, and writes to the log what it changes.
    async fn tell_change(&self, before: &Snapshot, next: &Snapshot) {
        self.changed.send_replace(());
        if let Some(change) = before.config.policy.change_to(&next.config.policy) {
            self.logger.write(change_record(&next.config.bottle, &change)).await;
        }
    }

    /// Takes rules out of the policy that counts; `None` when there is nothing to take out. One that was replaced meanwhile is
    /// another's to narrow.
    pub(super) async fn narrow<T>(&self, narrow: impl FnOnce(&Policy) -> Option<(Policy, T)>) -> Option<T> {
        let (before, next, taken) = {
            let mut current = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            let (left, taken) = narrow(&current.config.policy)?;
            // A policy with fewer rules is as good as it was.
            let next = Arc::new(current.with_policy(left).ok()?);
            (std::mem::replace(&mut *current, Arc::clone(&next)), next, taken)
        };
        self.tell_change(&before, &next).await;
        Some(taken)
    }

    /// Returns what is told of each new configuration.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until a request that was allowed is allowed no more, and returns why.
    ///
    /// `asked` is where it leads and by which method, and `address` is where it was sent, when the guard has looked that up itself.
    pub(crate) async fn withdrawn(
        &self,
        request: &Request,
        asked: (&Destination, &str),
        address: Option<IpAddr>,
    ) -> Denial {
        let mut changed = self.changed.subscribe();
        loop {
            let now = self.snapshot();
            if !Arc::ptr_eq(&now, &request.snapshot)
                && let Err(denial) = admit::decide_again(&now, asked, address)
            {
                return denial;
            }
            // The sender lives as long as `self`.
            changed.changed().await.ok();
        }
    }

    /// Asks every connection to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until [`Self::stop`] is called.
    pub async fn stopped(&self) {
        let mut receiver = self.stop.subscribe();
        // The sender lives as long as `self`, so this ends with the call only.
        receiver.wait_for(|stop| *stop).await.ok();
    }

    /// Returns `true` once [`Self::stop`] was called.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns the number of clients at this moment.
    pub fn clients(&self) -> usize {
        self.places.load(Ordering::Acquire)
    }

    pub(crate) fn take_permit(&self, limit: usize) -> Option<Permit> {
        let taken =
            self.places.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < limit).then_some(n + 1));
        taken.is_ok().then(|| Permit(Arc::clone(&self.places)))
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }
}
