//! Kinds of secrets that are looked for when the bottle asks for them: numbers with check digits, keys of wallets, tokens.
//! They fit ordinary requests now and then, so none of them is looked for by itself.

mod accounts;
mod cards;
mod wallets;

use std::sync::LazyLock;

use claude_bottle_egress_policy::DlpKind;
use regex::bytes::Regex;

/// Header, claims and signature, each in base64: <https://www.rfc-editor.org/rfc/rfc7519#section-3>. `eyJ` is `{"`.
const JWT: &str = r"(?:^|[^0-9A-Za-z_-])eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{16,}";

static JWTS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(JWT));

/// Returns the name of the first of these kinds that is in the text.
pub fn find(kinds: &[DlpKind], text: &[u8]) -> Option<&'static str> {
    kinds.iter().find_map(|kind| match kind {
        DlpKind::Cards => cards::is_in(text).then_some("payment-card"),
        DlpKind::Accounts => accounts::is_in(text).then_some("bank-account"),
        DlpKind::Wallets => wallets::is_in(text).then_some("wallet-key"),
        DlpKind::Jwts => fits(&JWTS, text).then_some("json-web-token"),
    })
}

fn pattern(text: &str) -> Option<Regex> {
    regex::bytes::RegexBuilder::new(text).unicode(false).build().ok()
}

/// Every pattern is tested to compile; one that does not would let nothing be called clean.
fn fits(pattern: &LazyLock<Option<Regex>>, text: &[u8]) -> bool {
    pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_their_three_parts() {
        let token = ["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "c2lnbmF0dXJlLW9mLXRoaXM"].join(".");
        let found = |text: &str| find(&[DlpKind::Jwts], text.as_bytes());
        assert_eq!(found(&format!("/?token={token}&x=1")), Some("json-web-token"));
        assert_eq!(found(&token[..40]), None);
        assert_eq!(found("eyJust.eyJust.words"), None);
        assert_eq!(find(&[], token.as_bytes()), None);
    }
}
