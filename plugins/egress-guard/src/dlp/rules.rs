//! The rule set: forms of well-known credentials, kept as data beside this crate with their licence.
//!
//! One pass over the text finds the rules that could fit; only those are looked at more closely, the way their source
//! means it: a keyword has to be near, the value has to look random enough, and the allowlist must not know it.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use crate::error::GuardError;

const DATA: &str = include_str!("../../data/gitleaks-rules.json");

/// With the default limit the automaton is thrown away over and over on this many patterns, and the speed falls from
/// hundreds of megabytes a second to a tenth of one.
const DFA_SIZE: usize = 16 * 1024 * 1024;

/// Limit for compiling; the default of 10 MiB is meant for patterns of strangers.
const COMPILED_SIZE: usize = 64 * 1024 * 1024;

/// Rules that fit ordinary requests too often to be of use here. They were made for source files, where a hit is looked
/// at by a person; here a hit stops a request.
const SWITCHED_OFF: &[&str] = &[
    // Any `key=` or `token:` with ten characters behind it: every second URL of a package registry.
    "generic-api-key",
    // A command line with a header in it; the header itself has its own rules.
    "curl-auth-header",
    "curl-auth-user",
    // Signed URLs of storage services carry tokens of this form, made for exactly that request.
    "jwt",
    "jwt-base64",
];

/// Number of a rule in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleIndex(usize);

#[derive(Deserialize)]
struct Document {
    common: AllowText,
    rules: Vec<RuleText>,
}

#[derive(Deserialize)]
struct RuleText {
    id: String,
    regex: String,
    keywords: Vec<String>,
    #[serde(default)]
    entropy: f64,
    group: Option<usize>,
    #[serde(default)]
    allow: Vec<AllowText>,
}

#[derive(Deserialize)]
struct AllowText {
    target: String,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    stopwords: Vec<String>,
}

struct Allow {
    on_value: bool,
    regexes: RegexSet,
    stopwords: Vec<String>,
}

struct Rule {
    text: RuleText,
    keywords: AhoCorasick,
    /// Compiled when the set first says that the rule may fit.
    regex: OnceLock<Option<Regex>>,
    allow: Vec<Allow>,
}

/// All rules that are in use.
pub struct RuleSet {
    set: RegexSet,
    rules: Vec<Rule>,
    common: Allow,
}

static BUILTIN: LazyLock<Result<RuleSet, String>> = LazyLock::new(|| RuleSet::load(DATA));

/// Returns the built-in rules, compiled at the first call.
pub fn builtin() -> Result<&'static RuleSet, GuardError> {
    BUILTIN.as_ref().map_err(|reason| GuardError::Rules { reason: reason.clone() })
}

impl RuleSet {
    fn load(text: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let common = Allow::new(&document.common)?;
        let used = document.rules.into_iter().filter(|rule| !SWITCHED_OFF.contains(&rule.id.as_str()));
        let rules = used.map(Rule::new).collect::<Result<Vec<_>, _>>()?;
        let set = RegexSetBuilder::new(rules.iter().map(|rule| &rule.text.regex))
            .unicode(false)
            .dfa_size_limit(DFA_SIZE)
            .size_limit(COMPILED_SIZE)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { set, rules, common })
    }

    /// Returns the number of the rule of this name.
    pub fn find(&self, id: &str) -> Option<RuleIndex> {
        self.rules.iter().position(|rule| rule.text.id == id).map(RuleIndex)
    }

    /// Returns the name of the first rule that fits and that `wanted` lets count.
    pub fn find_in(&self, text: &[u8], wanted: impl Fn(RuleIndex) -> bool) -> Option<&str> {
        let candidates = self.set.matches(text);
        let fits = |index: &usize| wanted(RuleIndex(*index)) && self.rules[*index].fits(text, &self.common);
        candidates.iter().find(fits).map(|index| self.rules[index].text.id.as_str())
    }

    /// Returns the number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Tells whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Rule {
    fn new(text: RuleText) -> Result<Self, String> {
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&text.keywords)
            .map_err(|error| format!("{}: {error}", text.id))?;
        let allow = text.allow.iter().map(Allow::new).collect::<Result<_, _>>()?;
        Ok(Self { text, keywords, regex: OnceLock::new(), allow })
    }

    /// Tells whether some match is a credential by all the rule knows.
    fn fits(&self, text: &[u8], common: &Allow) -> bool {
        if !self.keywords.is_match(text) {
            return false;
        }
        // The set has compiled the same pattern, so this cannot fail; if it did, the set's word stands.
        let Some(regex) = self.regex.get_or_init(|| compile(&self.text.regex)) else { return true };
        regex.captures_iter(text).any(|captures| {
            let whole = captures.get(0).map_or(&b""[..], |m| m.as_bytes());
            let first = || captures.iter().skip(1).flatten().map(|m| m.as_bytes()).find(|m| !m.is_empty());
            let value = match self.text.group {
                Some(group) => captures.get(group).map_or(whole, |m| m.as_bytes()),
                None => first().unwrap_or(whole),
            };
            let known = |allow: &Allow| allow.knows(if allow.on_value { value } else { whole });
            entropy(value) >= self.text.entropy && !known(common) && !self.allow.iter().any(known)
        })
    }
}

impl Allow {
    fn new(text: &AllowText) -> Result<Self, String> {
        let regexes =
            RegexSetBuilder::new(&text.regexes).unicode(false).build().map_err(|error| error.to_string())?;
        let stopwords = text.stopwords.iter().map(|word| word.to_ascii_lowercase()).collect();
        Ok(Self { on_value: text.target == "secret", regexes, stopwords })
    }

    fn knows(&self, value: &[u8]) -> bool {
        let lower = value.to_ascii_lowercase();
        let has = |word: &String| lower.windows(word.len().max(1)).any(|window| window == word.as_bytes());
        self.regexes.is_match(value) || self.stopwords.iter().any(has)
    }
}

fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).size_limit(COMPILED_SIZE).build().ok()
}

/// Shannon entropy in bits a byte, as the rules' source computes it.
fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let length = f64::from(u32::try_from(value.len().max(1)).unwrap_or(u32::MAX));
    let part = |count: &u32| {
        let share = f64::from(*count) / length;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&'static str> {
        builtin().unwrap().find_in(text.as_bytes(), |_| true)
    }

    #[test]
    fn the_data_compiles_whole() {
        let rules = builtin().unwrap();
        assert!(rules.len() > 200, "{}", rules.len());
        for rule in &rules.rules {
            assert!(compile(&rule.text.regex).is_some(), "{}", rule.text.id);
        }
        for off in SWITCHED_OFF {
            assert!(DATA.contains(&format!("\"id\": \"{off}\"")), "{off} is not in the data");
        }
    }

    #[test]
    fn finds_well_known_forms() {
        // Put together at run time, so that no scanner takes this file for a leak.
        let github = ["ghp", "_", "9aZ3kQ7xW1vB5nM8cL2jH6gF4dS0pR"].concat() + "eTyU1q";
        assert_eq!(found(&github), Some("github-pat"));
        let aws = ["AK", "IA", "Z7Q2M5X4W6R3T2YB"].concat();
        assert_eq!(found(&format!("key={aws}&x=1")), Some("aws-access-token"));
    }

    #[test]
    fn what_only_looks_alike_passes() {
        for text in [
            // A commit id: the form of one service's token, without the word that goes with it.
            "/api/commits/da39a3ee5e6b4b0d3255bfef95601890afd80709",
            // The documented example key.
            &["AK", "IA", "IOSFODNN7EXAMPLE"].concat(),
            "/debian/pool/main/o/openssl/libssl3_3.0.15-1~deb12u1_amd64.deb",
            "/simple/requests/requests-2.32.3-py3-none-any.whl#sha256=70761cfe03c773ceb22aa2f671b4757976145175cdfca038c02654d061d6dcc6",
            "token=da39a3ee5e6b4b0d3255",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
