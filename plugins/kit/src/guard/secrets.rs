//! The bottle's secrets as the guard reads them: what to look for, and to which hosts the host's rule lets each go.
//!
//! Which hosts those are is decided by the host program and never here.

use claude_bottle_egress_policy::HostPattern;
use claude_bottle_plugin_api::{
    Call, EnvValue, ErrorExt, Failure, FailureKind, Result, Secret, Spec, Subject,
};
use serde::Serialize;
use zeroize::Zeroizing;

/// The longest form in which JSON writes one byte, `\u001f`.
const LONGEST_ESCAPE: usize = 6;

/// A secret in the form of [`claude_bottle_egress_policy::GuardSecret`], which copies nothing.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    hosts: Vec<HostPattern>,
}

/// Returns the JSON list of the bottle's secrets, to be handed to the guard by file or pipe.
///
/// A host program from before contract 1.1 says no hosts, and a secret then goes nowhere.
///
/// # Errors
/// Fails for a secret that the call does not grant, one that is not UTF-8, for which the guard could not look, and one
/// whose hosts cannot be read.
pub fn guard_secrets(spec: &Spec, call: &Call) -> Result<Zeroizing<Vec<u8>>> {
    let secrets = names(spec).into_iter().map(|name| Ok((name, call.secret(name)?)));
    let secrets: Vec<(&str, Secret)> = secrets.collect::<Result<_>>()?;
    let entries = secrets.iter().map(|(name, secret)| entry(spec, name, secret));
    let entries: Vec<Entry<'_>> = entries.collect::<Result<_>>()?;
    // Text that has room from the start is never copied to another place, where nothing would wipe it.
    let mut text = Zeroizing::new(Vec::with_capacity(room(&entries)));
    serde_json::to_writer(&mut *text, &entries)
        .failure(FailureKind::Internal, || "cannot write the guard's secrets")?;
    Ok(text)
}

/// Returns the secret variables, and the secrets that are no variable's and so for the guard alone.
fn names(spec: &Spec) -> Vec<&str> {
    let bottle = &spec.bottle;
    let variables = bottle.env.iter().filter(|variable| variable.value == EnvValue::Secret);
    // The variable of a secret that the guard holds has a placeholder, which is not a secret.
    let own = variables.clone();
    let is_other = |name: &&str| !own.clone().any(|variable| variable.name == *name);
    let others = bottle.secrets.iter().map(|secret| secret.name.as_str()).filter(is_other);
    variables.map(|variable| variable.name.as_str()).chain(others).collect()
}

fn entry<'a>(spec: &Spec, name: &'a str, secret: &'a Secret) -> Result<Entry<'a>> {
    let value = std::str::from_utf8(secret.expose()).map_err(|_| not_text(name))?;
    Ok(Entry { name, value, hosts: hosts(spec, name)? })
}

pub(super) fn not_text(name: &str) -> Failure {
    let message =
        format!("the value of `{name}` is not UTF-8 text, so the guard cannot look for it in what leaves");
    Failure::new(FailureKind::Invalid, message)
        .about(Subject::Secret(name.to_owned()))
        .hint(format!("encode it, for example `{name}=$(base64 -w0 FILE)`, and decode it in the bottle"))
}

/// Returns the hosts that the spec names for a secret.
fn hosts(spec: &Spec, name: &str) -> Result<Vec<HostPattern>> {
    let named = spec.bottle.secrets.iter().filter(|secret| secret.name == name);
    let parse = |text: &String| {
        HostPattern::parse(text)
            .failure(FailureKind::Invalid, || format!("cannot read the host `{text}` of the secret `{name}`"))
    };
    named.flat_map(|secret| &secret.hosts).map(parse).collect()
}

/// Returns as many bytes as the list can take at most.
fn room(entries: &[Entry<'_>]) -> usize {
    let of_hosts =
        |entry: &Entry<'_>| entry.hosts.iter().map(|host| host.to_string().len() + 3).sum::<usize>();
    let of_entry = |entry: &Entry<'_>| {
        (entry.name.len() + entry.value.len()) * LONGEST_ESCAPE
            + of_hosts(entry)
            + r#"{"name":"","value":"","hosts":[]},"#.len()
    };
    2 + entries.iter().map(of_entry).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use claude_bottle_egress_policy::GuardSecrets;
    use claude_bottle_plugin_api::{AgentSpec, CallServices, EnvVar, Event, Owner, SecretSpec};

    use super::*;

    /// A host program whose secrets are all this value.
    struct Grants(&'static [u8]);

    impl CallServices for Grants {
        fn event(&self, _event: &Event) {}
        fn cancelled(&self) -> bool {
            false
        }
        fn cancel_fd(&self) -> Option<OwnedFd> {
            None
        }
        fn secret(&self, _name: &str) -> Result<Secret> {
            Ok(Secret::new(self.0.to_vec()))
        }
        fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
            Ok(true)
        }
    }

    fn spec() -> Spec {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.bottle.env = vec![EnvVar::secret("TOKEN"), EnvVar::literal("PLAIN", "x"), EnvVar::secret("KEY")];
        spec
    }

    fn list(spec: &Spec, value: &'static [u8]) -> Result<Vec<(String, String, Vec<String>)>> {
        let text = guard_secrets(spec, &Call::new(Arc::new(Grants(value))))?;
        let read = GuardSecrets::from_json(std::str::from_utf8(&text).unwrap()).unwrap();
        let texts = |hosts: &[HostPattern]| hosts.iter().map(ToString::to_string).collect();
        Ok(read
            .entries
            .iter()
            .map(|entry| (entry.name.clone(), entry.value.clone(), texts(&entry.hosts)))
            .collect())
    }

    #[test]
    fn each_secret_has_the_hosts_of_the_spec_and_no_others() {
        let mut spec = spec();
        spec.bottle.egress.config = "version: 1\nbottle: b\nlisten: 127.0.0.1:1\n\
            policy: {rules: [{rule: other.test, origin: bottle}]}\n"
            .to_owned();
        spec.bottle.secrets = vec![
            SecretSpec::new("TOKEN", vec!["api.test".to_owned(), "*.api.test".to_owned()]),
            // Not a variable's, and so for the guard alone, such as its credentials for a proxy above it. So is one whose
            // variable says something in clear.
            SecretSpec::new("PLAIN", Vec::new()),
            SecretSpec::new("NOT_A_VARIABLE", vec!["other.test".to_owned()]),
        ];
        let value = "line \"one\"\nline two \u{1}";
        let entry = |name: &str, hosts: &[&str]| {
            (name.to_owned(), value.to_owned(), hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>())
        };
        let read = list(&spec, value.as_bytes()).unwrap();
        let guards_own = [entry("PLAIN", &[]), entry("NOT_A_VARIABLE", &["other.test"])];
        assert_eq!(read[..2], [entry("TOKEN", &["api.test", "*.api.test"]), entry("KEY", &[])]);
        assert_eq!(read[2..], guards_own);
    }

    #[test]
    fn a_host_program_that_says_no_hosts_lets_no_secret_go_anywhere() {
        let mut spec = spec();
        spec.bottle.egress.config = "version: 1\nbottle: b\nlisten: 127.0.0.1:1\n\
            policy: {rules: [{rule: other.test, origin: bottle}]}\n"
            .to_owned();
        assert!(list(&spec, b"12345678").unwrap().iter().all(|(_, _, hosts)| hosts.is_empty()));
    }

    #[test]
    fn what_the_guard_could_not_look_for_is_refused() {
        let failure = list(&spec(), b"canary\xff\xfe").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(failure.to_string().contains("`TOKEN`"), "{failure}");
        assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        let mut spec = spec();
        spec.bottle.secrets = vec![SecretSpec::new("KEY", vec!["https://x/".to_owned()])];
        assert_eq!(list(&spec, b"12345678").unwrap_err().kind, FailureKind::Invalid);
    }

    #[test]
    fn the_text_never_moves_while_it_is_written() {
        let entry = |value| Entry { name: "A", value, hosts: vec![HostPattern::parse("*.a.test").unwrap()] };
        for value in ["", "plain", "\u{1}\u{2}\"\\", "é\u{1f600}"] {
            let entries = [entry(value), entry(value)];
            let room = room(&entries);
            assert!(serde_json::to_vec(&entries).unwrap().len() <= room, "{value:?}");
        }
        assert!(serde_json::to_vec::<[Entry<'_>; 0]>(&[]).unwrap().len() <= room(&[]));
    }

    #[test]
    fn without_secrets_the_list_is_empty() {
        let mut spec = spec();
        spec.bottle.env.clear();
        assert_eq!(list(&spec, b"").unwrap(), []);
    }
}
