//! The user's defaults: `config.yaml` in the directory for configuration, read with the same care as a manifest.

use std::io::{self, Read};
use std::path::Path;

use super::check::{self, Checker, open_regular, reason};
use super::problem::{ManifestErrors, Problem, ProblemKind, Problems};
use super::secret::TokenSource;
use super::source::{FileName, Source};
use super::{mask, yaml};
use crate::profile::Profiles;
use crate::run::hold::keys::DetachKeys;

/// What the file is called.
pub const DEFAULTS_FILE: &str = "config.yaml";
/// Largest file that is read.
const MAX_SIZE: u64 = 64 * 1024;

/// What holds where neither the command line nor the environment says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The backend.
    pub backend: Option<String>,
    /// Whether an agent is started without a question.
    pub yes: bool,
    /// The editor, with its arguments.
    pub editor: Option<String>,
    /// Whether an agent is left running when its terminal is gone.
    pub survive: bool,
    /// The keys that detach.
    pub detach_keys: Option<DetachKeys>,
    /// The command that tells of an agent that waits or has ended.
    pub notify: Option<String>,
    /// Where the token for agents is, where the environment has none.
    pub token: Option<TokenSource>,
}

impl Defaults {
    /// Reads the file of a directory; nothing is set where there is none.
    pub fn read(directory: &Path, home: &Path) -> Result<Self, ManifestErrors> {
        let path = directory.join(DEFAULTS_FILE);
        let shown = path.strip_prefix(home).map(|below| format!("~/{}", below.display()));
        let shown = shown.unwrap_or_else(|_| path.display().to_string());
        let name = FileName { path, shown };
        match text(&name.path) {
            Ok(text) => Self::parse(name, text, home),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                let message = format!("the defaults cannot be read: {}", reason(&error));
                Err(Problem::in_file(ProblemKind::ReadFile, &name, message).into())
            }
        }
    }

    fn parse(name: FileName, text: String, home: &Path) -> Result<Self, ManifestErrors> {
        let (mut source, mut problems) = (Source::new(name, text), Problems::default());
        let mut root = yaml::parse(&source, &mut problems);
        if let Some(root) = &mut root {
            yaml::drop_duplicates(root, &source, &mut problems);
        }
        source.set_masks(root.as_ref().map_or_else(|| mask::by_lines(&source), mask::of_token));
        let directory = source.name().path.parent().unwrap_or(home).to_owned();
        let mut checker = Checker {
            source: &source,
            problems: &mut problems,
            home,
            profiles: &Profiles::default(),
            directory: &directory,
            confined: false,
        };
        let defaults = root.map(|root| check::defaults(&mut checker, &root)).unwrap_or_default();
        problems.illustrate(&source);
        problems.into_result(defaults)
    }
}

fn text(path: &Path) -> io::Result<String> {
    let (file, size) = open_regular(path)?;
    if size > MAX_SIZE {
        return Err(io::Error::other("it is larger than 64 KiB"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Defaults, String> {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(DEFAULTS_FILE), text).unwrap();
        Defaults::read(home.path(), home.path()).map_err(|errors| errors.report())
    }

    #[test]
    fn what_is_not_set_has_no_value() {
        let home = tempfile::tempdir().unwrap();
        let none = Defaults::default();
        assert_eq!(Defaults::read(home.path(), home.path()).unwrap(), none);
        for empty in ["", "# nothing yet\n", "{}"] {
            assert_eq!(read(empty), Ok(none.clone()), "{empty:?}");
        }
        let all = read("backend: bubblewrap\nyes: true\neditor: code --wait\n").unwrap();
        assert_eq!((all.backend.as_deref(), all.yes), (Some("bubblewrap"), true));
        assert_eq!(all.editor.as_deref(), Some("code --wait"));
        let held = read("survive: true\nnotify: beep\ndetach_keys: ctrl-p,ctrl-q\n").unwrap();
        assert_eq!((held.survive, held.notify.as_deref()), (true, Some("beep")));
        assert_eq!(held.detach_keys.unwrap().to_string(), "ctrl-p ctrl-q");
        for (text, source) in [
            (
                "token: { from: { command: [pass, show, claude] } }",
                "the command [\"pass\", \"show\", \"claude\"]",
            ),
            ("token: ${MY_TOKEN}", "this machine's MY_TOKEN"),
            ("token: ?the token", "asked for"),
        ] {
            let token = read(text).unwrap().token.unwrap();
            assert!(token.source.to_string().starts_with(source), "{text}");
            assert_eq!(token.origin.to_string(), "~/config.yaml:1");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("backnd: docker\n", "~/config.yaml:1:1: unknown key `backnd` in the defaults [unknown-key]"),
            ("backend: docker\nyes: maybe\n", "~/config.yaml:2:6: `yes` takes `true` or `false`"),
            ("backend: Docker!\n", "~/config.yaml:1:10: `Docker!` cannot be the name of a backend"),
            ("survive: 1\n", "~/config.yaml:1:10: `survive` takes `true` or `false`"),
            ("notify: true\n", "~/config.yaml:1:9: `notify` takes text"),
            ("detach_keys: d\n", "~/config.yaml:1:14: `d` are not valid keys"),
            ("editor: [vi]\n", "~/config.yaml:1:9: `editor` takes text"),
            ("token: canary\n", "~/config.yaml:1:1: the secret `token` stands here in clear"),
            ("token: { form: x }\n", "~/config.yaml:1:1: `token` has no `from`"),
            ("token: { from: { command: [] } }\n", "~/config.yaml:1:27: `command` names no program"),
            ("yes: true\nyes: false\n", "~/config.yaml:2:1: "),
            ("- yes\n", "~/config.yaml:1:1: "),
            ("{\n", "~/config.yaml:"),
        ] {
            let report = read(text).unwrap_err();
            assert!(report.starts_with(told), "{text:?}: {report}");
            assert!(!report.contains("canary"), "{report}");
        }
        assert!(read("backnd: docker\n").unwrap_err().contains("did you mean `backend`?"));
    }
}
