//! Another policy for a guard that runs, or another value for a secret that it holds: what a backend sends it, and which answer is
//! the one to that.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claude_bottle_egress_policy::{
    ConfigError, GuardConfig, GuardSecret, Listen, MOST_RELOAD_BYTES, Policy, Reload, ReloadAnswer,
    SecretHost, SecretReload,
};
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, ReloadRequest, Reloaded, Result};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::secrets::not_text;

/// How long a guard may take to answer: a busy machine may be slow to schedule it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A policy or a value on its way to a guard, which takes it by a line of its standard input or on its control socket.
pub struct GuardChange {
    name: String,
    line: Zeroizing<Vec<u8>>,
}

impl GuardChange {
    /// Reads what is asked for, and takes the value of a secret from the call.
    ///
    /// # Errors
    /// Fails for a document that is not a policy with which a guard could start, and for a secret that the call does not grant.
    pub fn new(call: &Call, request: &ReloadRequest) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}-{}", std::process::id(), since.as_nanos());
        let line = match &request.secret {
            Some(secret) => secret_line(call, &name, secret)?,
            None => {
                let line = Reload { name: name.clone(), policy: policy(request)? }.to_line();
                line.failure(FailureKind::Internal, || "cannot write the policy")?.into()
            }
        };
        if line.len() > MOST_RELOAD_BYTES {
            let message = format!("the policy has {} bytes; a guard takes {MOST_RELOAD_BYTES}", line.len());
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        Ok(Self { name, line })
    }

    /// Returns the line that the guard is to read, with its end.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Reads a line that the guard says; `None` when it is not the answer to this.
    pub fn answer(&self, line: &[u8]) -> Option<Result<Reloaded>> {
        match serde_json::from_slice(line).ok()? {
            ReloadAnswer::Reloaded { reload } if reload == self.name => Some(Ok(Reloaded::applied())),
            ReloadAnswer::ReloadFailed { reload, error } if reload == self.name => {
                let message = format!("the guard keeps its policy: {}", crate::printable(&error));
                Some(Err(Failure::new(FailureKind::Invalid, message)))
            }
            _ => None,
        }
    }

    /// Sends it to a control socket, and waits for the answer.
    ///
    /// # Errors
    /// Fails when the guard refuses it, and when no answer comes.
    pub fn send(&self, call: &Call, stream: &UnixStream) -> Result<Reloaded> {
        call.check()?;
        let exchange = || {
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut to = stream;
            to.write_all(&self.line)?;
            let mut answer = Vec::new();
            BufReader::new(stream).take(MOST_RELOAD_BYTES as u64).read_until(b'\n', &mut answer)?;
            Ok(answer)
        };
        let answer: std::io::Result<Vec<u8>> = exchange();
        let answer = answer.failure(FailureKind::Unreachable, || "cannot give the guard another policy")?;
        self.answer(&answer).unwrap_or_else(|| Err(unanswered()))
    }
}

/// Writes the line that gives a held secret the value which the call has for it.
fn secret_line(call: &Call, name: &str, secret: &str) -> Result<Zeroizing<Vec<u8>>> {
    let value = call.secret(secret)?;
    let value = std::str::from_utf8(value.expose()).map_err(|_| not_text(secret))?.to_owned();
    let secret = GuardSecret { name: secret.to_owned(), value, hosts: Vec::new() };
    let request = SecretReload { name: name.to_owned(), secret };
    let mut line = Zeroizing::new(Vec::with_capacity(256 + 6 * request.secret.value.len()));
    let written = serde_json::to_writer(&mut *line, &request);
    drop(Zeroizing::new(request.secret.value));
    written.failure(FailureKind::Internal, || "cannot write the secret for the guard")?;
    line.push(b'\n');
    Ok(line)
}

/// Reads a policy as a guard does, without one.
///
/// # Errors
/// Fails for a document that is not a policy with which a guard could start.
pub fn policy(request: &ReloadRequest) -> Result<Policy> {
    let wrong = || "the document is not a policy";
    // A list would be read as the fields of a policy in their order.
    if !request.document.is_object() {
        return Err(Failure::new(FailureKind::Invalid, wrong()));
    }
    let policy = Policy::deserialize(&request.document).failure(FailureKind::Invalid, wrong)?;
    let mut config = GuardConfig::new("", Listen::Unix("/".into()), Policy::default());
    // Those of the guard stay as they are.
    "any".clone_into(&mut config.roots);
    let hosts = policy.secrets.iter().flat_map(|secret| &secret.hosts);
    config.tls_ports = hosts.filter_map(SecretHost::port).collect();
    let checked: std::result::Result<GuardConfig, ConfigError> = config.with_policy(policy);
    Ok(checked.failure(FailureKind::Invalid, wrong)?.policy)
}

/// Makes the failure of a guard that does not answer.
pub fn unanswered() -> Failure {
    Failure::new(FailureKind::Unreachable, "the guard did not answer, so it is not known which policy counts")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claude_bottle_egress_policy::ReloadLine;
    use claude_bottle_plugin_api::{CallServices, Event, Owner, Secret};
    use serde_json::json;

    use super::*;

    /// A value in which JSON writes two bytes in another way.
    const VALUE: &[u8] = b"hunter2\\\"hunter2";

    struct Quiet;

    impl CallServices for Quiet {
        fn event(&self, _event: &Event) {}
        fn cancelled(&self) -> bool {
            false
        }
        fn cancel_fd(&self) -> Option<std::os::fd::OwnedFd> {
            None
        }
        fn secret(&self, name: &str) -> Result<Secret> {
            if name == "TOKEN" {
                Ok(Secret::new(VALUE.to_vec()))
            } else {
                Err(Failure::unsupported("secret"))
            }
        }
        fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
            Ok(true)
        }
    }

    fn change() -> GuardChange {
        let request = ReloadRequest::new(json!({ "rules": [{ "rule": "a.test" }] }));
        GuardChange::new(&Call::detached(), &request).unwrap()
    }

    /// Sends a change to a guard that writes this, with the request's name for `NAME`.
    fn sent(answer: &str) -> Result<Reloaded> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let change = change();
        let answer = answer.replace("NAME", &change.name);
        let guard = std::thread::spawn(move || {
            let mut line = Vec::new();
            BufReader::new(&theirs).read_until(b'\n', &mut line).unwrap();
            (&theirs).write_all(answer.as_bytes()).unwrap();
            Reload::read(&line).unwrap().policy.rules.len()
        });
        let sent = change.send(&Call::new(Arc::new(Quiet)), &ours);
        assert_eq!(guard.join().unwrap(), 1);
        sent
    }

    #[test]
    fn only_the_answer_to_this_very_change_counts() {
        assert_eq!(sent("{\"event\":\"reloaded\",\"reload\":\"NAME\"}\n").unwrap(), Reloaded::applied());
        let refused = sent("{\"event\":\"reload_failed\",\"reload\":\"NAME\",\"error\":\"no\\u001b[2J\"}\n");
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Invalid);
        assert!(!refused.message.contains('\u{1b}') && refused.message.contains("no"), "{refused}");
        for other in ["", "{}\n", "{\"event\":\"reloaded\",\"reload\":\"1\"}\n", "{\"event\":\"reloaded\"}\n"]
        {
            assert_eq!(sent(other).unwrap_err().kind, FailureKind::Unreachable, "{other}");
        }
    }

    #[test]
    fn the_value_of_a_secret_is_the_calls_and_without_one_nothing_is_sent() {
        let ours = Call::new(Arc::new(Quiet));
        let change = GuardChange::new(&ours, &ReloadRequest::of_secret("TOKEN")).unwrap();
        let Ok(ReloadLine::Secret(read)) = ReloadLine::read(change.line()) else {
            panic!("it is not a value")
        };
        assert_eq!((read.secret.name.as_str(), read.secret.value.as_bytes()), ("TOKEN", VALUE));
        let failure = GuardChange::new(&ours, &ReloadRequest::of_secret("OTHER")).err().unwrap();
        assert_eq!(failure.kind, FailureKind::Unsupported);
    }

    #[test]
    fn what_no_guard_could_start_with_is_not_sent() {
        for document in [
            json!(null),
            json!([]),
            json!({ "rules": [{ "rule": "*" }] }),
            json!({ "hosts": { "a.test": [] } }),
            json!({ "private": [{ "host": "a.test", "range": "0.0.0.0/0" }] }),
        ] {
            let failure = GuardChange::new(&Call::detached(), &ReloadRequest::new(document.clone()));
            let failure = failure.err().unwrap();
            assert_eq!(failure.kind, FailureKind::Invalid, "{document}");
        }
    }
}
