//! Everything the program takes from its environment, read once: directories, settings, the streams.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{self, TokenSource, VariableName};
use crate::profile::Profiles;

/// The prefix of the user's variables.
pub(crate) const PREFIX: &str = "CLAUDE_BOTTLE_";
/// The variable that holds the token for the agent, and so is no setting.
pub(crate) const TOKEN: &str = "CLAUDE_BOTTLE_OAUTH_TOKEN";

/// How the program was called, apart from its arguments.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The user's home.
    pub home: PathBuf,
    /// The working directory; the home where it is gone.
    pub cwd: PathBuf,
    /// Whether the working directory was removed.
    pub cwd_is_gone: bool,
    /// This program's file.
    pub exe: PathBuf,
    /// `$XDG_CONFIG_HOME/claude-bottle`.
    pub config_dir: PathBuf,
    /// `$XDG_DATA_HOME/claude-bottle`.
    pub data_dir: PathBuf,
    /// `$XDG_STATE_HOME/claude-bottle`.
    pub state_dir: PathBuf,
    /// `CLAUDE_BOTTLE_*` without that prefix. The token is not among them.
    pub settings: BTreeMap<String, String>,
    /// `CLAUDE_BOTTLE_PLUGIN_PATH`.
    pub plugin_path: Option<OsString>,
    /// Whether NO_COLOR is set and not empty (<https://no-color.org>).
    pub no_color: bool,
}

fn no_home(message: String) -> CliError {
    CliError::new(Exit::Failed, message).hint("name your home directory: export HOME=DIR")
}

/// Returns `true` if the user wants no colour: <https://no-color.org>.
pub(crate) fn no_color() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

impl Invocation {
    /// Reads the process's environment.
    pub fn from_process() -> CliResult<Self> {
        let home = env::home_dir().filter(|home| home.is_absolute()).ok_or_else(|| {
            no_home("cannot find the home directory: HOME is not an absolute path".to_owned())
        })?;
        if home.exists() && !home.is_dir() {
            return Err(no_home(format!("HOME is `{}`, which is not a directory", home.display())));
        }
        let settings = env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let setting = name.strip_prefix(PREFIX).filter(|_| name != TOKEN)?;
            Some((setting.to_owned(), value.into_string().ok()?))
        });
        let cwd = match env::current_dir() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            other => Some(other.context("cannot find the working directory")?),
        };
        Ok(Self {
            cwd_is_gone: cwd.is_none(),
            cwd: cwd.unwrap_or_else(|| home.clone()),
            exe: env::current_exe().context("cannot find this program's file")?,
            config_dir: xdg("XDG_CONFIG_HOME", &home, ".config"),
            data_dir: xdg("XDG_DATA_HOME", &home, ".local/share"),
            state_dir: xdg("XDG_STATE_HOME", &home, ".local/state"),
            settings: settings.collect(),
            plugin_path: env::var_os("CLAUDE_BOTTLE_PLUGIN_PATH").filter(|path| !path.is_empty()),
            no_color: no_color(),
            home,
        })
    }

    /// Returns the directory of the user's own manifest.
    pub fn own_directory(&self) -> PathBuf {
        manifest::own_directory(&self.home, &self.config_dir)
    }

    /// Returns the profiles that agents may name.
    pub fn profiles(&self) -> Profiles {
        Profiles::of(&self.config_dir)
    }

    /// Returns the working directory, for what is about that directory.
    pub fn here(&self) -> CliResult<&Path> {
        if self.cwd_is_gone {
            let gone = CliError::new(Exit::Failed, "the working directory was removed".to_owned());
            return Err(gone.hint("cd to a directory that exists"));
        }
        Ok(&self.cwd)
    }

    /// Returns a setting that is set and not empty.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns whether a setting is switched on; any word but those for on and off is an error that names them.
    pub fn switch(&self, name: &str) -> CliResult<bool> {
        match self.setting(name) {
            None | Some("0" | "false" | "no" | "off") => Ok(false),
            Some("1" | "true" | "yes" | "on") => Ok(true),
            Some(other) => {
                let message = format!("{PREFIX}{name} is `{}`, which is not a switch", other.escape_debug());
                Err(CliError::new(Exit::Failed, message)
                    .hint("use 1, true, yes or on; 0, false, no or off; or unset it"))
            }
        }
    }

    /// Returns a variable of the host, for a manifest that asks for it.
    pub fn host_variable(&self, name: &str) -> Option<OsString> {
        env::var_os(name)
    }

    /// Returns where the token for the agent is, if the environment has one.
    pub fn token(&self) -> Option<TokenSource> {
        env::var_os(TOKEN).filter(|token| !token.is_empty())?;
        VariableName::new(TOKEN).ok().map(TokenSource::of_variable)
    }

    /// Finds a program that is installed with this one: beside it in a build tree, else in `../libexec/claude-bottle`.
    pub fn companion(&self, name: &str) -> Option<PathBuf> {
        let bin = self.exe.parent()?;
        let places = [bin.join("../libexec/claude-bottle").join(name), bin.join(name)];
        places.into_iter().find(|path| path.is_file()).and_then(|path| path.canonicalize().ok())
    }
}

/// Returns a directory of the XDG base directory specification; a relative value counts as unset, as it says.
/// <https://specifications.freedesktop.org/basedir-spec/latest/>
fn xdg(variable: &str, home: &Path, otherwise: &str) -> PathBuf {
    let base = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    base.unwrap_or_else(|| home.join(otherwise)).join("claude-bottle")
}
