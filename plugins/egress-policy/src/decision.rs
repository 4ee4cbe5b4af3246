//! What the policy answers: a verdict, a stable code, and the rule behind it.

use serde::{Deserialize, Serialize};

/// How the request reached the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// A tunnel asked for with CONNECT.
    Connect,
    /// Plain HTTP in absolute form.
    Http,
    /// A request inside a tunnel that the guard has opened.
    Https,
}

/// Whether the request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It goes through.
    Allow,
    /// It is refused by policy, by inspection, or because it is malformed.
    Deny,
    /// It goes through although an inspection found something.
    Warn,
    /// It was allowed and failed on the way.
    Error,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $hint:literal;)*) => {
        /// Stable machine-readable reasons, used in the log, in `X-Egress-Reason` and in the JSON body.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Returns what a person or a model can do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }

            /// Returns the code for a text, when there is one.
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// The request is allowed.
    Allowed = "allowed", "";
    /// No rule allows the host.
    NotInAllowlist = "not_in_allowlist", "do not retry; ask for it by `bottle ask HOST --why TEXT`. The user can allow the host, in this bottle by `claude-bottle policy allow`, or in `egress.allowlist` for the next";
    /// A `deny` rule names the host.
    DeniedByRule = "denied_by_rule", "do not retry; the user has denied this on purpose";
    /// The host is allowed, but not on this port or not in this way.
    PortNotAllowed = "port_not_allowed", "use the port the rule allows, or ask for it by `bottle ask HOST:PORT --why TEXT`. The user can add `host:port` to `egress.allowlist` of this bottle";
    /// The path is allowed, but not by this method.
    MethodNotAllowed = "method_not_allowed", "do not retry with this method; ask the user to allow it under `egress.allowlist` of this bottle";
    /// The host is allowed, but not this path.
    PathNotAllowed = "path_not_allowed", "do not retry; ask the user to add the path to `egress.allowlist` of this bottle";
    /// The path has more than one reading, and a rule is about paths of this host.
    BadPath = "bad_path", "write the path plainly: without `.` and `..`, empty segments, backslashes, and escaped slashes";
    /// An IP address that no rule names.
    IpLiteral = "ip_literal", "use the host name; addresses are refused unless a rule names them";
    /// The host name has no canonical spelling.
    BadHost = "bad_host", "write the host as a plain lower-case DNS name";
    /// The request is not well-formed HTTP, or is ambiguous.
    BadRequest = "bad_request", "send one well-formed HTTP/1.1 proxy request";
    /// The Host header names another host than the request line.
    HostMismatch = "host_mismatch", "send a Host header equal to the host of the request line";
    /// The URL's scheme cannot be served.
    BadScheme = "bad_scheme", "use CONNECT for https and an absolute http:// URL for plain HTTP";
    /// The request asks for another protocol.
    UpgradeRefused = "upgrade_refused", "use wss:// or https:// through CONNECT; protocol upgrades are refused over plain HTTP, and but for WebSockets where the guard opens HTTPS";
    /// Header or body or URL is larger than allowed.
    TooLarge = "too_large", "make the request smaller";
    /// More than may go up to the host in one run.
    UploadLimit = "upload_limit", "do not retry; no more may be sent to this host. The user can allow more under `egress.upload_limit`, for the next bottle";
    /// Too many connections at once.
    TooManyConnections = "too_many_connections", "close connections and try again";
    /// The client was too slow.
    Timeout = "timeout", "try again";
    /// The name has no address.
    NoSuchHost = "no_such_host", "check the spelling of the host name";
    /// The name could not be looked up.
    ResolveFailed = "resolve_failed", "try again; the name server did not answer";
    /// There is no name server to ask.
    NoResolver = "no_resolver", "the guard has no name server; ask the user to give the host a static address under `egress.hosts`";
    /// The name has an address of a private or special-purpose range.
    PrivateAddress = "private_address", "do not retry; the name leads to a private or special-purpose address. The user can allow it by naming host and range under `egress.private`";
    /// The name has public and other addresses at once.
    MixedAddresses = "mixed_addresses", "do not retry; the name has both public and private addresses, which is how rebinding attacks look";
    /// The request leads back to the guard.
    SelfConnect = "self_connect", "do not use the proxy to reach the proxy";
    /// The upstream could not be reached.
    ConnectFailed = "connect_failed", "try again; the host did not accept the connection";
    /// The upstream broke the connection or sent no valid HTTP.
    UpstreamFailed = "upstream_failed", "try again; the host did not answer properly";
    /// The proxy above the guard could not be reached, or refused.
    UpstreamProxyFailed = "upstream_proxy_failed", "the proxy above this one did not open the way; ask the user to check `egress.upstream_proxy`";
    /// The certificate of a host whose tunnel is opened is not accepted.
    UpstreamCertificate = "upstream_certificate", "do not retry; tell the user that the host's certificate is not accepted";
    /// A host whose tunnel is opened did not end its TLS handshake.
    UpstreamTls = "upstream_tls", "try again; the host did not speak TLS as expected";
    /// The client of an opened tunnel wants to speak something else than HTTP/1.1 or HTTP/2.
    NotHttp = "not_http", "use HTTP/1.1 or HTTP/2; nothing else goes where the guard opens HTTPS";
    /// The client of an opened tunnel left when it saw the bottle's certificate.
    ClientDistrusts = "client_distrusts", "the client trusts no authority of this bottle: it pins certificates, or does not read the bottle's trust files";
    /// The client of an opened tunnel left before it sent a request, and said nothing.
    ClientLeft = "client_left", "no harm where other requests to the host go through: some clients open connections that they do not need. Otherwise the client trusts no authority of this bottle";
    /// A tunnel to 443 carries something else than TLS.
    NotTls = "not_tls", "only TLS may be spoken in a tunnel to port 443";
    /// A ClientHello without a server name.
    SniMissing = "sni_missing", "send the server name (SNI) in the TLS handshake";
    /// A ClientHello for another host than the tunnel's.
    SniMismatch = "sni_mismatch", "open the tunnel to the same host as the TLS server name (SNI)";
    /// A ClientHello with an encrypted inner hello, which may be for any other host.
    EchRefused = "ech_refused", "switch off Encrypted Client Hello (ECH) in the client, its random filler included";
    /// The body ends in trailers.
    TrailersRefused = "trailers_refused", "send the body without trailers, or use https:// through CONNECT; trailers are refused over plain HTTP and where the guard opens HTTPS";
    /// A body in a compressed form, which cannot be inspected.
    BodyEncoded = "body_encoded", "send the body without Content-Encoding, or as gzip or deflate. The user can let others through unread by `secrets: warn` and `rules: warn` under `egress.dlp`";
    /// One of this bottle's secrets is in the request.
    DlpSecret = "dlp_secret", "do not retry; the request contains a secret of this bottle that may not leave by this way";
    /// Something that looks like a credential is in the request.
    DlpRule = "dlp_rule", "do not retry; the request contains what looks like a credential. The user can allow it under `egress.dlp`";
    /// The placeholder of a secret, as a credential towards a host that the secret is not for.
    SecretWrongHost = "secret_wrong_host", "send the placeholder to the hosts that the reason names; towards any other it stands for nothing";
    /// The placeholder of a secret, as a credential of another kind than the secret is.
    SecretWrongPlace = "secret_wrong_place", "send the placeholder in one of the places that the reason names";
    /// The placeholder of a secret, in a request that the secret is not for.
    SecretWrongRequest = "secret_wrong_request", "do not retry; the user has meant the secret for other methods and paths";
    /// The placeholder of a secret, without TLS.
    SecretNeedsTls = "secret_needs_tls", "use https://; the secret does not go without TLS";
    /// A credential other than the bottle's, towards a host that takes no other.
    ForeignCredential = "foreign_credential", "do not retry; to this host no credential goes but the bottle's own: use the placeholder in the environment";
    /// A secret came back in an answer, where it cannot be masked.
    SecretReflected = "secret_reflected", "the host sends a secret back, or answers in a form that cannot be looked into; ask for the answer without it, or with `Accept-Encoding: identity`";
    /// Decisions cannot be written, so none may be made.
    LogFailed = "log_failed", "the disk that holds this bottle's decisions is full or broken; ask the user to make room, then try again";
    /// The guard itself failed.
    Internal = "internal", "this is a fault of the guard; tell the user to look at the bottle's egress log";
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The policy's answer about one host and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether it goes through.
    pub verdict: Verdict,
    /// The stable reason.
    pub code: Code,
    /// The rule that decided, in its canonical text; none when no rule names the host.
    pub rule: Option<String>,
    /// Where that rule was written.
    pub origin: Option<String>,
    /// One sentence for people, lower case, no full stop.
    pub reason: String,
}

impl Decision {
    /// Tells whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_unique_and_explained() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?} twice");
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
            assert!(*code == Code::Allowed || !code.hint().is_empty(), "{code:?} has no hint");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
        assert_eq!(Code::from_text("else"), None);
    }
}
