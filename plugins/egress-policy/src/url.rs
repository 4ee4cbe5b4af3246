//! A URL taken apart, for the question what would be decided about it.

use crate::error::HostError;
use crate::host::{HostOrIp, parse_authority};

/// A URL of HTTP or HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it goes by TLS.
    pub is_https: bool,
    /// The host.
    pub host: HostOrIp,
    /// The port, the usual one of its scheme when it names none.
    pub port: u16,
    /// The path with the query, as a request has it.
    pub target: String,
}

/// Why a text is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("the URL does not begin with `http://` or `https://`")]
    Scheme,
    /// Host or port are wrong.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Characters that a request has percent-encoded.
    #[error("the URL has characters that must be percent-encoded")]
    Characters,
}

impl Url {
    /// Reads a URL; a fragment is never sent, and left out.
    ///
    /// # Errors
    /// Fails when a client would not ask for it in this form.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let (is_https, usual) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Characters);
        }
        let (host, port) = parse_authority(authority, Some(usual))?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { is_https, host, port, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_url_apart() {
        let check = |text, expected: (bool, &str)| {
            let url = Url::parse(text).unwrap();
            let got = format!("{}:{}{}", url.host, url.port, url.target);
            assert_eq!((url.is_https, got.as_str()), expected, "{text}");
        };
        check("https://A.example", (true, "a.example:443/"));
        check("HTTP://a.example?x=//y#z", (false, "a.example:80/?x=//y"));
        check("http://[::1]:8080/a/../b", (false, "[::1]:8080/a/../b"));
        for (text, expected) in [
            ("a.example/x", UrlError::Scheme),
            ("ws://a.example/", UrlError::Scheme),
            ("http://u@a.example/", UrlError::Host(HostError::UserInfo)),
            ("http://a.example/a b", UrlError::Characters),
            ("https:///x", UrlError::Host(HostError::Empty)),
        ] {
            assert_eq!(Url::parse(text), Err(expected), "{text}");
        }
    }
}
