//! `diff` and `apply`: a saved result is looked at, taken, and taken back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use claude_bottle::results::store::Saved;
use claude_bottle_egress_policy::GuardSecrets;

use crate::support::made::{Made, census};
use crate::support::{Home, Live, Terminal, assert_code, assert_says, json, stderr, stdout};

/// A home, and a result in its store.
pub(crate) struct Review {
    home: Home,
    pub(crate) made: Made,
    saved: Saved,
}

impl Review {
    pub(crate) fn new(made: Made) -> Self {
        let home = Home::new();
        let saved = made.save();
        Self { home, made, saved }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.current_dir(self.made.here()).env("XDG_STATE_HOME", self.made.path("state"));
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert_code(&output, code);
        stdout(&output) + &stderr(&output)
    }

    #[track_caller]
    pub(crate) fn is_as(&self, tree: &str) {
        assert_eq!(census(&self.made.here()), census(&self.made.path(tree)));
    }
}

fn plain() -> Made {
    let made = Made::new();
    made.before("src/main.rs", "fn main() {}\n").before("old.txt", "x\n").gone("old.txt");
    made.after("src/main.rs", "fn main() {\n    work();\n}\n").after("src/new.rs", "fn work() {}\n");
    made
}

#[test]
fn what_a_run_changed_is_shown_applied_and_undone() {
    let review = Review::new(plain());
    let shown = review.ends(0, &["diff"]);
    assert_says(
        &shown,
        &["modified  src/main.rs  +3 -1", "+    work();", "deleted  old.txt", "added  src/new.rs"],
    );
    assert_says(&shown, &["3 files changed, +4 -2"]);
    assert_says(&review.ends(0, &["apply", "--dry-run"]), &["added  src/new.rs", "nothing was written"]);
    review.is_as("before");
    let said = review.ends(0, &["apply", "dev", "-y"]);
    assert_says(&said, &["wrote 3 changes to", "hint: go back: claude-bottle apply dev-0a1b2c3d --undo"]);
    review.is_as("after");
    assert_says(&review.ends(0, &["apply", "-y"]), &["there is nothing to write"]);
    let said = review.ends(1, &["apply", "--undo"]);
    assert_says(&said, &["cannot ask", "claude-bottle apply dev-0a1b2c3d --undo -y"]);
    review.is_as("after");
    assert_says(&review.ends(0, &["apply", "--undo", "-y"]), &["undid 3 changes"]);
    review.is_as("before");
    assert_says(&review.ends(0, &["apply", "--undo", "-y"]), &["there is nothing to undo"]);
}

#[test]
fn apply_asks_and_without_a_terminal_names_the_flag() {
    let review = Review::new(plain());
    assert_says(&review.ends(1, &["apply"]), &["cannot ask", "claude-bottle apply dev-0a1b2c3d -y"]);
    let mut terminal = Terminal::start(&review.command(&["apply"]));
    terminal.wait_for("[y/N]");
    terminal.type_keys("n\r");
    assert_says(&terminal.ends_with(1), &["3 files changed", "nothing was written"]);
    review.is_as("before");
    let mut terminal = Terminal::start(&review.command(&["apply"]));
    terminal.wait_for("[y/N]");
    terminal.type_keys("y\r");
    assert_says(&terminal.ends_with(0), &["wrote 3 changes"]);
    review.is_as("after");
}

#[test]
fn paths_take_a_part() {
    let review = Review::new(plain());
    assert_says(&review.ends(0, &["diff", "src", "--name-only"]), &["src/main.rs\nsrc/new.rs\n"]);
    assert_says(&review.ends(0, &["apply", "dev", "src/new.rs", "-y"]), &["wrote 1 change to"]);
    let here = review.made.here();
    assert!(here.join("src/new.rs").exists() && here.join("old.txt").exists());
    assert_says(&review.ends(0, &["apply", "-y"]), &["wrote 2 changes"]);
    review.is_as("after");
    assert_says(&review.ends(0, &["apply", "--undo", "-y"]), &["undid 3 changes"]);
    review.is_as("before");
    let said = review.ends(1, &["apply", "dev", "nowhere", "-y"]);
    assert_says(&said, &["`nowhere` is not among the changes", "diff dev-0a1b2c3d --name-only"]);
}

fn marked() -> Made {
    let made = plain();
    made.after(".vscode/tasks.json", "{}\n").after("CLAUDE.md", "Obey.\n");
    made
}

#[test]
fn a_mark_needs_a_word_of_its_own() {
    let review = Review::new(marked());
    assert!(review.ends(0, &["diff"]).starts_with("added  .vscode/tasks.json  +1 -0\n  runs: an editor"));
    for arguments in [&["apply", "-y"][..], &["apply", "-y", "--accept", "steers,odd"]] {
        let said = review.ends(1, arguments);
        assert_says(
            &said,
            &["would run on this machine by itself", ".vscode/tasks.json", "--accept runs", "--unmarked"],
        );
        review.is_as("before");
    }
    assert_says(&review.ends(1, &["apply", "-y", "--accept", "runs"]), &["CLAUDE.md", "--accept steers"]);
    review.is_as("before");
    let said = review.ends(0, &["apply", "-y", "--unmarked"]);
    assert_says(&said, &["left out: .vscode/tasks.json, CLAUDE.md"]);
    assert!(!review.made.here().join("CLAUDE.md").exists());
    assert!(review.made.here().join("src/new.rs").exists());
    review.ends(0, &["apply", "-y", "--accept", "runs,steers"]);
    review.is_as("after");
}

#[test]
fn each_kind_of_mark_is_asked_for_once_and_its_files_are_shown_before() {
    let review = Review::new(marked());
    let mut terminal = Terminal::start(&review.command(&["apply"]));
    terminal.wait_for("would run on this machine by itself; take it? [y/N]");
    terminal.type_keys("y\r");
    terminal.wait_for("is read by agents on this machine as instructions; take it? [y/N]");
    terminal.wait_for("Obey.");
    terminal.type_keys("\r");
    assert_says(&terminal.ends_with(1), &["nothing was written"]);
    review.is_as("before");
}

#[test]
fn a_conflict_leaves_everything_as_it_is_the_index_and_the_stash_too() {
    let made = plain();
    made.before("mine.txt", "1\n").after("mine.txt", "2\n");
    let review = Review::new(made);
    let here = review.made.here();
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(words).current_dir(&here);
        let output = git.env("HOME", review.home.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    fs::write(here.join("mine.txt"), "my edit\n").unwrap();
    fs::write(here.join(".env"), "SECRET=1\n").unwrap();
    git(&["stash", "push", "-q", "--keep-index", "mine.txt"]);
    fs::write(here.join("mine.txt"), "my edit\n").unwrap();
    let state = || {
        let index = fs::read(here.join(".git/index")).unwrap();
        (git(&["--no-optional-locks", "status", "--porcelain=v2"]), git(&["stash", "list"]), index)
    };
    let (before, files) = (state(), census(&here));
    let said = review.ends(1, &["apply", "-y"]);
    assert_says(
        &said,
        &["1 path is not as they were copied in; nothing was written", "mine.txt: it was changed here"],
    );
    assert_says(&said, &["claude-bottle apply dev-0a1b2c3d src/main.rs src/new.rs old.txt", "--into DIR"]);
    assert_eq!((state(), census(&here)), (before.clone(), files));
    let index = before.2;
    review.ends(0, &["apply", "dev", "src", "-y"]);
    assert_eq!(fs::read(here.join(".git/index")).unwrap(), index);
    assert_eq!(fs::read_to_string(here.join("mine.txt")).unwrap(), "my edit\n");
}

#[test]
fn a_withheld_file_is_shown_taken_only_by_name_and_replaces_nothing() {
    let made = Made::new();
    made.after("sub/.env", "agent\n").after("a", "1\n");
    let review = Review::new(made);
    assert_says(&review.ends(0, &["diff", "--stat"]), &["sub/.env", "withheld"]);
    assert_says(&review.ends(0, &["diff", "--left-out"]), &["sub/.env: the copy leaves it out"]);
    assert_says(&review.ends(0, &["apply", "-y"]), &["left out: sub/.env"]);
    let here = review.made.here();
    assert!(here.join("a").exists() && !here.join("sub/.env").exists());
    fs::write(here.join("sub/.env"), "mine\n").unwrap();
    review.ends(1, &["apply", "dev", "sub/.env", "-y"]);
    assert_eq!(fs::read_to_string(here.join("sub/.env")).unwrap(), "mine\n");
    fs::remove_file(here.join("sub/.env")).unwrap();
    review.ends(0, &["apply", "dev", "sub/.env", "-y"]);
    assert_eq!(fs::read_to_string(here.join("sub/.env")).unwrap(), "agent\n");
}

#[test]
fn no_text_of_an_agents_drives_the_terminal() {
    let hostile = "\x1b]52;c;aGk=\x07\x1b[2J\x1bP$q\u{202e}\u{200b}";
    let made = Made::new();
    made.before("a", "1\n").after("a", format!("{hostile}\n")).after(format!("{hostile}.txt"), "x");
    made.link("link", hostile).before(format!("c{hostile}"), "1").after(format!("c{hostile}"), "2");
    let review = Review::new(made);
    let here = review.made.here();
    let all = |review: &Review| -> Vec<String> {
        let calls: [&[&str]; 9] = [
            &["diff"],
            &["diff", "--stat"],
            &["diff", "--name-only"],
            &["diff", "--left-out"],
            &["diff", "--format", "json"],
            &["apply", "--dry-run"],
            &["apply", "-y"],
            &["apply", "-y", "--accept", "odd"],
            &["apply", "-y", "--undo"],
        ];
        calls.iter().map(|call| review.call(call)).map(|output| stdout(&output) + &stderr(&output)).collect()
    };
    let mut said = all(&review);
    fs::write(here.join(format!("c{hostile}")), "mine").unwrap();
    said.extend(all(&review));
    for text in said {
        let bad = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t') || *c == '\u{202e}');
        assert_eq!(bad, None, "{text:?}");
    }
    let drives = |shown: &str| {
        ["\x1b]52", "\x1b[2J", "\x1bP", "\u{202e}", "\u{200b}"].iter().any(|part| shown.contains(part))
    };
    let shown = Terminal::start(review.command(&["diff"]).env("PAGER", "cat")).ends_with(0);
    assert!(!drives(&shown), "{shown:?}");
    // Questions show files and names too, and so does an error after them.
    fs::write(here.join(format!("c{hostile}")), "1").unwrap();
    let mut terminal = Terminal::start(&review.command(&["apply"]));
    terminal.wait_for("[y/N]");
    terminal.type_keys("y\r");
    terminal.wait_for("changes to");
    terminal.type_keys("n\r");
    let shown = terminal.ends_with(1);
    assert!(shown.contains("take them? [y/N]") && !drives(&shown), "{shown:?}");
    let said =
        review.ends(1, &["apply", "-y", hostile]) + &review.ends(1, &["diff", &format!("{hostile}/x")]);
    assert!(!drives(&said), "{said:?}");
}

#[test]
fn a_patch_goes_to_a_file_and_never_to_a_terminal() {
    let review = Review::new(plain());
    let patch = stdout(&review.call(&["diff", "--format", "patch"]));
    assert_says(&patch, &["diff --git a/src/new.rs b/src/new.rs\nnew file mode 100644\n", "+fn work() {}\n"]);
    let said = Terminal::start(&review.command(&["diff", "--format", "patch"])).ends_with(1);
    assert_says(&said, &["can drive a terminal", "--format patch > changes.patch"]);
}

#[test]
fn the_json_of_a_diff_has_what_the_result_has() {
    let review = Review::new(marked());
    let document = json(&review.call(&["diff", "--format", "json"]));
    for key in
        ["run", "agent", "bottle", "backend", "directory", "base", "complete", "secrets_checked", "left_out"]
    {
        assert!(!document[key].is_null(), "{key}");
    }
    let file = &document["files"].as_array().unwrap()[0];
    assert_eq!(file["path"], ".vscode");
    let part = json(&review.call(&["diff", "dev", "src/main.rs", "--format", "json"]));
    let file = &part["files"][0];
    assert_eq!(
        (&file["change"], &file["added"], &file["removed"]),
        (&"modified".into(), &3.into(), &1.into())
    );
}

#[test]
fn both_sides_are_written_below_a_new_directory_with_links_as_text() {
    let made = plain();
    made.link("link", "/etc/passwd");
    let review = Review::new(made);
    let into = review.home.path().join("review");
    review.ends(0, &["diff", "--into", into.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(into.join("old/src/main.rs")).unwrap(), "fn main() {}\n");
    assert_eq!(fs::read_to_string(into.join("new/src/new.rs")).unwrap(), "fn work() {}\n");
    assert!(!into.join("new/old.txt").exists());
    let link = into.join("new/link");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(fs::read_to_string(link).unwrap(), "/etc/passwd");
    assert_says(
        &review.ends(1, &["diff", "--into", into.to_str().unwrap()]),
        &["name a directory that does not exist"],
    );
}

#[test]
fn nothing_outside_the_directory_changes() {
    let made = marked();
    made.link("out", "../beside/file").link("abs", "/tmp");
    let beside = made.path("beside");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("file"), "x").unwrap();
    let review = Review::new(made);
    let outside = |parent: &Path| -> Vec<(PathBuf, u64, i64, i64)> {
        let mut found: Vec<_> = fs::read_dir(parent)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .chain([parent.to_owned(), beside.join("file")])
            .filter(|path| !path.ends_with("here"))
            .map(|path| {
                let metadata = fs::symlink_metadata(&path).unwrap();
                (path, metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
            })
            .collect();
        found.sort();
        found
    };
    let parent = review.made.path("").join(".");
    let before = outside(&parent);
    review.ends(0, &["apply", "-y", "--accept", "runs,steers,odd"]);
    review.is_as("after");
    review.ends(0, &["apply", "--undo", "-y"]);
    review.is_as("before");
    assert_eq!(outside(&parent), before);
}

/// Calls the program in a mount namespace of its own.
fn within(review: &Review, mounts: &[&str], script: &str) -> Output {
    let command = review.command(&[]);
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--dev-bind", "/", "/"]).args(mounts).args([
        "--die-with-parent",
        "--",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    bwrap.arg(command.get_program()).env_clear().envs(command.get_envs().filter_map(|(n, v)| Some((n, v?))));
    bwrap.current_dir("/").output().unwrap()
}

#[test]
fn a_full_disk_in_the_middle_changes_nothing() {
    let made = Made::new();
    made.before("a", "1\n").after("a", "2\n").before("gone", "x\n").gone("gone");
    for index in 0..8 {
        made.after(format!("big{index}"), vec![b'x'; 300_000]);
    }
    let review = Review::new(made);
    let here = review.made.here();
    let here = here.to_str().unwrap();
    let script = format!(
        "cd {here} && echo 1 >a && echo x >gone && \"$1\" apply dev -y; echo code $?; ls -A | tr '\\n' ' '; cat a gone"
    );
    let output = within(&review, &["--size", "1048576", "--tmpfs", here], &script);
    let said = stdout(&output) + &stderr(&output);
    assert_says(
        &said,
        &["No space left on device", "everything is as it was before", "code 1\na gone 1\nx\n"],
    );
}

#[test]
fn a_directory_that_cannot_be_written_says_so() {
    let review = Review::new(plain());
    let here = review.made.here();
    let here = here.to_str().unwrap();
    let output = within(&review, &["--ro-bind", here, here], &format!("cd {here} && \"$1\" apply dev -y"));
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["Read-only file system"]);
    // A file system that is mounted below is another one, also when it is the same.
    let src = format!("{here}/src");
    let output = within(&review, &["--bind", &src, &src], &format!("cd {here} && \"$1\" apply dev -y"));
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["`src` is another file system"]);
    review.is_as("before");
}

#[test]
fn a_killed_apply_is_gone_back_from_wherever_it_was() {
    let made = Made::new();
    for index in 0..400 {
        made.before(format!("d{}/f{index}", index % 20), "1\n")
            .after(format!("d{}/f{index}", index % 20), "2\n");
    }
    let review = Review::new(made);
    let mut cut_off = 0;
    for round in 0..12_u64 {
        let mut child = review.command(&["apply", "dev", "-y", "-q"]).spawn().unwrap();
        // Until it is somewhere: the stage is the first thing that is seen.
        let here = review.made.here();
        let is_staging = || {
            fs::read_dir(&here)
                .unwrap()
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with(".claude"))
        };
        while !is_staging() && child.try_wait().unwrap().is_none() {}
        for _ in 0..round * 4_000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let said = review.ends(0, &["apply", "dev", "--undo", "-y"]);
        cut_off += usize::from(said.contains("cut off"));
        review.is_as("before");
    }
    assert!(cut_off > 0);
    review.ends(0, &["apply", "dev", "-y"]);
    review.is_as("after");
}

#[test]
fn a_secret_is_marked_by_name_and_its_value_is_in_no_document() {
    const CANARY: &str = "canary-9f31c7-Value_0123456789";
    let mut made = Made::new();
    let json_text = serde_json::json!([{ "name": "API_KEY", "value": CANARY }]).to_string();
    made.secrets = Some(GuardSecrets::from_json(&json_text).unwrap());
    let encoded = "Y2FuYXJ5LTlmMzFjNy1WYWx1ZV8wMTIzNDU2Nzg5";
    made.after("new", format!("a\nkey = {CANARY}\n"))
        .before("edited", "x\n")
        .after("edited", format!("x\n{encoded}\n"));
    made.after("binary", [b"\0", CANARY.as_bytes()].concat()).after("clean", "x\n");
    made.link("link", format!("a/{CANARY}"));
    let review = Review::new(made);
    let said = review.ends(1, &["apply", "-y"]);
    assert_says(&said, &["the secret `API_KEY`, line 2", "binary", "link"]);
    assert!(!said.contains("clean"), "{said}");
    let document = fs::read_to_string(review.saved.dir.join("result.json")).unwrap();
    // The link's own target is the one place where the agent wrote it.
    let document = document.replace(&format!("a/{CANARY}"), "");
    assert!(!document.contains(CANARY) && !document.contains(encoded));
    assert!(document.contains("credential: its target has the secret `API_KEY`"));
}

#[test]
fn what_could_not_be_searched_is_marked_as_unchecked() {
    let mut made = plain();
    made.secrets = None;
    let review = Review::new(made);
    assert_says(&review.ends(1, &["apply", "-y"]), &["unchecked: it was not searched", "--accept odd"]);
    review.ends(0, &["apply", "-y", "--accept", "odd"]);
    review.is_as("after");
}

#[test]
fn another_directory_has_an_undo_of_its_own() {
    let review = Review::new(plain());
    let other = review.home.path().join("other");
    assert!(
        Command::new("cp").arg("-a").arg(review.made.path("before")).arg(&other).status().unwrap().success()
    );
    let to = other.to_str().unwrap();
    assert_says(&review.ends(0, &["apply", "-y", "--to", to]), &["--undo --to"]);
    assert_eq!(census(&other), census(&review.made.path("after")));
    review.is_as("before");
    review.ends(0, &["apply", "-y"]);
    review.ends(0, &["apply", "-y", "--undo", "--to", to]);
    assert_eq!(census(&other), census(&review.made.path("before")));
    review.is_as("after");
}

#[test]
fn a_link_in_place_of_a_directory_here_stops_everything() {
    let review = Review::new(plain());
    let (here, outside) = (review.made.here(), review.home.path().join("outside"));
    fs::rename(here.join("src"), &outside).unwrap();
    symlink(&outside, here.join("src")).unwrap();
    assert_says(&review.ends(1, &["apply", "-y"]), &["src/new.rs: `src` is a link here"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::metadata(outside.join("main.rs")).unwrap().permissions().mode() & 0o111, 0);
}

/// Makes the user's directory a repository with one commit, and returns a way to run git there.
fn repository(made: &Made) -> impl Fn(&[&str]) -> String + use<> {
    let here = made.here();
    let git = move |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(words).current_dir(&here);
        let output = git.env("HOME", &here).env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    git
}

#[test]
fn a_file_that_changed_on_both_sides_is_merged_when_that_is_asked_for() {
    let base = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let made = Made::new();
    made.before("far", base).after("far", base.replace('9', "nine"));
    made.before("near", "a\n").after("near", "b\n").before("bin", [0, 1]).after("bin", [0, 2]);
    let git = repository(&made);
    let review = Review::new(made);
    let here = review.made.here();
    fs::write(here.join("far"), base.replace('1', "one")).unwrap();
    let index = fs::read(here.join(".git/index")).unwrap();
    assert_says(
        &review.ends(1, &["apply", "-y"]),
        &["far: it was changed here since", "apply dev-0a1b2c3d --3way"],
    );
    review.ends(0, &["apply", "-y", "--3way"]);
    let merged = fs::read_to_string(here.join("far")).unwrap();
    assert_eq!(merged, base.replace('1', "one").replace('9', "nine"));
    review.ends(0, &["apply", "--undo", "-y"]);
    assert_eq!(fs::read_to_string(here.join("far")).unwrap(), base.replace('1', "one"));
    assert_says(&review.ends(0, &["results", "verify"]), &[]);

    fs::write(here.join("near"), "mine\n").unwrap();
    let before = census(&here);
    let said = review.ends(1, &["apply", "-y", "--3way"]);
    assert_says(&said, &["1 file has conflict markers when merged", "near", "--3way --accept conflicts"]);
    assert_eq!(census(&here), before);
    review.ends(0, &["apply", "-y", "--3way", "--accept", "conflicts"]);
    let text = fs::read_to_string(here.join("near")).unwrap();
    assert_eq!(text, "<<<<<<< here\nmine\n=======\nb\n>>>>>>> dev-0a1b2c3d\n");
    review.ends(0, &["apply", "--undo", "-y"]);
    assert_eq!(census(&here), before);

    fs::write(here.join("bin"), [0, 3]).unwrap();
    let before = census(&here);
    assert_says(
        &review.ends(1, &["apply", "-y", "--3way", "--accept", "conflicts"]),
        &["bin: it was changed here since"],
    );
    assert_eq!(census(&here), before);
    // Nothing is staged.
    assert_eq!(fs::read(here.join(".git/index")).unwrap(), index);
    git(&["--no-optional-locks", "diff", "--cached", "--exit-code"]);
}

#[test]
fn a_branch_has_the_changes_in_one_commit_and_the_work_tree_stays() {
    let made = plain();
    made.before("tool", "x\n").after("odd \"name\"\n\u{e9}", "x\n").link("link", "src");
    let git = repository(&made);
    made.before("tool", "x\n");
    fs::set_permissions(made.path("after").join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let review = Review::new(made);
    let here = review.made.here();
    // What git would run by itself, had it not been told otherwise.
    for hook in ["reference-transaction", "post-commit"] {
        let hook = here.join(".git/hooks").join(hook);
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\ntouch \"$HOME/canary\"\n").unwrap();
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    review.home.write(".gitconfig", "[user]\nname = Ada Lovelace\nemail = ada@example.test\n");
    let state = || (census(&here), fs::read(here.join(".git/index")).unwrap(), git(&["rev-parse", "main"]));
    let before = state();
    let said = review.ends(0, &["apply", "-y", "--accept", "odd", "--branch", "fixer/work"]);
    assert_says(&said, &["made the branch fixer/work with 6 changes"]);
    assert_eq!(state(), before);
    assert!(!review.home.path().join("canary").exists());
    let log = git(&["log", "--format=%an <%ae>%n%P%n%B", "-1", "fixer/work"]);
    assert_says(
        &log,
        &["Ada Lovelace <ada@example.test>", before.2.trim(), "Claude-Bottle-Run: dev-0a1b2c3d"],
    );
    git(&["fsck", "--strict"]);
    fs::remove_dir_all(here.join(".git/hooks")).unwrap();
    git(&["checkout", "-q", "fixer/work"]);
    review.is_as("after");
    let said = review.ends(1, &["apply", "-y", "--accept", "odd", "--branch", "fixer/work"]);
    assert_says(&said, &["the branch `fixer/work` exists"]);
    for name in ["a..b", "-d", "a b", "HEAD", "x.lock"] {
        let said = review.ends(1, &["apply", "-y", "--accept", "odd", &format!("--branch={name}")]);
        assert_says(&said, &["is not a valid name of a branch"]);
    }
}

#[test]
fn a_branch_is_refused_where_a_filter_would_have_to_run_and_where_is_no_commit() {
    let review = Review::new(plain());
    review.home.write(".gitconfig", "[user]\nname = a\nemail = a@a\n");
    assert_says(&review.ends(1, &["apply", "-y", "--branch", "b"]), &["was not a repository with a commit"]);
    let made = plain();
    made.before(".gitattributes", "*.rs filter=lfs -text\n");
    let _git = repository(&made);
    let review = Review::new(made);
    review.home.write(".gitconfig", "[user]\nname = a\nemail = a@a\n");
    assert_says(
        &review.ends(1, &["apply", "-y", "--branch", "b"]),
        &["src/main.rs` has a filter in .gitattributes"],
    );
}

#[test]
fn the_changes_of_a_bottle_that_runs_are_shown_and_nothing_is_saved_by_that() {
    let home = Home::new();
    home.write("work/edited", "one\n");
    let script = "echo two >edited; echo ready; cat";
    let run = Live::start(&mut home.command(&["start", "shell", "--cwd", "--yes", "--", script]));
    run.wait_for_stdout("ready");
    let output = home.call(&["diff", "shell"]);
    assert_code(&output, 0);
    assert_says(&stdout(&output), &["modified  edited  +1 -1", "-one\n+two\n"]);
    assert_says(&stderr(&output), &["the bottle goes on"]);
    assert_eq!(json(&home.call(&["results", "--format", "json"])), serde_json::json!([]));
    assert_code(&run.end(), 0);
}
