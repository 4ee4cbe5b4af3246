//! The policy: rules, static addresses and private grants, and the two questions asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

use crate::address::{AddressRefusal, special_purpose};
use crate::decision::{Code, Decision, Scheme, Verdict};
use crate::held::HeldSecret;
use crate::host::{Host, HostOrIp};
use crate::intercept::Intercept;
use crate::rule::{Effect, HTTPS_PORT, HostPattern, Rule};

/// The most ports of one host that [`Policy::ports`] tells.
pub const MOST_PORTS: usize = 16;

/// Permission for one host to have addresses of one special-purpose range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateGrant {
    /// The host, spelled out: no wildcard.
    pub host: HostOrIp,
    /// The range its addresses may lie in.
    #[serde(deserialize_with = "range")]
    pub range: IpNet,
}

/// A server of SSH, such as `ssh.github.com` on port 443. It allows nothing by itself: a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshServer {
    /// The host, spelled out: no wildcard.
    pub host: HostOrIp,
    /// Its port.
    pub port: u16,
}

/// What a bottle may reach. The empty policy allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The rules; their order has no meaning.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub rules: Vec<Rule>,
    /// Static addresses for names, used instead of a lookup.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<Host, Vec<IpAddr>>,
    /// Explicit grants of private ranges.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<PrivateGrant>,
    /// Servers of SSH, which may be spoken to on a port where nothing but TLS may go otherwise.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<SshServer>,
    /// Whose tunnels are opened.
    #[serde(default, skip_serializing_if = "Intercept::is_none")]
    pub intercept: Intercept,
    /// Hosts whose tunnels are not opened all the same.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub passthrough: Vec<HostPattern>,
    /// Secrets that the guard holds and puts in, without their values. One that has other places at other hosts is here twice.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<HeldSecret>,
}

impl Policy {
    /// Decides whether `host` may be reached at `port` under `scheme`. No lookup is made; deny wins.
    ///
    /// Where requests are seen they are decided one by one, by [`Self::decide_request`]. In a tunnel that is not opened they are
    /// not, so a rule about some of them lets none through, and denies all.
    pub fn decide(&self, host: &HostOrIp, port: u16, scheme: Scheme) -> Decision {
        let about: Vec<&Rule> = self.rules.iter().filter(|rule| rule.matches_host(host)).collect();
        let matching = |effect, narrow| {
            let fits = |rule: &&&Rule| {
                rule.effect() == effect && rule.is_narrow() == narrow && rule.matches_port(port, scheme)
            };
            about.iter().find(fits).copied()
        };
        let is_seen = scheme != Scheme::Connect;
        if let Some(rule) = matching(Effect::Deny, false) {
            return refusal(Code::DeniedByRule, Some(rule), format!("`{host}` is denied by a rule"));
        }
        if let Some(rule) = matching(Effect::Deny, true).filter(|_| !is_seen) {
            let reason =
                format!("some requests to `{host}` are denied by a rule, and a tunnel would hide them");
            return refusal(Code::DeniedByRule, Some(rule), reason);
        }
        let narrow = || matching(Effect::Allow, true).filter(|_| is_seen);
        if let Some(rule) = matching(Effect::Allow, false).or_else(narrow) {
            return allowance(rule, host, port);
        }
        if let Some(rule) = about.iter().find(|rule| rule.effect() == Effect::Allow) {
            return refusal(Code::PortNotAllowed, Some(rule), port_reason(host, port, scheme));
        }
        match host {
            HostOrIp::Ip(_) => {
                refusal(Code::IpLiteral, None, format!("the address `{host}` is not named by a rule"))
            }
            HostOrIp::Name(_) => {
                refusal(Code::NotInAllowlist, None, format!("`{host}` is not on the allowlist"))
            }
        }
    }

    /// Returns the lowest ports at which `host` may be reached, under either scheme.
    ///
    /// # Errors
    /// Returns the refusal when there are none.
    pub fn ports(&self, host: &HostOrIp) -> Result<Vec<u16>, Box<Decision>> {
        let allowing =
            self.rules.iter().filter(|rule| rule.effect() == Effect::Allow && rule.matches_host(host));
        let named: BTreeSet<u16> = allowing.flat_map(Rule::ports).collect();
        let ways = [self.tunnel(host, true), Scheme::Http];
        let is_open = |port: &u16| ways.iter().any(|way| self.decide(host, *port, *way).is_allowed());
        let open: Vec<u16> = named.iter().copied().filter(is_open).take(MOST_PORTS).collect();
        if open.is_empty() {
            let port = named.first().copied().unwrap_or(HTTPS_PORT);
            return Err(Box::new(self.decide(host, port, Scheme::Connect)));
        }
        Ok(open)
    }

    /// Returns the static addresses of a host: those of a literal are the literal.
    pub fn static_addresses(&self, host: &HostOrIp) -> Option<Vec<IpAddr>> {
        match host {
            HostOrIp::Ip(address) => Some(vec![*address]),
            HostOrIp::Name(name) => self.hosts.get(name).cloned(),
        }
    }

    /// Returns `true` if a tunnel to this place may carry SSH, whatever the port.
    pub fn is_ssh(&self, host: &HostOrIp, port: u16) -> bool {
        self.ssh.iter().any(|server| server.host == *host && server.port == port)
    }

    fn is_granted(&self, host: &HostOrIp, address: IpAddr) -> bool {
        self.private.iter().any(|grant| grant.host == *host && grant.range.contains(&address))
    }
}

/// Vets all addresses a host has, and returns those to dial in their order.
///
/// Either all are public, or all are special-purpose and covered by a grant that names this host and their range.
/// Anything else is refused whole, since an answer that mixes both is how rebinding looks.
pub fn vet_addresses(
    host: &HostOrIp,
    addresses: &[IpAddr],
    policy: &Policy,
) -> Result<Vec<IpAddr>, AddressRefusal> {
    let special: Vec<(IpAddr, &'static str)> =
        addresses.iter().filter_map(|a| special_purpose(*a).map(|special| (*a, special.name))).collect();
    let Some((first, kind)) = special.first().copied() else {
        return if addresses.is_empty() { Err(AddressRefusal::NoAddress) } else { Ok(addresses.to_vec()) };
    };
    if special.len() < addresses.len() {
        return Err(AddressRefusal::Mixed { kind, address: first });
    }
    match special.iter().find(|(address, _)| !policy.is_granted(host, *address)) {
        None => Ok(addresses.to_vec()),
        Some((address, kind)) if special.iter().any(|(a, _)| policy.is_granted(host, *a)) => {
            Err(AddressRefusal::Mixed { kind, address: *address })
        }
        Some((address, kind)) => Err(AddressRefusal::Special { kind, address: *address }),
    }
}

pub(crate) fn allowance(rule: &Rule, host: &HostOrIp, port: u16) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        code: Code::Allowed,
        rule: Some(rule.to_string()),
        origin: origin(rule),
        reason: format!("`{host}:{port}` is allowed"),
    }
}

pub(crate) fn refusal(code: Code, rule: Option<&Rule>, reason: String) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        code,
        rule: rule.map(ToString::to_string),
        origin: rule.and_then(origin),
        reason,
    }
}

/// A rule need not say where it was written.
fn origin(rule: &Rule) -> Option<String> {
    Some(rule.origin().to_owned()).filter(|origin| !origin.is_empty())
}

fn port_reason(host: &HostOrIp, port: u16, scheme: Scheme) -> String {
    let way = match scheme {
        Scheme::Connect => "a tunnel",
        Scheme::Https => "HTTPS",
        Scheme::Http => "plain HTTP",
    };
    format!("`{host}` is allowed, but not {way} to port {port}")
}

/// A key without a value is an empty list, and an empty list allows nothing.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A range, or a single address as a range of one.
fn range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = parsed.map_err(|_| {
        serde::de::Error::custom(format!("`{}` is not a valid address range", text.escape_default()))
    })?;
    if net.addr() != net.network() {
        return Err(serde::de::Error::custom(format!(
            "`{net}` has bits set beyond its prefix; write `{}`",
            net.trunc()
        )));
    }
    Ok(net)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
