//! The proxy above a bottle's guard: from the manifest, or else from the host's `HTTPS_PROXY`.
//!
//! Its address is part of the guard's configuration. A user and a password for it are a secret of the run.

use std::ffi::OsString;

use claude_bottle_egress_policy::{Authority, HostPattern, UpstreamProxy};
use claude_bottle_plugin_api::Proxy;
use zeroize::Zeroizing;

use crate::manifest::{Bottle, Upstream, UpstreamSource};

/// The name of the credentials among the secrets of a run. It cannot be a variable's.
pub const CREDENTIALS: &str = "egress.upstream_proxy";

/// The host's variables that name a proxy, the first that is set: <https://curl.se/docs/manpage.html#ENVIRONMENT>.
const VARIABLES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
/// And those that name the hosts to reach without one.
const DIRECT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The port when an address names none: <https://curl.se/libcurl/c/CURLOPT_PROXY.html>.
const DEFAULT_PORT: u16 = 1080;

/// A proxy to go through.
pub struct Found {
    /// What the guard is told.
    pub proxy: UpstreamProxy,
    /// `user:password` for it.
    pub credentials: Option<Zeroizing<String>>,
}

/// Why the proxy cannot be used. Holds no value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The bottle's proxy goes through no other.
    #[error("{place}: `egress.upstream_proxy` is for the guard, and this bottle's proxy is pipelock")]
    NotForPipelock {
        /// File and line.
        place: String,
    },
    /// The variable is not set.
    #[error("{place}: `egress.upstream_proxy` needs the environment variable `{variable}`, which is not set")]
    Missing {
        /// File and line.
        place: String,
        /// The variable.
        variable: String,
    },
    /// The value is no address of a proxy.
    #[error("the environment variable `{variable}` is not the address of an HTTP proxy: {reason}")]
    NotAnAddress {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl UpstreamError {
    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotForPipelock { .. } => {
                "set `egress.proxy: guard`, or `egress.upstream_proxy: none` to go without".to_owned()
            }
            Self::Missing { variable, .. } => {
                format!("set it before the start: export {variable}=http://HOST:PORT")
            }
            Self::NotAnAddress { .. } => {
                "write it as http://HOST:PORT, or set `egress.upstream_proxy: none` to go without".to_owned()
            }
        }
    }
}

/// Finds the proxy above a bottle's own one. Only the guard goes through one, which a manifest that asks for both is told.
pub fn of(
    bottle: &Bottle,
    proxy: Proxy,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Found>, UpstreamError> {
    let setting = bottle.egress.upstream.as_ref();
    match setting {
        _ if proxy == Proxy::Guard => find(setting, variable),
        Some(Upstream { source: UpstreamSource::Off, .. }) | None => Ok(None),
        Some(Upstream { origin, .. }) => Err(UpstreamError::NotForPipelock { place: origin.to_string() }),
    }
}

/// Finds the proxy that a bottle's guard goes through; `None` when it goes without.
fn find(
    setting: Option<&Upstream>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Found>, UpstreamError> {
    let text = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (name, value) = match setting.map(|setting| (&setting.source, &setting.origin)) {
        Some((UpstreamSource::Off, _)) => return Ok(None),
        Some((UpstreamSource::Address(address), _)) => return Ok(Some(found(address.clone(), None, &text))),
        Some((UpstreamSource::Host { variable }, origin)) => {
            let missing =
                || UpstreamError::Missing { place: origin.to_string(), variable: variable.to_string() };
            (variable.to_string(), text(variable.as_str()).ok_or_else(missing)?)
        }
        None => match VARIABLES.iter().find_map(|name| Some((*name, text(name)?))) {
            Some((name, value)) => (name.to_owned(), value),
            None => return Ok(None),
        },
    };
    let value = value.into_string().map(Zeroizing::new).map_err(|_| "it is not UTF-8");
    let parsed = value.and_then(|value| parse(&value));
    let (address, credentials) =
        parsed.map_err(|reason| UpstreamError::NotAnAddress { variable: name, reason })?;
    Ok(Some(found(address, credentials, &text)))
}

fn found(
    address: Authority,
    credentials: Option<Zeroizing<String>>,
    text: &impl Fn(&str) -> Option<OsString>,
) -> Found {
    let direct = DIRECT.iter().find_map(|name| text(name)?.into_string().ok()).unwrap_or_default();
    let name = credentials.as_ref().map(|_| CREDENTIALS.to_owned());
    Found { proxy: UpstreamProxy { address, credentials: name, direct: patterns(&direct) }, credentials }
}

/// Reads `http://[user[:password]@]host[:port][/]`, the scheme being optional as in curl.
pub fn parse(text: &str) -> Result<(Authority, Option<Zeroizing<String>>), &'static str> {
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err("its scheme is not http"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("it has a path");
    }
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let (host, port) = claude_bottle_egress_policy::parse_authority(host, Some(DEFAULT_PORT))
        .map_err(|_| "its host or its port is not valid")?;
    let credentials = user.map(decode).transpose()?;
    Ok((Authority { host, port }, credentials))
}

/// Decodes percent signs of a user and a password.
fn decode(text: &str) -> Result<Zeroizing<String>, &'static str> {
    const WRONG: &str = "its user or its password is not percent-encoded UTF-8";
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2).ok_or(WRONG)?;
        let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
        rest = more;
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return Err(WRONG);
    }
    let mut decoded = Zeroizing::new(std::str::from_utf8(&bytes).map_err(|_| WRONG)?.to_owned());
    if !decoded.contains(':') {
        decoded.push(':');
    }
    Ok(decoded)
}

/// Returns the hosts of a `NO_PROXY` list. A name stands for all below it too; what is no name or address, such as a
/// range, leaves the hosts it means to the proxy.
fn patterns(list: &str) -> Vec<HostPattern> {
    let words = list.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    words
        .flat_map(|word| {
            let name = word.trim_start_matches("*.").trim_start_matches('.');
            [name.to_owned(), format!("*.{name}")]
        })
        .filter_map(|text| HostPattern::parse(&text).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, Option<&str>), &str>) {
        let parsed = parse(text);
        let parsed = parsed
            .as_ref()
            .map(|(address, user)| (address.to_string(), user.as_ref().map(|user| user.as_str())));
        let expected = expected.map(|(address, user)| (address.to_owned(), user));
        assert_eq!(parsed.map_err(|reason| *reason), expected, "{text}");
    }

    #[test]
    fn reads_what_curl_reads() {
        check("http://proxy.test:3128", Ok(("proxy.test:3128", None)));
        check("HTTP://Proxy.test:3128/", Ok(("proxy.test:3128", None)));
        check("proxy.test", Ok(("proxy.test:1080", None)));
        check("http://[2001:db8::1]:3128", Ok(("[2001:db8::1]:3128", None)));
        check("http://me:p%40ss:w@proxy.test:3128", Ok(("proxy.test:3128", Some("me:p@ss:w"))));
        check("http://me@proxy.test:3128", Ok(("proxy.test:3128", Some("me:"))));
        check("socks5://proxy.test:1080", Err("its scheme is not http"));
        check("https://proxy.test", Err("its scheme is not http"));
        check("http://proxy.test:3128/path", Err("it has a path"));
        check("http://proxy.test:0", Err("its host or its port is not valid"));
        check("http://", Err("its host or its port is not valid"));
        for wrong in
            ["http://a%0d:b@p.test:1", "http://a%zz@p.test:1", "http://a%f@p.test:1", "http://%ff:x@p.test:1"]
        {
            check(wrong, Err("its user or its password is not percent-encoded UTF-8"));
        }
    }

    #[test]
    fn the_hosts_variables_count_when_the_manifest_says_nothing() {
        let host = |name: &str| match name {
            "https_proxy" => Some("http://me:pw@proxy.test:3128".into()),
            "NO_PROXY" => Some("localhost, .corp.test,10.1.2.3,10.0.0.0/8,*".into()),
            _ => None,
        };
        let found = find(None, host).unwrap().unwrap();
        assert_eq!(found.proxy.address.to_string(), "proxy.test:3128");
        assert_eq!(found.proxy.credentials.as_deref(), Some(CREDENTIALS));
        assert_eq!(found.credentials.unwrap().as_str(), "me:pw");
        let direct: Vec<_> = found.proxy.direct.iter().map(ToString::to_string).collect();
        assert_eq!(direct, ["localhost", "corp.test", "*.corp.test", "10.1.2.3"]);
        assert!(find(None, |_| None).unwrap().is_none());
        assert!(find(None, |_| Some("".into())).unwrap().is_none());
        let Err(error) = find(None, |_| Some("socks5://secret@x".into())) else { panic!("taken") };
        assert!(!error.to_string().contains("secret") && error.hint().contains("none"), "{error}");
    }
}
