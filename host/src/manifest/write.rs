//! Adding an agent to a manifest: the new text is made here, and it is proved to say what was meant before anyone
//! writes it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_yaml::Value;

use super::names::{AgentName, BottleName, EnvName, SkillName};
use super::raw::{Agent, Bottle, Document, Egress};
use crate::egress::presets::{Preset, PresetName};

/// The form of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

impl Format {
    /// Returns the form by the file's name.
    pub fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|extension| extension == "json") { Self::Json } else { Self::Yaml }
    }
}

/// An agent to add.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Its name.
    pub name: AgentName,
    /// The bottle it runs in.
    pub bottle: BottleName,
    /// What that bottle grants, when it is to be defined too; one that the file has stays as it is.
    pub new_bottle: Option<NewBottle>,
    /// Its skills.
    pub skills: Vec<SkillName>,
    /// Its profile, unless it is the default.
    pub profile: Option<String>,
    /// Its prompt; blank for none.
    pub prompt: String,
}

/// What a new bottle grants.
#[derive(Debug, Clone, Default)]
pub struct NewBottle {
    /// Variables, with what the manifest says of their values.
    pub env: Vec<(EnvName, String)>,
    /// Presets.
    pub presets: Vec<&'static Preset>,
}

impl NewBottle {
    fn entry(&self) -> Bottle {
        let presets: Vec<_> = self.presets.iter().map(|preset| PresetName::of(preset)).collect();
        let egress = (!presets.is_empty()).then(|| Egress { presets, ..Egress::default() });
        Bottle { env: self.env.iter().cloned().collect(), egress, ..Bottle::default() }
    }
}

/// A manifest's new text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The text.
    pub text: String,
    /// Whether the old text is in it unchanged, comments and layout included.
    pub layout_kept: bool,
}

/// Why a manifest was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The manifest has such an agent.
    #[error("the manifest has an agent `{name}` already")]
    Exists {
        /// Its name.
        name: AgentName,
    },
    /// The manifest has no such bottle.
    #[error("the manifest has no bottle `{name}`")]
    NoBottle {
        /// Its name.
        name: BottleName,
    },
    /// A line cannot be put in.
    #[error("cannot add to the allowlist in line {line} without changing how it is laid out")]
    NoPlace {
        /// The line, counted from 1.
        line: usize,
    },
    /// The old text is not a manifest.
    #[error("cannot read the manifest's text as YAML")]
    ReadYaml {
        /// Why not.
        #[source]
        source: serde_yaml::Error,
    },
    /// The old text is not a manifest.
    #[error("cannot read the manifest's text as JSON")]
    ReadJson {
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The new text could not be made.
    #[error("cannot write the manifest's text as YAML")]
    WriteYaml {
        /// Why not.
        #[source]
        source: serde_yaml::Error,
    },
    /// The new text could not be made.
    #[error("cannot write the manifest's text as JSON")]
    WriteJson {
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// Returns the manifest's text with an agent added; `old` is empty for a new file.
///
/// In YAML the entry is put in below the others and all else stays as it was, comments included. Where that is not
/// possible, and in JSON, the whole text is written anew with its keys in their order.
pub fn add_agent(old: &str, format: Format, new: &NewAgent) -> Result<Added, WriteError> {
    // A byte order mark says nothing in UTF-8, and not every reader accepts it.
    let old = old.strip_prefix('\u{feff}').unwrap_or(old);
    let (before, mut value) = read(old, format)?;
    if before.agents.contains_key(&new.name) {
        return Err(WriteError::Exists { name: new.name.clone() });
    }
    let is_there = before.bottles.contains_key(&new.bottle);
    let bottle = new.new_bottle.as_ref().filter(|_| !is_there).map(NewBottle::entry);
    let mut wanted = before;
    wanted.agents.insert(new.name.clone(), entry(new));
    if let Some(bottle) = &bottle {
        wanted.bottles.insert(new.bottle.clone(), bottle.clone());
    }
    if format == Format::Yaml {
        let mut text = with_final_break(old);
        if let Some(bottle) = &bottle {
            text = splice(&text, "bottles", new.bottle.as_str(), bottle)?;
        }
        text = splice(&text, "agents", new.name.as_str(), &entry(new))?;
        // The text was put together line by line; only what reads back as exactly the wanted manifest is used.
        if read(&text, format).is_ok_and(|(document, _)| document == wanted) {
            return Ok(Added { text, layout_kept: true });
        }
    }
    if let Some(bottle) = &bottle {
        insert(&mut value, "bottles", new.bottle.as_str(), bottle)?;
    }
    insert(&mut value, "agents", new.name.as_str(), &entry(new))?;
    let text = match format {
        Format::Yaml => serde_yaml::to_string(&value).map_err(|source| WriteError::WriteYaml { source })?,
        Format::Json => {
            serde_json::to_string_pretty(&value).map_err(|source| WriteError::WriteJson { source })? + "\n"
        }
    };
    Ok(Added { text, layout_kept: old.is_empty() })
}

/// Replaces a file in one step, so that it is whole whenever it is read; its permissions stay.
pub fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    // A symbolic link is followed: people keep their manifests in a repository and link to them.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = target.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".claude-bottle").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = std::fs::metadata(&target) {
        file.as_file().set_permissions(metadata.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

fn entry(new: &NewAgent) -> Agent {
    Agent {
        bottle: new.bottle.clone(),
        skills: new.skills.clone(),
        claude: Vec::new(),
        profile: new.profile.clone(),
        settings: BTreeMap::new(),
        mcp: BTreeMap::new(),
        setup: Vec::new(),
        survive: None,
        history: None,
        prompt: (!new.prompt.trim().is_empty()).then(|| new.prompt.clone()),
        prompt_file: None,
        command: None,
    }
}

/// Returns the text as a manifest, and as plain values with their keys in order.
pub(super) fn read(text: &str, format: Format) -> Result<(Document, Value), WriteError> {
    let value: Value = match format {
        Format::Yaml => serde_yaml::from_str(text).map_err(|source| WriteError::ReadYaml { source })?,
        Format::Json if text.trim().is_empty() => Value::Null,
        Format::Json => serde_json::from_str(text).map_err(|source| WriteError::ReadJson { source })?,
    };
    let value = if value.is_null() { Value::Mapping(serde_yaml::Mapping::new()) } else { value };
    let document = serde_yaml::from_value(value.clone()).map_err(|source| WriteError::ReadYaml { source })?;
    Ok((document, value))
}

fn insert(
    value: &mut Value,
    section: &str,
    name: &str,
    entry: &impl serde::Serialize,
) -> Result<(), WriteError> {
    let entry = serde_yaml::to_value(entry).map_err(|source| WriteError::WriteYaml { source })?;
    let empty = || Value::Mapping(serde_yaml::Mapping::new());
    if let Value::Mapping(root) = value {
        let section = root.entry(section.into()).or_insert_with(empty);
        if let Value::Mapping(entries) = section {
            entries.insert(name.into(), entry);
        }
    }
    Ok(())
}

/// Puts an entry at the end of a section of block-style YAML, or the section at the end of the text.
fn splice(
    text: &str,
    section: &str,
    name: &str,
    entry: &impl serde::Serialize,
) -> Result<String, WriteError> {
    let entry = serde_yaml::to_value(entry).map_err(|source| WriteError::WriteYaml { source })?;
    let mut mapping = serde_yaml::Mapping::new();
    mapping.insert(name.into(), entry);
    let block = serde_yaml::to_string(&mapping).map_err(|source| WriteError::WriteYaml { source })?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(head) = lines.iter().position(|line| line.trim_end() == format!("{section}:")) else {
        return Ok(format!("{text}{section}:\n{}", indented(&block, 2)));
    };
    let is_inside = |line: &&str| line.starts_with(' ') || line.starts_with('#') || line.trim().is_empty();
    let body = lines[head + 1..].iter().take_while(|line| is_inside(line)).count();
    // Blank lines and comments at the margin belong to what follows.
    let tail =
        lines[head + 1..head + 1 + body].iter().rev().take_while(|line| !line.starts_with(' ')).count();
    let end = head + 1 + body - tail;
    let first = lines[head + 1..end].iter().find(|line| !line.trim_start().starts_with('#'));
    let indent = first.map_or(2, |line| line.len() - line.trim_start_matches(' ').len());
    Ok([lines[..end].concat(), indented(&block, indent), lines[end..].concat()].concat())
}

fn indented(block: &str, indent: usize) -> String {
    let line = |line: &str| if line.trim().is_empty() { line.to_owned() } else { " ".repeat(indent) + line };
    block.split_inclusive('\n').map(line).collect()
}

fn with_final_break(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(define_bottle: bool) -> NewAgent {
        NewAgent {
            profile: None,
            name: AgentName::new("helper").unwrap(),
            bottle: BottleName::new("dev").unwrap(),
            new_bottle: define_bottle.then(NewBottle::default),
            skills: vec![SkillName::new("pdf").unwrap()],
            prompt: "First line.\n\n- keep: this # exactly\n".to_owned(),
        }
    }

    fn check(old: &str, define_bottle: bool, layout_kept: bool, expected: &str) {
        let added = add_agent(old, Format::Yaml, &new(define_bottle)).unwrap();
        assert_eq!(added.text, expected);
        assert_eq!(added.layout_kept, layout_kept);
    }

    const ENTRY: &str = "  helper:
    bottle: dev
    skills:
    - pdf
    prompt: |
      First line.

      - keep: this # exactly
";

    #[test]
    fn a_new_file() {
        check("", true, true, &format!("bottles:\n  dev: {{}}\nagents:\n{ENTRY}"));
    }

    #[test]
    fn a_new_bottle_with_what_it_grants() {
        let presets = ["node", "rust"].map(|name| crate::egress::presets::find(name).unwrap()).into();
        let env = vec![(EnvName::new("API_KEY").unwrap(), "${API_KEY}".to_owned())];
        let new = NewAgent { new_bottle: Some(NewBottle { env, presets }), ..new(true) };
        let bottle =
            "    env:\n      API_KEY: ${API_KEY}\n    egress:\n      presets:\n      - node\n      - rust\n";
        let added = add_agent("", Format::Yaml, &new).unwrap();
        assert_eq!(added.text, format!("bottles:\n  dev:\n{bottle}agents:\n{ENTRY}"));
        // A bottle that is there keeps what it grants.
        let old = "bottles:\n  dev: {}\n";
        let added = add_agent(old, Format::Yaml, &new).unwrap();
        assert_eq!(added.text, format!("{old}agents:\n{ENTRY}"));
    }

    #[test]
    fn all_else_stays() {
        let old = "# mine\nagents:\n  # the first\n  a:\n    bottle: dev # why not\n\n# grants\nbottles:\n  dev: {}";
        let expected = format!(
            "# mine\nagents:\n  # the first\n  a:\n    bottle: dev # why not\n{ENTRY}\n# grants\nbottles:\n  dev: {{}}\n"
        );
        check(old, true, true, &expected);
    }

    #[test]
    fn the_indentation_is_that_of_the_others() {
        let old = "agents:\n    a: {bottle: dev}\n";
        let added = add_agent(old, Format::Yaml, &new(false)).unwrap();
        assert!(added.layout_kept);
        assert!(added.text.contains("\n    helper:\n      bottle: dev\n"), "{}", added.text);
    }

    #[test]
    fn other_layouts_are_written_anew() {
        let added = add_agent("agents: {a: {bottle: dev}} # one line\n", Format::Yaml, &new(false)).unwrap();
        assert!(!added.layout_kept);
        assert_eq!(added.text, format!("agents:\n  a:\n    bottle: dev\n{ENTRY}"));
    }

    #[test]
    fn json_keeps_its_order() {
        let old = "{\"agents\": {\"z\": {\"bottle\": \"dev\"}}, \"bottles\": {\"dev\": {}}}";
        let added = add_agent(old, Format::Json, &new(true)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&added.text).unwrap();
        assert_eq!(value["agents"]["helper"]["skills"][0], "pdf");
        assert!(added.text.find("\"z\"") < added.text.find("\"helper\""));
        assert!(added.text.find("\"agents\"") < added.text.find("\"bottles\""));
    }

    #[test]
    fn what_is_there_is_not_replaced() {
        let old = "agents:\n  helper:\n    bottle: dev\n";
        let error = add_agent(old, Format::Yaml, &new(false)).unwrap_err();
        assert_eq!(error.to_string(), "the manifest has an agent `helper` already");
        assert!(add_agent("agents: 3\n", Format::Yaml, &new(false)).is_err());
        assert!(add_agent("{,}", Format::Json, &new(false)).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("real.yaml"), directory.path().join("link.yaml"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace_file(&link, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
