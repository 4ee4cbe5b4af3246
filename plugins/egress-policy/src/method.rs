//! The methods of HTTP that a rule may name, and how one of a request is compared with them.

use std::fmt;

/// Registered methods, <https://www.iana.org/assignments/http-methods>, without those that open something else than a request:
/// CONNECT and PRI. A rule with a misspelt one would deny nothing, so no other word is taken.
const METHODS: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// The methods that a rule names; none named is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Methods(Vec<&'static str>);

impl Methods {
    /// Returns `true` if a word can only be meant as methods: capitals, hyphens and commas.
    pub(crate) fn is_meant(word: &str) -> bool {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b',' | b'-'))
    }

    /// Reads methods with commas between them.
    ///
    /// # Errors
    /// Returns the first word that is not one.
    pub(crate) fn parse(text: &str) -> Result<Self, &str> {
        let known = |word| METHODS.iter().copied().find(|method| *method == word).ok_or(word);
        let mut methods = text.split(',').map(known).collect::<Result<Vec<_>, _>>()?;
        methods.sort_unstable();
        methods.dedup();
        Ok(Self(methods))
    }

    /// Returns `true` if every method is meant.
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `true` if a method is one of those, as it is written.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.is_any() || self.0.contains(&method)
    }

    /// Returns `true` if a server could take a method for one of those: some know it in any case.
    pub(crate) fn may_have(&self, method: &str) -> bool {
        self.is_any() || self.0.iter().any(|known| known.eq_ignore_ascii_case(method))
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_methods_are_taken() {
        let check = |text, expected: Result<&str, &str>| {
            let got = Methods::parse(text).map(|methods| methods.to_string());
            assert_eq!(got.as_deref().map_err(|word| *word), expected, "{text}");
        };
        check("GET", Ok("GET"));
        check("POST,GET,POST", Ok("GET,POST"));
        check("VERSION-CONTROL", Ok("VERSION-CONTROL"));
        for (text, word) in
            [("PSOT", "PSOT"), ("GET,", ""), ("GET,WS", "WS"), ("CONNECT", "CONNECT"), ("get", "get")]
        {
            check(text, Err(word));
        }
    }

    #[test]
    fn the_list_is_sorted_and_each_word_is_meant() {
        assert!(METHODS.is_sorted());
        assert!(METHODS.iter().all(|method| Methods::is_meant(method)));
        for word in ["", "Get", "a.example", "GET/x", "GET:80"] {
            assert!(!Methods::is_meant(word), "{word}");
        }
    }

    #[test]
    fn a_denial_compares_without_case() {
        let methods = Methods::parse("POST").unwrap();
        assert!(methods.has("POST") && !methods.has("post") && !methods.has("GET"));
        assert!(methods.may_have("post") && methods.may_have("PoSt") && !methods.may_have("PUT"));
        assert!(Methods::default().has("anything"));
    }
}
