//! The rule set: forms of well-known credentials, kept as data beside this crate with their licence.
//!
//! Every rule has keywords, one of which is part of, or near, each credential it knows. One pass finds the keywords,
//! and only around them the rules they belong to are tried, the way their source means it: the value has to look random
//! enough, and the allowlist must not know it. An automaton of all patterns together would need dozens of megabytes
//! for each thread to be fast on ordinary text, and falls to a fraction of a megabyte a second with less.

use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use super::ends;
use super::keywords::Keywords;
use crate::ScanError;

const DATA: &str = include_str!("../data/gitleaks-rules.json");

/// Forms that the source does not know, after what their vendors say of them.
const OWN: &str = include_str!("../data/own-rules.json");

/// Text in front of a keyword that a pattern may use: most allow fifty characters of a name.
const BEFORE: usize = 128;

/// Text behind a keyword that a pattern may use: a private key has several thousand characters.
const AFTER: usize = 8 * 1024;

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
    #[serde(default)]
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

#[derive(Deserialize, Default)]
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
    /// Compiled when one of its keywords first occurs.
    regex: OnceLock<Option<Regex>>,
    allow: Vec<Allow>,
}

/// All rules that are in use.
pub struct RuleSet {
    keywords: Keywords,
    /// The rules of each keyword.
    owners: Vec<Vec<usize>>,
    rules: Vec<Rule>,
    common: Allow,
}

/// Where a rule has to be tried.
struct Stretch {
    rule: usize,
    start: usize,
    end: usize,
}

static BUILTIN: LazyLock<Result<RuleSet, String>> = LazyLock::new(|| RuleSet::load(DATA, OWN));

/// Returns the built-in rules, read at the first call.
pub fn builtin() -> Result<&'static RuleSet, ScanError> {
    BUILTIN.as_ref().map_err(|reason| ScanError { reason: reason.clone() })
}

impl RuleSet {
    fn load(text: &str, own: &str) -> Result<Self, String> {
        let read = |text| serde_json::from_str::<Document>(text).map_err(|error| error.to_string());
        let (document, own) = (read(text)?, read(own)?);
        let common = Allow::new(&document.common)?;
        let used = document
            .rules
            .into_iter()
            .chain(own.rules)
            .filter(|rule| !SWITCHED_OFF.contains(&rule.id.as_str()));
        let rules = used.map(Rule::new).collect::<Result<Vec<_>, _>>()?;
        let (mut words, mut owners): (Vec<String>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            for word in &rule.text.keywords {
                let word = word.to_ascii_lowercase();
                match words.iter().position(|known| *known == word) {
                    Some(known) => owners[known].push(index),
                    None => {
                        words.push(word);
                        owners.push(vec![index]);
                    }
                }
            }
        }
        let keywords = Keywords::new(&words)?;
        Ok(Self { keywords, owners, rules, common })
    }

    /// Returns the number of the rule of this name.
    pub fn find(&self, id: &str) -> Option<RuleIndex> {
        self.rules.iter().position(|rule| rule.text.id == id).map(RuleIndex)
    }

    /// Returns the name of the rule of this number.
    pub fn name(&self, index: RuleIndex) -> &str {
        &self.rules[index.0].text.id
    }

    /// Returns `true` if the rule knows its value by a word in front of it alone.
    pub fn is_named(&self, index: RuleIndex) -> bool {
        ends::is_named(&self.rules[index.0].text.regex)
    }

    /// Returns the name of the first rule that fits and that `wanted` lets count.
    pub fn find_in(&self, text: &[u8], wanted: impl Fn(RuleIndex) -> bool) -> Option<&str> {
        self.find_other_in(text, wanted, |_| false)
    }

    /// The same, for a value that is not one of those `own` knows.
    pub fn find_other_in(
        &self,
        text: &[u8],
        wanted: impl Fn(RuleIndex) -> bool,
        own: impl Fn(&[u8]) -> bool,
    ) -> Option<&str> {
        let stretches = self.stretches(text, wanted);
        let fits = |s: &&Stretch| self.rules[s.rule].fits(&text[..s.end], s.start, &self.common, &own);
        stretches.iter().find(fits).map(|stretch| self.rules[stretch.rule].text.id.as_str())
    }

    /// Returns where which rule has to be tried: around its keywords, stretches that touch joined.
    fn stretches(&self, text: &[u8], wanted: impl Fn(RuleIndex) -> bool) -> Vec<Stretch> {
        let (mut found, mut latest): (Vec<Stretch>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
        self.keywords.each(text, |keyword| {
            let start = keyword.start.saturating_sub(BEFORE);
            let end = text.len().min(keyword.end + AFTER);
            latest.resize(self.rules.len(), None);
            for rule in self.owners[keyword.word].iter().copied() {
                match latest[rule].map(|index| &mut found[index]) {
                    // Long and short keywords do not come in one order.
                    Some(stretch) if stretch.end >= start && stretch.start <= end => {
                        stretch.start = stretch.start.min(start);
                        stretch.end = stretch.end.max(end);
                    }
                    _ if wanted(RuleIndex(rule)) => {
                        latest[rule] = Some(found.len());
                        found.push(Stretch { rule, start, end });
                    }
                    _ => {}
                }
            }
        });
        found
    }

    /// Tells the slow way whether a rule fits: each whose keyword is anywhere is tried on everything.
    #[cfg(any(test, feature = "sample"))]
    pub fn fits_slowly(&self, text: &[u8]) -> bool {
        let lower = text.to_ascii_lowercase();
        let has = |word: &String| memchr::memmem::find(&lower, word.as_bytes()).is_some();
        let near = |rule: &&Rule| rule.text.keywords.iter().any(has);
        self.rules.iter().filter(near).any(|rule| rule.fits(text, 0, &self.common, &|_| false))
    }

    /// Returns the names of all rules, each with its pattern as its source has it, and a keyword.
    #[cfg(any(test, feature = "sample"))]
    pub fn patterns(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.rules.iter().map(|rule| {
            let RuleText { id, regex, keywords, .. } = &rule.text;
            (id.as_str(), regex.as_str(), keywords[0].as_str())
        })
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
        let allow = text.allow.iter().map(Allow::new).collect::<Result<_, _>>()?;
        Ok(Self { text, regex: OnceLock::new(), allow })
    }

    /// Tells whether some match from `start` on is a credential by all the rule knows.
    fn fits(&self, text: &[u8], start: usize, common: &Allow, own: &dyn Fn(&[u8]) -> bool) -> bool {
        // Every pattern is tested to compile; should one not, its keyword alone counts.
        let Some(regex) = self.regex.get_or_init(|| compile(&ends::for_requests(&self.text.regex))) else {
            return true;
        };
        let mut at = start;
        while let Some(captures) = regex.captures_at(text, at) {
            if self.is_credential(&captures, common, own) {
                return true;
            }
            let end = captures.get(0).map_or(text.len(), |whole| whole.end());
            at = end.max(at + 1);
            if at > text.len() {
                break;
            }
        }
        false
    }

    fn is_credential(&self, captures: &Captures<'_>, common: &Allow, own: &dyn Fn(&[u8]) -> bool) -> bool {
        let whole = captures.get(0).map_or(&b""[..], |m| m.as_bytes());
        let first = || captures.iter().skip(1).flatten().map(|m| m.as_bytes()).find(|m| !m.is_empty());
        let value = match self.text.group {
            Some(group) => captures.get(group).map_or(whole, |m| m.as_bytes()),
            None => first().unwrap_or(whole),
        };
        let known = |allow: &Allow| allow.knows(if allow.on_value { value } else { whole });
        let is_known = known(common) || self.allow.iter().any(known) || own(value);
        entropy(value) >= self.text.entropy && !is_known
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
    RegexBuilder::new(pattern).unicode(false).build().ok()
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
            assert!(compile(&ends::for_requests(&rule.text.regex)).is_some(), "{}", rule.text.id);
            assert!(!rule.text.keywords.is_empty(), "{} would never be tried", rule.text.id);
        }
        for off in SWITCHED_OFF {
            assert!(DATA.contains(&format!("\"id\": \"{off}\"")), "{off} is not in the data");
        }
    }

    /// A keyword of fewer than four bytes is looked for as its pattern has it.
    #[test]
    fn short_keywords_stand_in_their_patterns() {
        for rule in &builtin().unwrap().rules {
            for word in rule.text.keywords.iter().filter(|word| word.len() < 4) {
                let pattern = super::super::keywords::short_pattern(word).unwrap();
                assert_eq!(rule.text.regex.matches(pattern).count(), 1, "{word} in {}", rule.text.id);
            }
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
