//! Every row of the table, and what else needs a word.

use std::path::Path;

use claude_bottle_plugin_api::{EntryKind, EntryPath};

use super::table::{ROWS, folded};
use super::*;
use crate::results::model::Side;

fn side(kind: EntryKind) -> Side {
    Side { kind, executable: false, size: 1, sha256: Some("0".repeat(64)), target: None }
}

fn link(target: &str) -> Side {
    Side { target: Some(EntryPath::new(target)), sha256: None, ..side(EntryKind::Link) }
}

fn change(path: &str, old: Option<Side>, new: Option<Side>) -> Change {
    Change::new(path, old, new)
}

fn added(path: &str) -> Change {
    change(path, None, Some(side(EntryKind::File)))
}

fn marks(change: Change) -> Vec<MarkKind> {
    let mut files = [change];
    by_path(
        &mut files,
        &Before { files: 100, hooks: vec![PathBuf::from("tools/Hooks")], ..Before::default() },
    );
    files[0].marks.iter().map(|mark| mark.mark).collect()
}

/// A path for each row, in the table's order.
const SAMPLES: &[&str] = &[
    ".envrc",
    ".mise.toml",
    "mise.toml",
    ".tool-versions",
    ".vscode/tasks.json",
    ".vscode/settings.json",
    ".vscode/launch.json",
    ".vscode/mcp.json",
    "x.code-workspace",
    ".idea/runConfigurations/x.xml",
    ".devcontainer/devcontainer.json",
    ".devcontainer.json",
    ".gitattributes",
    ".gitmodules",
    ".gitconfig",
    ".husky/pre-commit",
    "lefthook.yml",
    ".lefthook.yaml",
    ".pre-commit-config.yaml",
    ".claude/settings.local.json",
    ".claude/hooks/x.sh",
    ".mcp.json",
    ".cursor/mcp.json",
    ".codex/config.toml",
    ".gemini/settings.json",
    ".npmrc",
    ".yarnrc.yml",
    ".yarn/releases/yarn-4.cjs",
    ".pnp.cjs",
    ".pnpmfile.cjs",
    ".cargo/config.toml",
    "rust-toolchain.toml",
    "pyvenv.cfg",
    "x.pth",
    "sitecustomize.py",
    "conftest.py",
    ".vimrc",
    ".exrc",
    ".nvim.lua",
    ".dir-locals.el",
    ".bazelrc",
    ".github/workflows/ci.yml",
    ".github/actions/x/action.yml",
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    "Jenkinsfile",
    "claude-bottle.yaml",
    "claude-bottle.json",
    ".claude-bottleignore",
    "CLAUDE.md",
    "CLAUDE.local.md",
    "AGENTS.md",
    "GEMINI.md",
    ".claude/commands/x.md",
    ".claude/agents/x.md",
    ".claude/skills/x/SKILL.md",
    ".agents/x.md",
    ".github/copilot-instructions.md",
    ".cursorrules",
    ".windsurfrules",
];

#[test]
fn every_row_marks_its_file_at_any_depth_in_any_case_and_when_it_goes() {
    assert_eq!(SAMPLES.len(), ROWS.len());
    for (sample, row) in SAMPLES.iter().zip(ROWS) {
        assert!(row.fits(&folded(sample.as_ref()), false), "`{}` does not fit `{sample}`", row.pattern);
        let gone = change(sample, Some(side(EntryKind::File)), None);
        let edited = change(sample, Some(side(EntryKind::File)), Some(side(EntryKind::File)));
        let others = [added(&format!("a/b/{sample}")), added(&sample.to_uppercase()), gone, edited];
        for other in others.into_iter().chain([added(sample)]) {
            let path = other.path.as_path().to_owned();
            assert_eq!(marks(other), [row.mark], "{}", path.display());
        }
    }
}

#[test]
fn code_that_waits_to_be_asked_for_has_no_mark() {
    for path in [
        "Makefile",
        "build.rs",
        "Dockerfile",
        "setup.py",
        "src/main.rs",
        "package.json",
        "vscode/tasks.json",
        ".vscode/tasks.json.bak",
        "my.envrc",
        ".github/CODEOWNERS",
        "idea/x",
        "a.pth.txt",
    ] {
        assert_eq!(marks(added(path)), [], "{path}");
    }
    assert!(builds("sub/Makefile".as_ref()) && builds("BUILD.RS".as_ref()) && !builds("main.rs".as_ref()));
}

#[test]
fn a_name_that_a_file_system_would_take_for_a_marked_one_is_marked() {
    let mut zero_width = marks(added(".en\u{200d}vrc"));
    zero_width.sort_unstable();
    assert_eq!(zero_width, [MarkKind::Runs, MarkKind::Odd]);
    assert_eq!(marks(added("\u{212a}.pth")), [MarkKind::Runs]);
}

#[test]
fn a_file_that_was_renamed_to_a_marked_name_is_marked() {
    let mut renamed = added(".envrc");
    renamed.from = Some(EntryPath::new("notes.txt"));
    assert_eq!(marks(renamed), [MarkKind::Runs]);
}

#[test]
fn the_settings_and_hooks_of_a_repository_among_the_files_are_marked() {
    let mut files: Vec<_> =
        ["x/HEAD", "x/config", "x/hooks/post-checkout", "x/objects/a", "y/config", "Z/Config", "config"]
            .map(added)
            .into();
    let before = Before { files: 100, repositories: vec![PathBuf::from("z")], ..Before::default() };
    by_path(&mut files, &before);
    let marked = |file: &Change| file.marks.iter().any(|mark| mark.mark == MarkKind::Runs);
    let marked: Vec<_> = files.iter().filter(|file| marked(file)).map(|file| file.path.as_path()).collect();
    assert_eq!(marked, ["x/config", "x/hooks/post-checkout", "Z/Config"].map(Path::new));
    let mut top = [added("HEAD"), added("commondir")];
    by_path(&mut top, &Before { files: 100, ..Before::default() });
    assert!(top[0].marks.is_empty() && !top[1].marks.is_empty(), "the directory itself is one");
}

#[test]
fn a_link_in_the_place_of_a_marked_directory_is_marked() {
    for path in [".vscode", "a/.github", ".claude/hooks", ".idea", ".yarn"] {
        assert!(marks(change(path, None, Some(link("elsewhere")))).contains(&MarkKind::Runs), "{path}");
    }
}

#[test]
fn a_file_below_the_hooks_of_the_repository_is_marked() {
    assert_eq!(marks(added("tools/hooks/pre-commit")), [MarkKind::Runs]);
    assert_eq!(marks(added("tools/hooked")), []);
}

#[test]
fn a_link_that_leads_out_or_into_a_repository_is_odd() {
    for (path, target, expected) in [
        ("a/b", "../c", false),
        ("a/b", "../../c", true),
        ("b", "..", true),
        ("a/b", "/etc/passwd", true),
        ("a", "b/../../a", true),
        ("a", ".git/hooks/pre-commit", true),
        ("a", ".GIT/x", true),
        ("a/b", "../.gitignore", false),
    ] {
        let found = marks(change(path, None, Some(link(target))));
        assert_eq!(!found.is_empty(), expected, "{path} -> {target}");
    }
}

#[test]
fn names_that_cannot_be_seen_and_bits_that_are_gained_are_odd() {
    for path in ["a\u{202e}b", "a\u{1b}[2J", "a\nb", "zero\u{200b}width"] {
        assert_eq!(marks(added(path)), [MarkKind::Odd], "{path:?}");
    }
    let executable = || Some(Side { executable: true, ..side(EntryKind::File) });
    let plain = || Some(side(EntryKind::File));
    assert_eq!(marks(change("x.sh", plain(), executable())), [MarkKind::Odd]);
    assert_eq!(marks(change("x.sh", executable(), executable())), []);
    assert_eq!(marks(change("x.sh", None, executable())), []);
}

#[test]
fn many_deletions_are_odd_when_they_are_many_of_all() {
    let deletions = |count: usize, before: u64| {
        let gone = |index| change(&format!("f{index}"), Some(side(EntryKind::File)), None);
        let mut files: Vec<_> = (0..count).map(gone).chain([added("new")]).collect();
        by_path(&mut files, &Before { files: before, ..Before::default() });
        files.iter().filter(|file| !file.marks.is_empty()).count()
    };
    assert_eq!(deletions(51, 100), 51);
    assert_eq!(deletions(50, 60), 0);
    assert_eq!(deletions(51, 255), 0);
    assert_eq!(deletions(51, 254), 51);
}

#[test]
fn text_is_odd_when_it_gains_what_cannot_be_seen() {
    let check = |added: &[&str], removed: &[&str]| {
        invisible(added.iter().map(|line| line.as_bytes()), removed.iter().map(|line| line.as_bytes()))
    };
    assert!(check(&["if a {\u{202e} // x\n"], &[]));
    assert!(check(&["\u{200b}"], &["a\n"]));
    assert!(check(&["\x1b]52;c;x\x07"], &[]));
    assert!(check(&["a\rb\n"], &[]), "a carriage return within a line hides what is before it");
    assert!(!check(&["\u{feff}new\r\n"], &["\u{feff}old\r\n"]));
    assert!(!check(&["é ✓ 漢字 \t\n"], &[]));
    assert!(check(&["\u{202e}\u{202e}"], &["\u{202e}"]));
}

#[test]
fn an_install_script_that_was_not_there_runs() {
    let package = |scripts: &str| format!(r#"{{"name":"x","scripts":{{{scripts}}}}}"#).into_bytes();
    let old = package(r#""prepare":"husky","test":"a""#);
    assert_eq!(scripts(Some(&old), &package(r#""prepare":"husky","test":"b""#)), None);
    for name in ["preinstall", "install", "postinstall", "prepare"] {
        let why = scripts(Some(&old), &package(&format!(r#""{name}":"sh x""#))).unwrap();
        assert!(why.contains(name), "{why}");
    }
    assert!(scripts(None, &old).is_some());
    assert!(scripts(Some(&old), b"{ \"scripts\": // x\n {} }").is_some());
    assert_eq!(scripts(None, &package("")), None);
}
