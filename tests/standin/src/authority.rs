//! An authority of a test's own, and certificates of its making. Its key is never written.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// An authority that nobody trusts who is not told to.
pub struct Authority {
    /// Its certificate, in PEM.
    pub pem: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// Makes one of this name.
    ///
    /// # Errors
    /// Fails when a key cannot be made.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// Makes the certificate of a server, until the beginning of a year.
    ///
    /// # Errors
    /// Fails when `name` cannot be one of a certificate.
    pub fn server(&self, name: &str, until: i32) -> Result<Pair, rcgen::Error> {
        self.pair(name, ExtendedKeyUsagePurpose::ServerAuth, until)
    }

    /// Makes the certificate of a client, until the beginning of a year.
    ///
    /// # Errors
    /// Fails when `name` cannot be one of a certificate.
    pub fn client(&self, name: &str, until: i32) -> Result<Pair, rcgen::Error> {
        self.pair(name, ExtendedKeyUsagePurpose::ClientAuth, until)
    }

    fn pair(&self, name: &str, usage: ExtendedKeyUsagePurpose, until: i32) -> Result<Pair, rcgen::Error> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}
