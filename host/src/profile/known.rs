//! Which profiles there are: those of the program, and the user's own, which win.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock};

use claude_bottle_egress_policy::Rule;

use super::Profile;
use crate::manifest::check_slug;

/// The profile of an agent that names none.
pub const DEFAULT: &str = "claude";
/// Where in the user's configuration the own ones are.
const DIRECTORY: &str = "profiles";
/// Largest file that is read.
const MOST_BYTES: u64 = 256 * 1024;
/// Their texts, in the order of the documentation.
const TEXTS: [(&str, &str); 6] = [
    (DEFAULT, include_str!("../../profiles/claude.yaml")),
    ("codex", include_str!("../../profiles/codex.yaml")),
    ("gemini", include_str!("../../profiles/gemini.yaml")),
    ("opencode", include_str!("../../profiles/opencode.yaml")),
    ("aider", include_str!("../../profiles/aider.yaml")),
    ("shell", include_str!("../../profiles/shell.yaml")),
];

/// Those of the program, read once. Each is tested to be right, so none is dropped here.
static OURS: LazyLock<Vec<Arc<Profile>>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| parse(name, text).ok().map(Arc::new);
    TEXTS.iter().filter_map(read).collect()
});

/// Why there is no profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindError {
    /// None has this name.
    Unknown,
    /// The user's own cannot be used: the file, and why.
    Unfit(PathBuf, String),
}

/// The profiles that a manifest may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiles {
    directory: Option<PathBuf>,
}

impl Profiles {
    /// Looks for the user's own below this directory of settings.
    pub fn of(config_dir: &Path) -> Self {
        Self { directory: Some(config_dir.join(DIRECTORY)) }
    }

    /// Returns a profile by name.
    pub fn find(&self, name: &str) -> Result<Arc<Profile>, FindError> {
        if check_slug(name).is_err() {
            return Err(FindError::Unknown);
        }
        match self.directory.as_ref().map(|directory| directory.join(format!("{name}.yaml"))) {
            Some(file) if fs::symlink_metadata(&file).is_ok() => {
                let unfit = |reason| FindError::Unfit(file.clone(), reason);
                Ok(Arc::new(parse(name, &text(&file).map_err(unfit)?).map_err(unfit)?))
            }
            _ => OURS.iter().find(|profile| profile.name == name).cloned().ok_or(FindError::Unknown),
        }
    }

    /// Returns the profile of an agent that names none.
    pub fn usual(&self) -> Result<Arc<Profile>, FindError> {
        self.find(DEFAULT)
    }

    /// Returns the names, those of the program first.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = TEXTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let entries =
            self.directory.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
        let own = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut own: Vec<_> = own.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
        own.retain(|name| check_slug(name).is_ok() && !names.contains(name));
        own.sort();
        names.extend(own);
        names
    }

    /// Returns the default profile that comes with the program.
    pub fn ours() -> Arc<Profile> {
        // The first is tested to be there.
        OURS.first().cloned().unwrap_or_default()
    }

    /// Returns `true` if a program of one of the profiles that come with claude-bottle asks for this host by itself.
    pub fn is_chatter(host: &str) -> bool {
        OURS.iter().any(|profile| profile.chatter.iter().any(|own| own == host))
    }
}

fn text(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = fs::File::open(file).map_err(|error| error.to_string())?;
    if !opened.metadata().is_ok_and(|found| found.is_file()) {
        return Err("it is not a regular file".to_owned());
    }
    opened.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("it is larger than {} KiB", MOST_BYTES / 1024));
    }
    Ok(text)
}

/// Reads a profile, and refuses one that would fail later.
fn parse(name: &str, text: &str) -> Result<Profile, String> {
    let mut profile: Profile = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    profile.name = name.to_owned();
    if profile.command.first().is_none_or(|program| program.trim().is_empty()) {
        return Err("`command` names no program".to_owned());
    }
    for host in &profile.hosts {
        Rule::parse(&host.host, "")
            .map_err(|error| format!("`{}` is not a valid host: {error}", host.host))?;
    }
    let mut places: Vec<&str> = profile.files.iter().map(|file| file.path.as_str()).collect();
    let own = profile.own_settings.as_ref().map(|form| form.file.as_str());
    for file in [profile.settings.as_deref(), profile.mcp.as_ref().map(|form| form.file.as_str()), own] {
        if let Some(file) = file.filter(|file| !places.contains(file)) {
            return Err(format!("`{file}` is not among `files`"));
        }
    }
    places.extend(profile.prompt.as_ref().and_then(|form| form.file.as_deref()));
    places.extend(profile.skills.as_deref());
    places.extend(profile.state.as_deref());
    places.extend(profile.history.iter().filter_map(|path| path.to_str()));
    match places.into_iter().find(|place| !is_in_home(place)) {
        Some(place) => Err(format!("`{place}` is not a path below the agent's home")),
        None => Ok(profile),
    }
}

/// Returns `true` for a path that leads nowhere else, in plain letters.
fn is_in_home(path: &str) -> bool {
    let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    is_plain
        && !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_of_ours_is_right_and_each_host_has_a_source() {
        for (name, text) in TEXTS {
            let profile = parse(name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(profile.rules().len(), profile.hosts.len(), "{name}");
            assert!(profile.hosts.iter().all(|host| host.source.starts_with("https://")), "{name}");
            // A host that may have its credentials is one that it may reach.
            let keys = profile.login.iter().flat_map(|login| &login.keys);
            let known = |host: &String| profile.hosts.iter().any(|known| known.host == *host);
            assert!(keys.flat_map(|key| &key.hosts).all(known), "{name}");
            assert!(!profile.headless.is_empty() && !profile.install.is_empty(), "{name}");
            assert!(profile.built_in || name == "shell" || profile.image.is_some(), "{name}");
        }
        assert_eq!(Profiles::ours().name, DEFAULT);
    }

    /// What a backend has for a host of contract 1.0, which sends no profile. Another text would be another image.
    #[test]
    fn the_layer_of_claude_code_is_that_of_contract_1_0() {
        let of_backends = include_str!("../../../plugins/kit/assets/Dockerfile.claude");
        assert_eq!(Profiles::ours().image.as_deref().map(str::trim), Some(of_backends.trim()));
    }

    #[test]
    fn the_users_own_are_found_and_win() {
        let config = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(config.path().join("profiles")).unwrap();
            fs::write(config.path().join("profiles").join(name), text).unwrap();
        };
        let profiles = Profiles::of(config.path());
        assert_eq!(profiles.find("mine"), Err(FindError::Unknown));
        write("mine.yaml", "about: Mine\ncommand: [mine]\n");
        write("codex.yaml", "about: Another\ncommand: [codex]\n");
        write("README", "x");
        assert_eq!(profiles.find("mine").unwrap().about, "Mine");
        assert_eq!(profiles.find("codex").unwrap().about, "Another");
        let names = ["claude", "codex", "gemini", "opencode", "aider", "shell", "mine"];
        assert_eq!(profiles.names(), names);
        assert_eq!(Profiles::default().names(), names[..6]);
    }

    #[test]
    fn one_that_cannot_be_used_says_why() {
        let check = |more: &str, expected: &str| {
            let error = parse("x", &format!("about: X\n{more}\n")).unwrap_err();
            assert!(error.contains(expected), "{more}: {error}");
        };
        check("command: []", "names no program");
        check("command: [x]\ncomand: [x]", "unknown field `comand`");
        check("command: [x]\nhosts: [{ host: 'a b', source: 'https://x' }]", "`a b` is not a valid host");
        check("command: [x]\nstate: ../y", "`../y` is not a path below the agent's home");
        check("command: [x]\nsettings: .x.json", "`.x.json` is not among `files`");
        check("command: x", "line 2");
    }
}
