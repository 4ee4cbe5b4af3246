//! What is shown of a result, and a patch against git itself.

use std::fs;
use std::process::{Command, Stdio};

use super::*;
use crate::results::made::{Made, census};
use crate::results::store::Saved;

const PLAIN: Style = Style { color: false };

fn shown(saved: &Saved, style: Style) -> String {
    let files: Vec<_> = saved.result.files.iter().collect();
    let mut all = String::new();
    let mut show = |piece: &str| {
        all.push_str(piece);
        true
    };
    text(&files, &Contents::new(&saved.dir), style, &mut show).unwrap();
    all
}

#[test]
fn marked_files_come_first_with_the_reason() {
    let made = Made::new();
    made.before("a.txt", "one\ntwo\nthree\n").after("a.txt", "one\n2\nthree").after(".envrc", "x\n");
    let expected = "\
added  .envrc  +1 -0
  runs: a shell runs it when the directory is entered
@@ -0,0 +1 @@
+x
modified  a.txt  +2 -2
@@ -1,3 +1,3 @@
 one
-two
-three
+2
+three
\\ No newline at end of file
";
    assert_eq!(shown(&made.save(), PLAIN), expected);
}

#[test]
fn nothing_of_an_agents_reaches_the_terminal_as_it_is() {
    let hostile = "\x1b]52;c;aGk=\x07\x1b[2J\x1bP$q\u{9b}1m\u{202e}\u{200b}\r";
    let made = Made::new();
    made.before("edited", "a\n").after("edited", format!("{hostile}\n{hostile}"));
    made.after(format!("{hostile}.txt"), "x").link("link", hostile);
    let saved = made.save();
    for style in [PLAIN, Style { color: true }] {
        let mut shown = shown(&saved, style);
        for ours in
            ["\x1b[1m", "\x1b[0m", "\x1b[7m", "\x1b[27m", "\x1b[36m", "\x1b[32m", "\x1b[31m", "\x1b[1;33m"]
        {
            shown = shown.replace(ours, "");
        }
        let bad = shown.chars().find(|c| escape::is_hidden(*c));
        assert_eq!(bad, None, "{shown:?}");
        assert!(shown.contains("\\u{202e}"), "{shown}");
    }
}

#[test]
fn what_is_not_text_is_told_by_its_size() {
    let made = Made::new();
    made.before("b", [0, 1]).after("b", [0, 1, 2]).before("big", "x").after("big", vec![b'x'; 2 << 20]);
    let shown = shown(&made.save(), PLAIN);
    assert!(shown.contains("modified  b  [binary]\n  binary, 2 -> 3 bytes\n"), "{shown}");
    assert!(shown.contains("rewritten: too large to show, 1 -> 2097152 bytes"), "{shown}");
}

#[test]
fn a_summary_names_what_needs_a_word() {
    let made = Made::new();
    made.before("a", "1\n").after("a", "2\n").after("CLAUDE.md", "x\n").after("sub/mise.toml", "x\n");
    let saved = made.save();
    let files: Vec<_> = saved.result.files.iter().filter(|file| file.added.is_some()).collect();
    let expected = "3 files changed, +3 -1; 1 would run on this machine by itself (sub/mise.toml); 1 would steer an \
                    agent on this machine (CLAUDE.md)";
    assert_eq!(summary(&files), expected);
    for (number, text) in [(0, "0"), (999, "999"), (1204, "1,204"), (1_000_000, "1,000,000")] {
        assert_eq!(grouped(number), text);
    }
}

#[test]
fn a_patch_is_exact_for_git() {
    let made = Made::new();
    made.before("text", "one\ntwo\n").after("text", "one\r\n2").before("gone", "x\n").gone("gone");
    made.before("bin", [0, 255, 1]).after("bin", (0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    made.before("gone.bin", [0; 70]).gone("gone.bin").after("new.bin", [0, 1]).after("empty", "");
    made.before("huge", "x").after("huge", "line\n".repeat(30_000));
    made.after("with space \u{e9}\n\"q\"\\.txt", "x\n").after("deep/er/x", "x");
    made.before("to-link", "x\n").link("to-link", "text").before("tool", "#!\n").link("link", "../out");
    made.before("latin", b"\xe9\n".as_slice()).after("latin", b"\xe8\n".as_slice());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(made.path("after").join("tool"), mode).unwrap();
    let saved = made.save();
    let files: Vec<_> = saved.result.files.iter().collect();
    let mut patch = Vec::new();
    assert_eq!(
        super::patch::patch(&files, &Contents::new(&saved.dir), &mut patch).unwrap(),
        Vec::<std::path::PathBuf>::new()
    );
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(made.here()).args(words).env("GIT_CEILING_DIRECTORIES", made.path("."));
        git.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = git.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &patch).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["apply", "--whitespace=nowarn", "-"]);
    assert_eq!(census(&made.here()), census(&made.path("after")));
    git(&["apply", "--reverse", "--whitespace=nowarn", "-"]);
    assert_eq!(census(&made.here()), census(&made.path("before")));
}
