//! What is known of an agent's program: how it is called, what it may reach, where it looks for what. Data, in `host/profiles` and
//! in files of the user's own; nothing else in the host knows one program from another.

pub mod home;
mod known;
mod mcp;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

use claude_bottle_egress_policy::{DEFAULT_ORIGIN, Rule};
use claude_bottle_plugin_api::FileFormat;
use serde::Deserialize;
use serde_json::Value;

pub use known::{DEFAULT, FindError, Profiles};
pub use mcp::{Server, Transport};
pub use words::Ask;

/// A profile.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, which is its file's.
    #[serde(skip)]
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// Whether backends start it by themselves since contract 1.0.
    #[serde(default)]
    pub built_in: bool,
    /// Program and arguments, where the manifest names none.
    pub command: Vec<String>,
    /// Commands that install it on a machine.
    #[serde(default)]
    pub install: Vec<String>,
    /// Instructions of a Dockerfile that add it to an image.
    #[serde(default)]
    pub image: Option<String>,
    /// What it has to reach.
    #[serde(default)]
    pub hosts: Vec<ProfileHost>,
    /// Hosts that it asks for by itself, and that do nothing for its user.
    #[serde(default)]
    pub chatter: Vec<String>,
    /// What it logs in with.
    #[serde(default)]
    pub login: Option<Login>,
    /// Variables of every program in its bottle.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files of its home.
    #[serde(default)]
    pub files: Vec<ProfileFile>,
    /// The file among them that takes `settings`.
    #[serde(default)]
    pub settings: Option<String>,
    /// What of the user's own settings an agent may get.
    #[serde(default)]
    pub own_settings: Option<OwnSettingsForm>,
    /// Where `mcp` goes.
    #[serde(default)]
    pub mcp: Option<mcp::Form>,
    /// How it is told a prompt of the manifest.
    #[serde(default)]
    pub prompt: Option<PromptForm>,
    /// The words of a run without a terminal.
    #[serde(default)]
    pub headless: Vec<String>,
    /// How it goes on with its last session.
    #[serde(default)]
    pub resume: Option<ResumeForm>,
    /// The words that let it be controlled from elsewhere.
    #[serde(default)]
    pub remote_control: Vec<String>,
    /// Where skills go, relative to its home.
    #[serde(default)]
    pub skills: Option<String>,
    /// The directory with what it remembers, relative to its home.
    #[serde(default)]
    pub state: Option<String>,
    /// What of that are its sessions.
    #[serde(default)]
    pub history: Vec<PathBuf>,
}

/// A host that a program has to reach.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileHost {
    /// The rule, as in an allowlist.
    pub host: String,
    /// Where its maker says that it is needed.
    pub source: String,
}

/// What a program logs in with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// What the program is called.
    pub program: String,
    /// Variables with credentials, and where each may go.
    pub keys: Vec<LoginKey>,
    /// The one that `CLAUDE_BOTTLE_OAUTH_TOKEN` is handed on as.
    #[serde(default)]
    pub token: Option<String>,
    /// The command that makes another value for it.
    #[serde(default)]
    pub renew: Option<String>,
    /// Variables by which it takes its credentials from elsewhere.
    #[serde(default)]
    pub elsewhere: Vec<String>,
    /// What comes of missing credentials.
    pub missing: String,
    /// What to do about it.
    pub fix: String,
}

/// Variables with credentials for the same hosts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginKey {
    /// The variables.
    pub variables: Vec<String>,
    /// Where they may go.
    pub hosts: Vec<String>,
    /// The variable that moves the hosts elsewhere.
    #[serde(default)]
    pub base_url: Option<String>,
}

/// A file of a program's home.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// Where, relative to the home.
    pub path: String,
    /// How it is written.
    pub format: FileFormat,
    /// What is in it unless the manifest says otherwise.
    #[serde(default)]
    pub content: Option<Value>,
    /// What is in it whatever the manifest says.
    #[serde(default)]
    pub fixed: Option<Value>,
}

/// Which settings come along of a file of the user's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettingsForm {
    /// The file, relative to the home.
    pub file: String,
    /// Names of settings; `a.b` is the entry `b` of the mapping `a`.
    pub keep: Vec<String>,
}

/// How a program is told a prompt of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptForm {
    /// By words after its name, in which `{path}` is the prompt's file.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// By a file of its home.
    #[serde(default)]
    pub file: Option<String>,
}

/// How a program goes on with its last session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeForm {
    /// The words after those of its command.
    pub arguments: Vec<String>,
    /// The words of a run without a terminal, where they are others than these and those of `headless`.
    #[serde(default)]
    pub headless: Vec<String>,
    /// Words of the user that say which session, or another thing to do.
    #[serde(default)]
    pub options: Vec<String>,
}

impl Profile {
    /// Returns `true` if a command's program is this one.
    pub fn is_run_by(&self, command: &[String]) -> bool {
        let name =
            |words: &[String]| words.first().and_then(|word| word.rsplit('/').next()).map(str::to_owned);
        name(command).is_some_and(|program| Some(program) == name(&self.command))
    }

    /// Returns the rules of its hosts.
    pub fn rules(&self) -> Vec<Rule> {
        // A profile with a host that is not a rule is refused when it is read.
        self.hosts.iter().filter_map(|host| Rule::parse(&host.host, DEFAULT_ORIGIN).ok()).collect()
    }

    /// Returns the variables that it may log in with.
    pub fn credentials(&self) -> impl Iterator<Item = &str> {
        let keys = self.login.iter().flat_map(|login| &login.keys);
        keys.flat_map(|key| &key.variables).map(String::as_str)
    }

    /// Returns the variable that `CLAUDE_BOTTLE_OAUTH_TOKEN` is handed on as.
    pub fn token(&self) -> Option<&str> {
        self.login.as_ref()?.token.as_deref()
    }
}
