//! Presets: the hosts of a registry or a forge by one name. What is in them is data, in `table`.

mod table;

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use claude_bottle_egress_policy::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::manifest::nearest;

pub use table::PRESETS;

/// Hosts by one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Names of programs and places that lead to it, for "did you mean".
    pub also: &'static [&'static str],
    /// Files of a project that call for it: names, or `*.ending`.
    pub files: &'static [&'static str],
    /// What it allows.
    pub hosts: &'static [PresetHost],
}

/// A host of a preset.
#[derive(Debug, PartialEq, Eq)]
pub struct PresetHost {
    /// The rule, as in an allowlist.
    pub rule: &'static str,
    /// Where its maker says that it is needed.
    pub source: &'static str,
}

impl Preset {
    /// Returns the rules, with where the preset was named.
    pub fn rules(&self, origin: &str) -> Vec<Rule> {
        let origin = || format!("preset {}, {origin}", self.name);
        // Each is tested to be a rule, so nothing is dropped here.
        self.hosts.iter().filter_map(|host| Rule::parse(host.rule, origin()).ok()).collect()
    }

    /// Returns the file among these names that calls for it.
    fn called_for_by<'n>(&self, names: &'n [String]) -> Option<&'n str> {
        let fits = |name: &str, wanted: &str| match wanted.strip_prefix('*') {
            Some(ending) => name.len() > ending.len() && name.ends_with(ending),
            None => name == wanted,
        };
        let first = |wanted: &&str| names.iter().find(|name| fits(name, wanted));
        self.files.iter().find_map(first).map(String::as_str)
    }
}

/// Returns a preset by name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// Returns the name of the preset that was meant perhaps: by its spelling, or by a program that it is for.
pub fn meant(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    let is_for = PRESETS.iter().find(|preset| preset.also.contains(&word.as_str()));
    is_for.map(|preset| preset.name).or_else(|| nearest(&word, names()))
}

/// Returns the names, in the order of the documentation.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.name)
}

/// Returns the presets that the files of a directory call for, each with the first such file. A directory that cannot be read
/// calls for none.
pub fn called_for(directory: &Path) -> Vec<(&'static Preset, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let by = |preset: &'static Preset| Some((preset, preset.called_for_by(&names)?.to_owned()));
    PRESETS.iter().filter_map(by).collect()
}

/// The name of a preset that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PresetName(String);

impl PresetName {
    /// Takes the name of a preset.
    pub fn of(preset: &Preset) -> Self {
        Self(preset.name.to_owned())
    }
}

impl TryFrom<String> for PresetName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        find(&text).map(Self::of).ok_or_else(|| format!("`{text}` is not a valid preset"))
    }
}

impl From<PresetName> for String {
    fn from(name: PresetName) -> Self {
        name.0
    }
}

impl JsonSchema for PresetName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "preset".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": names().collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::manifest::check_slug;

    #[test]
    fn every_host_is_a_rule_and_has_a_source() {
        let mut seen = BTreeSet::new();
        for preset in PRESETS {
            assert!(check_slug(preset.name).is_ok() && seen.insert(preset.name), "{}", preset.name);
            let texts: Vec<_> = preset.rules("here").iter().map(ToString::to_string).collect();
            let written: Vec<_> = preset.hosts.iter().map(|host| host.rule).collect();
            assert_eq!(texts, written, "{}", preset.name);
            assert!(!written.is_empty(), "{}", preset.name);
            for host in preset.hosts {
                assert!(host.source.starts_with("https://"), "{}", host.rule);
                // What a preset allows is spelled out, and denies nothing.
                assert!(!host.rule.contains(['*', ' ']), "{}", host.rule);
            }
        }
    }

    #[test]
    fn no_word_leads_to_two_presets() {
        let mut seen: BTreeSet<&str> = names().collect();
        for word in PRESETS.iter().flat_map(|preset| preset.also) {
            assert!(seen.insert(word), "{word}");
        }
    }

    #[test]
    fn what_was_meant_is_found_by_spelling_and_by_program() {
        for (word, expected) in [
            ("nod", Some("node")),
            ("NODE", Some("node")),
            ("npm", Some("node")),
            ("Pip", Some("python")),
            ("cargo", Some("rust")),
            ("kubernetes", None),
        ] {
            assert_eq!(meant(word), expected, "{word}");
        }
    }

    #[test]
    fn files_call_for_presets() {
        let directory = tempfile::tempdir().unwrap();
        let called = || {
            let found = called_for(directory.path());
            found.iter().map(|(preset, file)| format!("{} {file}", preset.name)).collect::<Vec<_>>()
        };
        assert!(called().is_empty());
        for name in ["Cargo.toml", "package.json", "app.csproj", ".csproj", "requirements.txt", "README.md"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(
            called(),
            ["node package.json", "python requirements.txt", "rust Cargo.toml", "dotnet app.csproj"]
        );
        assert!(called_for(&directory.path().join("gone")).is_empty());
    }
}
