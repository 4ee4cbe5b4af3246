//! What a header shows as a credential, and a placeholder that is the whole of it.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claude_bottle_egress_policy::Place;
use zeroize::Zeroizing;

/// The header whose value begins with a scheme.
pub(super) const AUTHORIZATION: &str = "authorization";

/// A placeholder in a header, and what becomes of the value around it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Which place it is in.
    pub(super) place: Place,
    splice: Splice,
}

#[derive(Debug, PartialEq, Eq)]
enum Splice {
    /// It is these bytes of the value.
    Plain(Range<usize>),
    /// It is encoded behind the scheme, between these.
    Encoded { at: usize, before: Vec<u8>, behind: Vec<u8> },
}

impl Shown {
    /// Looks for a placeholder that is the whole credential of a header.
    pub(super) fn find(name: &str, value: &[u8], placeholder: &str) -> Option<Self> {
        if name == AUTHORIZATION
            && let Some(space) = value.iter().position(|byte| *byte == b' ')
        {
            let at = space + value[space..].iter().take_while(|byte| **byte == b' ').count();
            return with_scheme(&value[..space], (value, at), placeholder.as_bytes());
        }
        (value == placeholder.as_bytes())
            .then(|| Self { place: Place::Header(name.to_owned()), splice: Splice::Plain(0..value.len()) })
    }

    /// Returns the header's value with a secret in place of the placeholder.
    pub(super) fn fill(&self, value: &[u8], secret: &str) -> Zeroizing<Vec<u8>> {
        match &self.splice {
            Splice::Plain(range) => {
                let parts = [&value[..range.start], secret.as_bytes(), &value[range.end..]];
                Zeroizing::new(parts.concat())
            }
            Splice::Encoded { at, before, behind } => {
                let whole = Zeroizing::new([before.as_slice(), secret.as_bytes(), behind].concat());
                let text = Zeroizing::new(STANDARD.encode(&*whole));
                Zeroizing::new([&value[..*at], text.as_bytes()].concat())
            }
        }
    }
}

/// Schemes are compared without case: <https://www.rfc-editor.org/rfc/rfc9110#section-11.1>.
fn with_scheme(scheme: &[u8], (value, at): (&[u8], usize), placeholder: &[u8]) -> Option<Shown> {
    let is = |name: &[u8]| scheme.eq_ignore_ascii_case(name);
    if is(b"bearer") || is(b"token") {
        let splice = Splice::Plain(at..value.len());
        return (&value[at..] == placeholder).then_some(Shown { place: Place::Bearer, splice });
    }
    if !is(b"basic") {
        return None;
    }
    let text = STANDARD.decode(&value[at..]).ok()?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&text[..colon], &text[colon + 1..]);
    let (before, behind) = match (user == placeholder, password == placeholder) {
        (true, false) => (Vec::new(), text[colon..].to_vec()),
        (false, true) => (text[..=colon].to_vec(), Vec::new()),
        _ => return None,
    };
    Some(Shown { place: Place::Basic, splice: Splice::Encoded { at, before, behind } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: &str = "placeholder-for-TOKEN";

    fn filled(name: &str, value: &str) -> Option<(String, String)> {
        let shown = Shown::find(name, value.as_bytes(), HOLDER)?;
        let filled = shown.fill(value.as_bytes(), "the-value");
        Some((shown.place.to_string(), String::from_utf8(filled.to_vec()).unwrap()))
    }

    fn basic(text: &str) -> String {
        STANDARD.encode(text)
    }

    #[test]
    fn a_whole_credential_is_replaced() {
        let check = |name: &str, value: &str, place: &str, expected: &str| {
            assert_eq!(filled(name, value), Some((place.to_owned(), expected.to_owned())), "{name}: {value}");
        };
        check(AUTHORIZATION, &format!("Bearer {HOLDER}"), "bearer", "Bearer the-value");
        check(AUTHORIZATION, &format!("bEARER  {HOLDER}"), "bearer", "bEARER  the-value");
        check(AUTHORIZATION, &format!("token {HOLDER}"), "bearer", "token the-value");
        check(AUTHORIZATION, HOLDER, "header: authorization", "the-value");
        check("x-api-key", HOLDER, "header: x-api-key", "the-value");
        for (sent, goes) in [
            (format!("x-access-token:{HOLDER}"), "x-access-token:the-value"),
            (format!("{HOLDER}:"), "the-value:"),
            (format!("{HOLDER}:x:y"), "the-value:x:y"),
            (format!(":{HOLDER}"), ":the-value"),
        ] {
            let value = format!("BASIC {}", basic(&sent));
            check(AUTHORIZATION, &value, "basic", &format!("BASIC {}", basic(goes)));
        }
    }

    #[test]
    fn anything_else_is_text() {
        let unpadded = format!("Basic {}", basic(&format!("a:{HOLDER}")).strip_suffix('=').unwrap());
        for (name, value) in [
            (AUTHORIZATION, format!("Bearer x{HOLDER}")),
            (AUTHORIZATION, format!("Bearer {HOLDER}x")),
            (AUTHORIZATION, format!("Bearer {HOLDER} {HOLDER}")),
            (AUTHORIZATION, format!("Bearer \"{HOLDER}\"")),
            (AUTHORIZATION, format!("Bearer {}", &HOLDER[1..])),
            (AUTHORIZATION, format!("Bearer {}", HOLDER.to_ascii_uppercase())),
            (AUTHORIZATION, format!("Digest {HOLDER}")),
            (AUTHORIZATION, format!("Basic {HOLDER}")),
            (AUTHORIZATION, format!("Basic {}", basic(HOLDER))),
            (AUTHORIZATION, unpadded),
            (AUTHORIZATION, format!("Basic {}", basic(&format!("{HOLDER}:{HOLDER}")))),
            (AUTHORIZATION, format!("Basic {}", basic(&format!("a:x{HOLDER}")))),
            (AUTHORIZATION, format!("Basic {}", basic(&format!("a:{HOLDER}:b")))),
            (AUTHORIZATION, format!("Basic {} x", basic(&format!("a:{HOLDER}")))),
            (AUTHORIZATION, format!("Bearer {}", basic(HOLDER))),
            ("x-api-key", format!("Bearer {HOLDER}")),
            ("x-api-key", format!("{HOLDER},{HOLDER}")),
        ] {
            assert_eq!(filled(name, &value), None, "{name}: {value}");
        }
    }
}
