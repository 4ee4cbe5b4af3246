//! Certificates of single hosts, and the few of them that are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use claude_bottle_egress_policy::HostOrIp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SigningKey,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::authority::{BEGINS_EARLIER, DAY, MAX_NAME, serial};
use crate::error::GuardError;

/// Days that a certificate lasts. It is made again at half of them.
const LASTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many are kept: with a wildcard rule the agent chooses the names.
const MOST: usize = 256;

/// The certificates that were made lately.
#[derive(Default)]
pub(super) struct Leaves {
    kept: HashMap<HostOrIp, Leaf>,
    /// Counts what was asked for.
    turn: u64,
}

struct Leaf {
    config: Arc<ServerConfig>,
    made: Instant,
    /// The turn at which it was asked for last.
    used: u64,
}

impl Leaves {
    /// Returns the certificate of a host, by making it when there is none or it is old.
    pub(super) fn get(
        &mut self,
        host: &HostOrIp,
        make: impl FnOnce() -> Result<ServerConfig, GuardError>,
    ) -> Result<Arc<ServerConfig>, GuardError> {
        self.turn += 1;
        if let Some(leaf) = self.kept.get_mut(host).filter(|leaf| leaf.made.elapsed() < LASTS / 2) {
            leaf.used = self.turn;
            return Ok(Arc::clone(&leaf.config));
        }
        let config = Arc::new(make()?);
        self.make_room();
        let leaf = Leaf { config: Arc::clone(&config), made: Instant::now(), used: self.turn };
        self.kept.insert(host.clone(), leaf);
        Ok(config)
    }

    fn make_room(&mut self) {
        let oldest = self.kept.iter().min_by_key(|(_, leaf)| leaf.used).map(|(host, _)| host.clone());
        if let Some(oldest) = oldest.filter(|_| self.kept.len() >= MOST) {
            self.kept.remove(&oldest);
        }
    }
}

/// Makes a certificate for one host, with a key of its own, and what a server does with it.
pub(super) fn make(
    host: &HostOrIp,
    issuer: &Issuer<'_, impl SigningKey>,
) -> Result<ServerConfig, GuardError> {
    let wrap = |source| GuardError::MakeCertificate { source };
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - BEGINS_EARLIER).into(), (now + LASTS - DAY).into());
    params.serial_number = Some(serial()?);
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = Some(host.to_string()).filter(|name| name.len() <= MAX_NAME) {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names = vec![match host {
        HostOrIp::Name(name) => SanType::DnsName(name.as_str().try_into().map_err(wrap)?),
        HostOrIp::Ip(address) => SanType::IpAddress(*address),
    }];
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(wrap)?;
    let certificate = params.signed_by(&key, issuer).map_err(wrap)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Tickets are kept here, and nothing is answered before the handshake is over: both are the library's defaults.
    let config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(super::VERSIONS)
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(vec![certificate.der().clone()], key))
        .map_err(|source| GuardError::ConfigureTls { source })?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::{Policy, Rule};

    use super::*;
    use crate::tls::authority::Authority;

    #[test]
    fn a_certificate_is_kept_and_few_are() {
        let rule = Rule::parse("*.a.example", "").unwrap();
        let authority = Authority::new("test", &Policy { rules: vec![rule], ..Policy::default() }).unwrap();
        let mut leaves = Leaves::default();
        let issuer = |host: &HostOrIp| authority.server(host, b"http/1.1").map(|config| (*config).clone());
        let first = HostOrIp::parse("first.a.example").unwrap();
        let kept = leaves.get(&first, || issuer(&first)).unwrap();
        assert!(Arc::ptr_eq(&kept, &leaves.get(&first, || panic!("made twice")).unwrap()));
        for number in 0..MOST * 2 {
            let host = HostOrIp::parse(&format!("h{number}.a.example")).unwrap();
            leaves.get(&host, || Ok((*kept).clone())).unwrap();
            leaves.get(&first, || panic!("what is asked for stays")).unwrap();
        }
        assert_eq!(leaves.kept.len(), MOST);
    }
}
