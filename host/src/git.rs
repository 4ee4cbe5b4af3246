//! What the host's git says of its user: who commits are by, what is ignored everywhere, and how it is set up for LFS.
//!
//! It is asked in the directory that comes along, so that what holds there alone (`includeIf`) counts. Of that directory's own
//! configuration nothing is taken, since it travels with the repository. git is asked for its configuration alone, which runs
//! nothing that a repository names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use claude_bottle_plugin_api::{GitIdentity, Spec};

use crate::environment::Invocation;
use crate::manifest::{Bottle, GitIdentity as Wanted};

/// The longest list of ignored files that is taken.
const MAX_IGNORE: u64 = 64 << 10;

/// Settings that decide what git says of a working directory, and hold no path or program of the host.
const CARRIED: [&str; 9] = [
    "core.autocrlf",
    "core.eol",
    "core.quotepath",
    "core.safecrlf",
    "init.defaultbranch",
    "merge.conflictstyle",
    "pull.ff",
    "pull.rebase",
    "status.showuntrackedfiles",
];

/// What `git lfs install` writes. Where git-lfs is not in the bottle, adding a large file fails; without this it would be added
/// itself, in place of its pointer.
const LFS: [(&str, &str); 4] = [
    ("filter.lfs.clean", "git-lfs clean -- %f"),
    ("filter.lfs.smudge", "git-lfs smudge -- %f"),
    ("filter.lfs.process", "git-lfs filter-process"),
    ("filter.lfs.required", "true"),
];

/// Variables that tell git to use another repository than the one it is called in.
const LEADING_ASTRAY: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_CEILING_DIRECTORIES"];

/// Puts what git inside has to know into a spec.
pub fn enter(invocation: &Invocation, bottle: &Bottle, spec: &mut Spec) {
    let workspace = spec.workspace.as_ref().map(|workspace| workspace.source.join(&workspace.start));
    let said = ask(workspace.as_deref().unwrap_or(&invocation.cwd)).unwrap_or_default();
    spec.git_identity = match &bottle.git_identity {
        Wanted::None => None,
        Wanted::Named { name, email } => Some(GitIdentity::new(name.clone(), email.clone())),
        Wanted::Host => said.identity(),
    };
    if said.signs && spec.workspace.is_some() && spec.bottle.ssh.is_empty() {
        leave_unsigned(spec);
    }
    let Some(workspace) = &mut spec.workspace else { return };
    workspace.git_settings = said.carried();
    workspace.git_ignore = said.ignored_everywhere(invocation).unwrap_or_default();
}

/// Switches off what the repository itself asks for and nobody could do here. This outranks its own configuration, and is
/// outranked by `git -c` and `git commit -S`.
fn leave_unsigned(spec: &mut Spec) {
    use claude_bottle_plugin_api::EnvVar;
    let variables = [
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", "commit.gpgsign"),
        ("GIT_CONFIG_VALUE_0", "false"),
        ("GIT_CONFIG_KEY_1", "tag.gpgsign"),
        ("GIT_CONFIG_VALUE_1", "false"),
    ];
    let env = &mut spec.bottle.env;
    // Whoever sets these in the manifest has the last word.
    if !env.iter().any(|variable| variable.name.starts_with("GIT_CONFIG_")) {
        env.extend(variables.map(|(name, value)| EnvVar::literal(name, value)));
    }
}

/// Returns who commits in a directory are by, as the user has it.
pub fn identity(directory: &Path) -> Option<GitIdentity> {
    ask(directory)?.identity()
}

/// Settings by their names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// Of the user and the machine.
    settings: BTreeMap<String, String>,
    /// Whether the repository itself asks for commits to be signed.
    signs: bool,
}

impl Said {
    fn identity(&self) -> Option<GitIdentity> {
        let value = |name| self.settings.get(name).filter(|value| is_line(value)).cloned();
        let (name, email) = (value("user.name"), value("user.email"));
        (name.is_some() || email.is_some())
            .then(|| GitIdentity::new(name.unwrap_or_default(), email.unwrap_or_default()))
    }

    fn carried(&self) -> Vec<(String, String)> {
        let own = CARRIED.iter().filter_map(|name| Some((*name, self.settings.get(*name)?.as_str())));
        let lfs = LFS.into_iter().filter(|_| self.settings.contains_key("filter.lfs.process"));
        let all = own.filter(|(_, value)| is_word(value)).chain(lfs);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns the user's own list of ignored files; `None` when there is none that can be taken.
    fn ignored_everywhere(&self, invocation: &Invocation) -> Option<String> {
        let config = invocation.host_variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let config =
            config.filter(|path| path.is_absolute()).unwrap_or_else(|| invocation.home.join(".config"));
        let file = match self.settings.get("core.excludesfile") {
            Some(path) => match path.strip_prefix("~/") {
                Some(rest) => invocation.home.join(rest),
                None => PathBuf::from(path),
            },
            None => config.join("git/ignore"),
        };
        let mut text = String::new();
        let file = File::open(file).ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
        file.take(MAX_IGNORE + 1).read_to_string(&mut text).ok()?;
        (text.len() as u64 <= MAX_IGNORE && !text.contains('\0')).then_some(text)
    }
}

fn is_line(value: &str) -> bool {
    !value.trim().is_empty() && !value.contains(char::is_control)
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.,".contains(c))
}

/// Asks git in a directory; where git refuses that, because it is somebody else's, without one.
fn ask(directory: &Path) -> Option<Said> {
    let program = program()?;
    let list = |directory: &Path| {
        let mut git = Command::new(&program);
        git.args(["--no-pager", "config", "--list", "--null", "--show-scope", "--includes"]);
        git.current_dir(directory).stdin(Stdio::null()).stderr(Stdio::null());
        for variable in LEADING_ASTRAY {
            git.env_remove(variable);
        }
        let output = git.output().ok()?;
        output.status.success().then(|| parse(&String::from_utf8_lossy(&output.stdout)))
    };
    list(directory).or_else(|| list(Path::new("/")))
}

/// Finds git on the search path. A directory that depends on where one is may hold a stranger's program.
pub(crate) fn program() -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    let directories = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join("git")).find(|file| file.is_file())
}

/// Reads pairs of a scope and a setting; the setting has its name and, after a line end, its value.
fn parse(text: &str) -> Said {
    let mut said = Said::default();
    let mut fields = text.split('\0');
    while let (Some(scope), Some(setting)) = (fields.next(), fields.next()) {
        // One without a value is true.
        let (name, value) = setting.split_once('\n').unwrap_or((setting, "true"));
        match scope {
            "system" | "global" | "command" => {
                said.settings.insert(name.to_owned(), value.to_owned());
            }
            _ if matches!(name, "commit.gpgsign" | "tag.gpgsign") => {
                said.signs = matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1");
            }
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_settings_count_and_the_repositorys_travel_by_themselves() {
        let text = "system\0core.autocrlf\ninput\0global\0user.name\nAda L\0global\0user.name\nAda Lovelace\0\
                    global\0filter.lfs.process\n/opt/evil\0global\0pull.rebase\0global\0core.eol\n$(id)\0\
                    local\0user.email\nlocal@x\0local\0commit.gpgsign\ntrue\0";
        let said = parse(text);
        assert_eq!(said.identity(), Some(GitIdentity::new("Ada Lovelace".to_owned(), String::new())));
        assert!(said.signs);
        let carried = said.carried();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(carried[..2], [pair("core.autocrlf", "input"), pair("pull.rebase", "true")]);
        assert_eq!(carried[2..], LFS.map(|(name, value)| pair(name, value)));
        assert_eq!(parse("global\0user.name\na\x1b[2J\0").identity(), None);
    }

    #[test]
    fn a_repository_that_signs_commits_without_a_key_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let git = |words: &[&str], spec: &Spec| {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(words).current_dir(&dir);
            git.env("HOME", dir.path()).env("GNUPGHOME", dir.path());
            for variable in &spec.bottle.env {
                let claude_bottle_plugin_api::EnvValue::Literal { value } = &variable.value else { continue };
                git.env(&variable.name, value);
            }
            git.output().unwrap().status.success()
        };
        let agent = claude_bottle_plugin_api::AgentSpec::new("dev", Vec::new());
        let mut spec = Spec::new("dev-1", agent, crate::run::owner::this_process());
        assert!(git(&["init", "-q"], &spec));
        assert!(!ask(dir.path()).unwrap().signs);
        assert!(git(&["config", "commit.gpgsign", "true"], &spec));
        assert!(ask(dir.path()).unwrap().signs);
        let commit = ["commit", "-q", "--allow-empty", "-m", "one"];
        assert!(!git(&commit, &spec), "it is signed without a key");
        leave_unsigned(&mut spec);
        assert!(git(&commit, &spec));
        // What was set already is left as it is.
        let before = spec.bottle.env.len();
        leave_unsigned(&mut spec);
        assert_eq!(spec.bottle.env.len(), before);
    }
}
