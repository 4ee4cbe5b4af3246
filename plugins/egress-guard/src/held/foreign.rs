//! Credentials of somebody else's, towards a host that takes the bottle's own alone.
//!
//! An agent that was talked into it could otherwise carry everything to another account of a host that every bottle may reach.

use claude_bottle_egress_policy::{Code, Place};

use super::{Held, HeldSecret, Put, url};
use crate::dlp::CREDENTIAL_HEADERS;
use crate::http::destination::Destination;
use crate::http::head::RequestHead;
use crate::serve::Denial;

/// Keys of a query in which hosts take a credential.
const KEYS: &[&[u8]] = &[b"access_token", b"api_key", b"api-key", b"apikey", b"auth", b"key", b"token"];

/// Cookies that the network in front of a host sets by itself, and that name no account:
/// <https://developers.cloudflare.com/fundamentals/reference/policies-compliances/cloudflare-cookies/>.
const NETWORK_COOKIES: &[&[u8]] = &[b"__cf_bm", b"_cfuvid", b"__cflb", b"cf_clearance", b"__cfruid"];

impl Held {
    /// Refuses a request that brings a credential of its own, where one secret's hosts take no other.
    pub(super) fn refuse_foreign(
        &self,
        head: &RequestHead,
        (wanted, own): (&Destination, &[&HeldSecret]),
        put: &Put,
    ) -> Result<(), Denial> {
        let Some(secret) = own.iter().find(|secret| secret.only) else { return Ok(()) };
        let mut headers = head.headers.iter().enumerate();
        let is_foreign = headers.any(|(index, header)| match header.name.as_str() {
            "cookie" => !header.value.split(|byte| *byte == b';').all(is_of_network),
            name => self.is_credential(name) && put.header(index).is_none(),
        });
        let is_foreign = is_foreign || has_key(&wanted.path, own, put);
        if !is_foreign {
            return Ok(());
        }
        let reason = format!("`{}` takes no other credential than `{}`", wanted.host, secret.name);
        Err(Denial::new(Code::ForeignCredential, reason))
    }

    /// Returns `true` if a header is one for credentials, here or at the hosts of some secret.
    pub(super) fn is_credential(&self, header: &str) -> bool {
        header != "cookie" && (CREDENTIAL_HEADERS.contains(&header) || self.is_named(header))
    }
}

fn is_of_network(cookie: &[u8]) -> bool {
    let name = cookie.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    name.is_empty() || NETWORK_COOKIES.contains(&name)
}

/// Returns `true` if a key of the query has a credential that was not put in.
fn has_key(target: &str, own: &[&HeldSecret], put: &Put) -> bool {
    let is_key = |key: &[u8]| {
        let is_place = |place: &Place| matches!(place, Place::Query(name) if name.as_bytes() == key);
        KEYS.iter().any(|known| key.eq_ignore_ascii_case(known))
            || own.iter().any(|secret| secret.places.iter().any(is_place))
    };
    let is_placeholder = |value: &[u8]| own.iter().any(|secret| secret.placeholder.as_bytes() == value);
    url::pairs(target).any(|pair| {
        let is_put_in = put.target().is_some() && is_placeholder(&pair.value);
        is_key(&pair.key) && !pair.value.is_empty() && !is_put_in
    })
}
