//! The bottle's own certificate authority: made at the start, in this memory alone, and good for what is opened alone.
//!
//! Invariant: its key is written nowhere. Clients inside trust its certificate, and the hosts outside never see it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use claude_bottle_egress_policy::{Effect, HostOrIp, HostPattern, Intercept, Policy, Rule};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, SerialNumber,
};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::ServerConfig;
use zeroize::Zeroizing;

use super::leaf::{self, Leaves};
use crate::error::GuardError;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Clocks of two machines differ; a certificate begins a day before it is made.
pub(super) const BEGINS_EARLIER: Duration = DAY;

/// Longer than a bottle runs.
const LASTS: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Longest common name: <https://www.rfc-editor.org/rfc/rfc5280#appendix-A.1>, `ub-common-name`.
pub(super) const MAX_NAME: usize = 64;

/// Bytes of a serial number. One made from the key would be the same for certificates that share a key.
const SERIAL: usize = 16;

/// The authority, and the certificates that it has made.
pub struct Authority {
    params: CertificateParams,
    key: Zeroizing<KeyPair>,
    pem: String,
    fingerprint: String,
    scope: Scope,
    leaves: Mutex<Leaves>,
}

/// The hosts that an authority is good for.
enum Scope {
    /// These, where some hosts are opened.
    Named(Vec<HostPattern>),
    /// All but these and what is below them, where every host is opened: one that is allowed later is opened too.
    AllBut(Vec<HostPattern>),
}

impl Authority {
    /// Makes an authority for the hosts whose tunnels a policy opens.
    ///
    /// # Errors
    /// Fails when there are no random numbers, or a host cannot stand in a certificate.
    pub fn new(bottle: &str, policy: &Policy) -> Result<Self, GuardError> {
        let wrap = |source| GuardError::MakeCertificate { source };
        let scope = Scope::of(policy);
        let params = params(bottle, &scope)?;
        let key = Zeroizing::new(KeyPair::generate().map_err(wrap)?);
        let certificate = params.self_signed(&*key).map_err(wrap)?;
        let fingerprint =
            Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { params, key, pem: certificate.pem(), fingerprint, scope, leaves: Mutex::default() })
    }

    /// Returns the certificate, for the trust files of the bottle.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the SHA-256 of the certificate, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns a host whose tunnels the policy opens and that this authority cannot make a certificate for.
    pub(crate) fn outside(&self, policy: &Policy) -> Option<String> {
        let is_inside = |pattern: &HostPattern| match &self.scope {
            Scope::Named(names) => names.contains(pattern),
            Scope::AllBut(closed) => !closed.iter().any(|other| reaches(other, pattern)),
        };
        opened(policy).iter().find(|pattern| !is_inside(pattern)).map(ToString::to_string)
    }

    /// Returns what a client of this host is shown: a certificate for it alone, made now or not long ago, and one protocol.
    pub(crate) fn server(&self, host: &HostOrIp, protocol: &[u8]) -> Result<Arc<ServerConfig>, GuardError> {
        // A panic elsewhere leaves whole entries behind.
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || leaf::make(host, &Issuer::from_params(&self.params, &*self.key));
        let mut config = (*leaves.get(host, make)?).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

impl Scope {
    fn of(policy: &Policy) -> Self {
        let opened = opened(policy);
        if policy.intercept != Intercept::All {
            return Self::Named(opened);
        }
        // A constraint takes in all that is below a name, and nothing that is opened may be among that.
        let stays_closed = |pattern: &&HostPattern| !opened.iter().any(|other| reaches(pattern, other));
        let mut closed: Vec<HostPattern> = policy.passthrough.iter().filter(stays_closed).cloned().collect();
        closed.sort();
        closed.dedup();
        Self::AllBut(closed)
    }
}

/// Returns `true` if a constraint made of one pattern takes in some host that the other one means.
fn reaches(constraint: &HostPattern, pattern: &HostPattern) -> bool {
    let below = match constraint {
        HostPattern::Exact(HostOrIp::Name(name)) => HostPattern::Below(name.clone()),
        HostPattern::Below(domain) => HostPattern::Exact(HostOrIp::Name(domain.clone())),
        HostPattern::Exact(HostOrIp::Ip(_)) => return constraint.overlaps(pattern),
    };
    constraint.overlaps(pattern) || below.overlaps(pattern)
}

/// Returns the hosts that rules allow, where tunnels to some of them are opened.
fn opened(policy: &Policy) -> Vec<HostPattern> {
    let allowing = policy.rules.iter().filter(|rule| rule.effect() == Effect::Allow);
    let patterns = allowing.map(Rule::pattern).filter(|pattern| policy.opens_some(pattern));
    let mut names: Vec<HostPattern> = patterns.cloned().collect();
    names.sort();
    names.dedup();
    names
}

fn params(bottle: &str, scope: &Scope) -> Result<CertificateParams, GuardError> {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - BEGINS_EARLIER).into(), (now + LASTS).into());
    params.serial_number = Some(serial()?);
    let name: String = format!("claude-bottle {bottle}").chars().take(MAX_NAME).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.name_constraints = constraints(scope);
    Ok(params)
}

/// Permits the names that are allowed, or excludes those that are never opened; `None` where no name is.
fn constraints(scope: &Scope) -> Option<NameConstraints> {
    match scope {
        Scope::Named(names) => Some(permitting(names)),
        Scope::AllBut(closed) if closed.is_empty() => None,
        Scope::AllBut(closed) => Some(NameConstraints {
            permitted_subtrees: Vec::new(),
            excluded_subtrees: closed.iter().map(subtree).collect(),
        }),
    }
}

/// Permits these names. A kind of which none is, is excluded whole, since a missing kind is not constrained.
fn permitting(names: &[HostPattern]) -> NameConstraints {
    let permitted: Vec<GeneralSubtree> = names.iter().map(subtree).collect();
    let mut excluded = Vec::new();
    if !permitted.iter().any(|tree| matches!(tree, GeneralSubtree::IpAddress(_))) {
        let whole = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        excluded
            .extend(whole.map(|address| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 0))));
    }
    if !permitted.iter().any(|tree| matches!(tree, GeneralSubtree::DnsName(_))) {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

fn subtree(pattern: &HostPattern) -> GeneralSubtree {
    match pattern {
        HostPattern::Below(domain) => GeneralSubtree::DnsName(domain.to_string()),
        HostPattern::Exact(HostOrIp::Name(name)) => GeneralSubtree::DnsName(name.to_string()),
        HostPattern::Exact(HostOrIp::Ip(address)) => {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*address, bits))
        }
    }
}

/// Returns a random serial number: positive, of one length.
pub(super) fn serial() -> Result<SerialNumber, GuardError> {
    let mut bytes = vec![0; SERIAL];
    super::provider().secure_random.fill(&mut bytes).map_err(|_| GuardError::NoRandom)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from(bytes))
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "authority_clients_tests.rs"]
mod clients;
