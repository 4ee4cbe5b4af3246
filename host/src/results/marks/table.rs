//! Which files act by themselves on the user's machine, or steer an agent there: one table.

use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use crate::results::escape;
use crate::results::model::MarkKind::{self, Runs, Steers};

/// One row: a pattern, the mark that it gives, and why.
///
/// A pattern is the last components of a path, at any depth; `*` stands for any characters of one component, and `**` at the
/// end for anything below.
pub(super) struct Row {
    pub(super) pattern: &'static str,
    pub(super) mark: MarkKind,
    pub(super) why: &'static str,
}

const fn row(mark: MarkKind, pattern: &'static str, why: &'static str) -> Row {
    Row { pattern, mark, why }
}

const EDITOR: &str = "an editor runs or obeys it when the directory is opened";
const SHELL: &str = "a shell runs it when the directory is entered";
const TOOLS: &str = "it chooses the tools that run here, which a shell does when the directory is entered";
const GIT: &str = "git obeys it at the next command, and it can name programs";
const HOOKS: &str = "git runs it at the next commit";
const AGENT_RUNS: &str = "an agent on this machine runs programs that it names";
const NODE: &str = "npm, pnpm or yarn obey it at the next command, and it can name programs";
const CARGO: &str = "cargo obeys it at the next command, and it can name programs";
const PYTHON: &str = "python runs it when it starts";
const BAZEL: &str = "bazel obeys it at the next command";
const SERVER: &str = "the server runs it when it is pushed";
const BOTTLE: &str = "it decides what the next bottle gets";
const INSTRUCTS: &str = "an agent on this machine reads it as instructions";

pub(super) const ROWS: &[Row] = &[
    row(Runs, ".envrc", SHELL),
    row(Runs, ".mise.toml", TOOLS),
    row(Runs, "mise.toml", TOOLS),
    row(Runs, ".tool-versions", TOOLS),
    row(Runs, ".vscode/tasks.json", EDITOR),
    row(Runs, ".vscode/settings.json", EDITOR),
    row(Runs, ".vscode/launch.json", EDITOR),
    row(Runs, ".vscode/mcp.json", EDITOR),
    row(Runs, "*.code-workspace", EDITOR),
    row(Runs, ".idea/**", EDITOR),
    row(Runs, ".devcontainer/**", EDITOR),
    row(Runs, ".devcontainer.json", EDITOR),
    row(Runs, ".gitattributes", GIT),
    row(Runs, ".gitmodules", GIT),
    row(Runs, ".gitconfig", GIT),
    row(Runs, ".husky/**", HOOKS),
    row(Runs, "lefthook.y*ml", HOOKS),
    row(Runs, ".lefthook.y*ml", HOOKS),
    row(Runs, ".pre-commit-config.yaml", HOOKS),
    row(Runs, ".claude/settings*.json", AGENT_RUNS),
    row(Runs, ".claude/hooks/**", AGENT_RUNS),
    row(Runs, ".mcp.json", AGENT_RUNS),
    row(Runs, ".cursor/**", AGENT_RUNS),
    row(Runs, ".codex/**", AGENT_RUNS),
    row(Runs, ".gemini/**", AGENT_RUNS),
    row(Runs, ".npmrc", NODE),
    row(Runs, ".yarnrc*", NODE),
    row(Runs, ".yarn/releases/**", NODE),
    row(Runs, ".pnp.*", NODE),
    row(Runs, ".pnpmfile.cjs", NODE),
    row(Runs, ".cargo/config*", CARGO),
    row(Runs, "rust-toolchain*", CARGO),
    row(Runs, "pyvenv.cfg", PYTHON),
    row(Runs, "*.pth", PYTHON),
    row(Runs, "sitecustomize.py", PYTHON),
    row(Runs, "conftest.py", "pytest runs it when it looks for tests, as an editor has it do"),
    row(Runs, ".vimrc", EDITOR),
    row(Runs, ".exrc", EDITOR),
    row(Runs, ".nvim.lua", EDITOR),
    row(Runs, ".dir-locals.el", EDITOR),
    row(Runs, ".bazelrc", BAZEL),
    row(Runs, ".github/workflows/**", SERVER),
    row(Runs, ".github/actions/**", SERVER),
    row(Runs, ".gitlab-ci.yml", SERVER),
    row(Runs, ".circleci/**", SERVER),
    row(Runs, "Jenkinsfile", SERVER),
    row(Runs, "claude-bottle.y*ml", BOTTLE),
    row(Runs, "claude-bottle.json", BOTTLE),
    row(Runs, ".claude-bottleignore", BOTTLE),
    row(Steers, "CLAUDE.md", INSTRUCTS),
    row(Steers, "CLAUDE.local.md", INSTRUCTS),
    row(Steers, "AGENTS.md", INSTRUCTS),
    row(Steers, "GEMINI.md", INSTRUCTS),
    row(Steers, ".claude/commands/**", INSTRUCTS),
    row(Steers, ".claude/agents/**", INSTRUCTS),
    row(Steers, ".claude/skills/**", INSTRUCTS),
    row(Steers, ".agents/**", INSTRUCTS),
    row(Steers, ".github/copilot-instructions.md", INSTRUCTS),
    row(Steers, ".cursorrules", INSTRUCTS),
    row(Steers, ".windsurfrules", INSTRUCTS),
];

/// The files that a build runs when the user asks for one: shown with a tag, and applied like other code.
const BUILDS: &[&str] = &[
    "makefile",
    "gnumakefile",
    "build.rs",
    "dockerfile",
    "containerfile",
    "setup.py",
    "justfile",
    "gulpfile.js",
];

/// Returns `true` if a build runs the file, once it is asked for.
pub fn builds(path: &Path) -> bool {
    folded(path).last().is_some_and(|name| BUILDS.contains(&name.as_str()))
}

/// Returns the components of a path as a file system that folds case, normalises and passes over characters without a width
/// would compare them.
pub(super) fn folded(path: &Path) -> Vec<String> {
    let fold = |component: std::path::Component<'_>| {
        let text = component.as_os_str().to_string_lossy();
        let visible = text.chars().filter(|c| !escape::is_hidden(*c));
        visible.nfc().flat_map(char::to_lowercase).collect()
    };
    path.components().map(fold).collect()
}

impl Row {
    /// Returns `true` if the pattern fits a path, or if the path is a link in the place of a directory of the pattern.
    pub(super) fn fits(&self, path: &[String], is_link: bool) -> bool {
        let pattern: Vec<String> = self.pattern.split('/').map(str::to_lowercase).collect();
        if let Some(above) = pattern.strip_suffix(&["**".to_owned()]) {
            let below = path.windows(above.len()).rev().skip(1).any(|window| all_fit(above, window));
            let in_place = |length| is_link && ends(&above[..length], path);
            return below || (1..=above.len()).any(in_place);
        }
        let in_place = |length| is_link && ends(&pattern[..length], path);
        ends(&pattern, path) || (1..pattern.len()).any(in_place)
    }
}

fn ends(pattern: &[String], path: &[String]) -> bool {
    path.len() >= pattern.len() && all_fit(pattern, &path[path.len() - pattern.len()..])
}

fn all_fit(pattern: &[String], path: &[String]) -> bool {
    pattern.iter().zip(path).all(|(pattern, name)| glob(pattern, name))
}

/// Returns `true` if a name fits a pattern with at most one `*`.
fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, behind)) => {
            name.len() >= before.len() + behind.len() && name.starts_with(before) && name.ends_with(behind)
        }
    }
}
