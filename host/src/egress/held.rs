//! Secrets that the guard of a run holds: for each a placeholder, new in each run, which is all that the bottle gets.

use std::io;

use claude_bottle_egress_policy::{Effect, HeldSecret, HostPattern, Place, Policy, Rule, SecretHost};
use rustix::rand::GetRandomFlags;

use super::secrets::{BASE_URL, BaseUrl, authority, base_url_of};
use crate::manifest::{Bottle, SecretEntry};
use crate::profile::Profile;

/// Characters of a placeholder that nobody guesses, 5 bits each.
const LENGTH: usize = 24;
/// What they are: nothing that a URL, JSON or a shell escapes, and nothing that looks like another.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Puts secrets into a policy, with the rules that come with them.
///
/// # Errors
/// Fails when there are no random numbers.
pub fn enter(bottle: &Bottle, policy: &mut Policy) -> io::Result<()> {
    for secret in &bottle.secrets {
        let placeholder = placeholder(secret)?;
        for part in &secret.uses {
            policy.secrets.push(held(secret, &placeholder, part.hosts.clone(), part.places.clone()));
            part.hosts.iter().for_each(|host| allow(policy, &host.to_string(), secret));
        }
        let Some(kind) = secret.kind else { continue };
        let is_of_api = kind.is_of_api();
        if let Some(url) = BaseUrl::of(bottle).filter(|_| is_of_api)
            && let Some(first) = secret.uses.first()
        {
            // The manifest says where the API is, and whether it is spoken to without TLS. A rule has to allow it.
            let entry = held(secret, &placeholder, vec![url.host], first.places.clone());
            let plain_http = url.is_plain || entry.plain_http;
            policy.secrets.push(HeldSecret { plain_http, ..entry });
        }
        policy.rules.extend(kind.rules.iter().filter_map(|rule| Rule::parse(rule, origin(secret)).ok()));
    }
    Ok(())
}

fn origin(secret: &SecretEntry) -> String {
    format!("secret {}, {}", secret.name, secret.origin)
}

fn held(secret: &SecretEntry, placeholder: &str, hosts: Vec<SecretHost>, places: Vec<Place>) -> HeldSecret {
    HeldSecret {
        name: secret.name.to_string(),
        placeholder: placeholder.to_owned(),
        hosts,
        places,
        always: secret.always,
        only: secret.only,
        requests: secret.requests.clone(),
        plain_http: secret.plain_http,
    }
}

/// Allows a host that a secret goes to, unless a rule does already.
fn allow(policy: &mut Policy, host: &str, secret: &SecretEntry) {
    let Ok(rule) = Rule::parse(host, origin(secret)) else { return };
    let is_same = |other: &Rule| other.effect() == Effect::Allow && other.to_string() == rule.to_string();
    if !policy.rules.iter().any(is_same) {
        policy.rules.push(rule);
    }
}

fn placeholder(secret: &SecretEntry) -> io::Result<String> {
    let mut random = [0; LENGTH];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())?;
    let text: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    Ok(format!("{}placeholder-for-{}-{text}", secret.prefix, secret.name))
}

/// Returns the ports besides that of HTTPS at which nothing but TLS may go, since a secret is put in there.
pub fn tls_ports(policy: &Policy) -> Vec<u16> {
    let within_tls = policy.secrets.iter().filter(|secret| !secret.plain_http);
    let mut ports: Vec<_> =
        within_tls.flat_map(|secret| &secret.hosts).filter_map(SecretHost::port).collect();
    ports.retain(|port| *port != 443);
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Returns the hosts of models: Claude's, those of the agent's program, and where the manifest says in clear that they are instead.
pub fn model_hosts(profile: &Profile, bottle: &Bottle) -> Vec<HostPattern> {
    let keys = || profile.login.iter().flat_map(|login| &login.keys);
    let moved = keys().filter_map(|key| key.base_url.as_deref()).chain([BASE_URL]);
    let moved = moved.filter_map(|variable| base_url_of(bottle, variable)).filter_map(authority);
    let hosts = keys().flat_map(|key| &key.hosts).map(String::as_str).chain(["api.anthropic.com"]);
    let pattern = |host| SecretHost::parse(host).ok().map(|host| host.pattern().clone());
    let mut found: Vec<_> = hosts.chain(moved).filter_map(pattern).collect();
    found.sort();
    found.dedup();
    found
}

/// Gives the secrets of one policy the placeholders of another, whose run has them already.
pub fn take_placeholders(from: &Policy, to: &mut Policy) {
    for secret in &mut to.secrets {
        if let Some(known) = from.secrets.iter().find(|known| known.name == secret.name) {
            secret.placeholder.clone_from(&known.placeholder);
        }
    }
}
