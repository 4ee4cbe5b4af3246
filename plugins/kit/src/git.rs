//! What git inside knows of the user's git on the host: files of the agent's home.
//!
//! They lie in `.config/git`, which is git's second place: `.gitconfig` in the home is the agent's own, or an image's, and
//! outranks them.

use claude_bottle_plugin_api::Spec;

/// The directory of the files, in the home.
pub const DIRECTORY: &str = ".config/git";

/// Settings for a copy: of what the index notes of each file, time and size alone are kept by a copy. Without them git would
/// read every file again.
/// <https://git-scm.com/docs/git-config#Documentation/git-config.txt-corecheckStat>
const COPIED: [(&str, &str); 2] = [("core.checkStat", "minimal"), ("core.trustctime", "false")];

/// Returns the files of [`DIRECTORY`] by their names, with their contents.
pub fn files(spec: &Spec) -> Vec<(&'static str, String)> {
    let mut settings: Vec<(&str, &str)> = Vec::new();
    if let Some(identity) = &spec.git_identity {
        settings.extend([("user.name", identity.name.as_str()), ("user.email", identity.email.as_str())]);
    }
    let mut ignored = "";
    if let Some(workspace) = &spec.workspace {
        settings.extend(COPIED);
        settings.extend(workspace.git_settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        ignored = &workspace.git_ignore;
    }
    let config: String = settings.into_iter().filter_map(|(name, value)| line(name, value)).collect();
    let files = [("config", config), ("ignore", ignored.to_owned())];
    files.into_iter().filter(|(_, content)| !content.is_empty()).collect()
}

/// Writes a setting; `None` when there is nothing to write, or what cannot be the name of one.
fn line(name: &str, value: &str) -> Option<String> {
    let (section, key) = name.split_once('.')?;
    let (middle, key) = key.rsplit_once('.').map_or((None, key), |(middle, key)| (Some(middle), key));
    let is_plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if value.is_empty() || !is_plain(section) || !is_plain(key) || !middle.is_none_or(is_plain) {
        return None;
    }
    let middle = middle.map(|middle| format!(" \"{middle}\"")).unwrap_or_default();
    Some(format!("[{section}{middle}]\n\t{key} = {}\n", quoted(value)))
}

/// Quotes a value as git reads it: <https://git-scm.com/docs/git-config#_syntax>
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use claude_bottle_plugin_api::{AgentSpec, GitIdentity, Owner, Workspace};

    use super::*;

    #[test]
    fn git_reads_what_is_written() {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        assert!(files(&spec).is_empty());
        let name = "Ada \"the first\" L\\o; #velace";
        spec.git_identity = Some(GitIdentity::new(name, "ada@example.com"));
        let mut workspace = Workspace::new("/x");
        workspace.git_settings =
            [("filter.lfs.clean", "git-lfs clean -- %f"), ("core.x\ny", "1"), ("a.b]\n[c.d", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        workspace.git_ignore = ".idea/\n".to_owned();
        spec.workspace = Some(workspace);
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(DIRECTORY);
        std::fs::create_dir_all(&directory).unwrap();
        for (file, content) in files(&spec) {
            std::fs::write(directory.join(file), content).unwrap();
        }
        let git = |words: &[&str]| {
            let mut command = Command::new("git");
            command.args(words).current_dir(&home).env_clear().env("HOME", home.path());
            let output =
                command.env("PATH", "/usr/bin:/bin").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let all = format!(
            "user.name={name}\nuser.email=ada@example.com\ncore.checkstat=minimal\ncore.trustctime=false\n\
             filter.lfs.clean=git-lfs clean -- %f\n"
        );
        assert_eq!(git(&["config", "--list"]), all);
        git(&["init", "-q", "repo"]);
        std::fs::create_dir_all(home.path().join("repo/.idea")).unwrap();
        std::fs::write(home.path().join("repo/.idea/x"), "x").unwrap();
        assert_eq!(git(&["-C", "repo", "status", "--porcelain"]), "");
    }
}
