//! The decision about one request: its place, its method and its path.

use crate::decision::{Code, Decision, Scheme};
use crate::host::HostOrIp;
use crate::path::RequestPath;
use crate::policy::{Policy, allowance, refusal};
use crate::rule::{Effect, Rule};

/// What a request asks of its host.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path as sent, perhaps with a query.
    pub target: &'a str,
}

impl Policy {
    /// Decides a request to `host` at `port`. In a tunnel that is not opened no request is seen, so that its place decides.
    ///
    /// Deny wins. Where a rule about paths of the host could decide, the path has to have one reading.
    pub fn decide_request(&self, host: &HostOrIp, port: u16, scheme: Scheme, asked: Asked<'_>) -> Decision {
        let place = self.decide(host, port, scheme);
        let at = |rule: &&Rule| rule.matches_host(host) && rule.matches_port(port, scheme);
        let rules: Vec<&Rule> = self.rules.iter().filter(at).collect();
        if scheme == Scheme::Connect || !place.is_allowed() || !rules.iter().any(|rule| rule.is_narrow()) {
            return place;
        }
        let path = match rules.iter().find(|rule| rule.has_path()) {
            None => None,
            Some(rule) => match RequestPath::read(asked.target) {
                Ok(path) => Some(path),
                Err(error) => return refusal(Code::BadPath, Some(rule), error.to_string()),
            },
        };
        decide(&rules, (host, port), asked.method, path.as_ref())
    }
}

fn decide(
    rules: &[&Rule],
    (host, port): (&HostOrIp, u16),
    method: &str,
    path: Option<&RequestPath>,
) -> Decision {
    let fits_path = |rule: &Rule| path.is_none_or(|path| rule.matches_path(path));
    let fitting = |effect| {
        let fits = |rule: &&&Rule| rule.effect() == effect && rule.matches_method(method) && fits_path(rule);
        rules.iter().find(fits)
    };
    if let Some(rule) = fitting(Effect::Deny) {
        let reason = match rule.is_narrow() {
            true => format!("such a request to `{host}` is denied by a rule"),
            false => format!("`{host}` is denied by a rule"),
        };
        return refusal(Code::DeniedByRule, Some(rule), reason);
    }
    if let Some(rule) = fitting(Effect::Allow) {
        return allowance(rule, host, port);
    }
    let allowing = || rules.iter().filter(|rule| rule.effect() == Effect::Allow);
    match allowing().find(|rule| fits_path(rule)) {
        Some(rule) => refusal(
            Code::MethodNotAllowed,
            Some(rule),
            format!("`{host}` is allowed, but not by this method"),
        ),
        None => {
            let rule = allowing().next().copied();
            refusal(Code::PathNotAllowed, rule, format!("`{host}` is allowed, but not this path"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &[&str], scheme: Scheme, (method, target): (&str, &str), expected: (Code, Option<&str>)) {
        let policy = Policy {
            rules: rules.iter().map(|text| Rule::parse(text, "test").unwrap()).collect(),
            ..Policy::default()
        };
        let host = HostOrIp::parse("a.example").unwrap();
        let port = if scheme == Scheme::Http { 80 } else { 443 };
        let decision = policy.decide_request(&host, port, scheme, Asked { method, target });
        assert_eq!(
            (decision.code, decision.rule.as_deref()),
            expected,
            "{rules:?} {scheme:?} {method} {target}"
        );
        assert_eq!(decision.is_allowed(), decision.code == Code::Allowed);
        assert!(!decision.reason.contains(target) || target == "/", "{}", decision.reason);
    }

    #[test]
    fn methods_and_paths_decide() {
        let rules = ["GET,HEAD a.example/releases/**", "POST a.example/api/*"];
        for scheme in [Scheme::Http, Scheme::Https] {
            let check = |asked, code, rule| check(&rules, scheme, asked, (code, Some(rule)));
            check(("GET", "/releases/1/x?y"), Code::Allowed, rules[0]);
            check(("HEAD", "/releases/"), Code::Allowed, rules[0]);
            check(("POST", "/api/x"), Code::Allowed, rules[1]);
            check(("PUT", "/api/x"), Code::MethodNotAllowed, rules[1]);
            check(("post", "/api/x"), Code::MethodNotAllowed, rules[1]);
            check(("GET", "/api/x/y"), Code::PathNotAllowed, rules[0]);
            check(("GET", "/releases/../api"), Code::BadPath, rules[0]);
            check(("GET", "/%2e%2e/x"), Code::BadPath, rules[0]);
        }
        // What is inside is not seen, so a rule about it opens nothing.
        check(&rules, Scheme::Connect, ("GET", "/releases/x"), (Code::PortNotAllowed, Some(rules[0])));
    }

    #[test]
    fn a_denied_push_is_denied_however_it_is_spelled() {
        let rules = ["a.example", "deny POST a.example/**/git-receive-pack"];
        let denied = (Code::DeniedByRule, Some(rules[1]));
        for target in [
            "/o/r.git/git-receive-pack",
            "/o/r.git/git-receive-pack?x",
            "/o/r/Git-Receive-Pack/",
            "/o/r/git%2Dreceive-pack;x",
        ] {
            check(&rules, Scheme::Https, ("POST", target), denied);
            check(&rules, Scheme::Https, ("post", target), denied);
        }
        for target in [
            "/o//git-receive-pack",
            "/o/..;/git-receive-pack",
            "/o%2fgit-receive-pack",
            "/o\\git-receive-pack",
        ] {
            check(&rules, Scheme::Https, ("POST", target), (Code::BadPath, Some(rules[1])));
        }
        for asked in [
            ("POST", "/o/r.git/git-upload-pack"),
            ("GET", "/o/r.git/info/refs?service=git-receive-pack"),
            ("GET", "/o/r.git/git-receive-pack"),
        ] {
            check(&rules, Scheme::Https, asked, (Code::Allowed, Some(rules[0])));
        }
        // Unopened, the tunnel could carry what is denied.
        check(&rules, Scheme::Connect, ("POST", "/x"), denied);
    }

    #[test]
    fn without_rules_about_paths_a_path_is_not_read() {
        check(&["GET a.example"], Scheme::Https, ("GET", "/a//../b"), (Code::Allowed, Some("GET a.example")));
        check(&["a.example"], Scheme::Http, ("GET", "//"), (Code::Allowed, Some("a.example")));
        check(
            &["GET a.example"],
            Scheme::Http,
            ("PUT", "/"),
            (Code::MethodNotAllowed, Some("GET a.example")),
        );
        // A rule about another port or host is not about this path.
        let rules = ["a.example", "deny a.example:8080/x", "deny b.example/x"];
        check(&rules, Scheme::Http, ("GET", "//"), (Code::Allowed, Some("a.example")));
    }

    #[test]
    fn the_place_comes_first() {
        let rules = ["deny a.example", "GET a.example/x"];
        check(&rules, Scheme::Https, ("GET", "/x"), (Code::DeniedByRule, Some("deny a.example")));
        check(&["b.example"], Scheme::Http, ("GET", "//"), (Code::NotInAllowlist, None));
        check(
            &["GET a.example:8080/x"],
            Scheme::Http,
            ("GET", "/x"),
            (Code::PortNotAllowed, Some("GET a.example:8080/x")),
        );
    }
}
