//! Working directories with rules, secrets and repositories, made by real git and copied for real.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

fn sh(dir: &Path, script: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "t").env(format!("GIT_{role}_EMAIL"), "t@t");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a project by a script.
fn project(script: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("project");
    fs::create_dir(&source).unwrap();
    sh(&source, script);
    (dir, source)
}

/// Copies a project as a backend does, and returns the copy with what the walk came across.
fn copied(source: &Path) -> (PathBuf, Survey) {
    let target = source.with_extension("copy");
    let checkout = checkout(&Workspace::new(source), None, u64::MAX).unwrap();
    let survey = tree::copy(source, &target, &checkout.options, None, &mut |_| true).unwrap();
    assert_eq!(tree::survey(source, &checkout.options).unwrap(), survey);
    for (data, options) in checkout.repository.iter().flat_map(|repository| &repository.trees) {
        tree::copy(data, &target.join(".git"), options, None, &mut |_| true).unwrap();
    }
    for (path, content) in checkout.repository.iter().flat_map(|repository| &repository.files) {
        fs::write(target.join(path), content).unwrap();
    }
    (target, survey)
}

fn files(dir: &Path) -> String {
    sh(dir, "find . -path ./.git -prune -o ! -type d -print | sort | tr '\\n' ' '")
}

#[test]
fn one_entry_is_not_called_entries() {
    // The directory is one of them.
    for (script, said) in [("true", "1 entry, "), ("touch a", "2 entries, ")] {
        let (_dir, source) = project(script);
        let (name, amount) = facts(&copied(&source).1).remove(0);
        assert!(name == "copied in" && amount.starts_with(said), "{amount}");
    }
}

#[test]
fn secrets_stay_out_unless_they_are_asked_for() {
    let (_dir, source) = project(
        "mkdir -p certs .env.d deep/.env; touch .env .env.local .ENV .env.example certs/a.pem certs/b.key id_rsa id_rsa.pub \
         main.rs deep/.netrc deep/.env/inside environment",
    );
    let (copy, survey) = copied(&source);
    assert_eq!(files(&copy), "./.env.example ./deep/.env/inside ./environment ./id_rsa.pub ./main.rs ");
    assert_eq!(survey.left_out.count, 7);
    assert_eq!(facts(&survey)[1], ("left out", "7 (.ENV, .env, .env.local, …)".to_owned()));

    fs::write(source.join(IGNORE_FILE), "# what the tests need\n!.env.local\n!certs/*.pem\n!main.rs\n")
        .unwrap();
    fs::remove_dir_all(&copy).unwrap();
    let (copy, survey) = copied(&source);
    assert!(copy.join(".env.local").exists() && copy.join("certs/a.pem").exists());
    assert!(!copy.join(".env").exists() && !copy.join("certs/b.key").exists());
    let said = facts(&survey);
    let asked = "2 (.env.local, certs/a.pem), since .claude-bottleignore asks for it";
    assert_eq!(said[2], ("secrets let in", asked.to_owned()));
}

#[test]
fn content_decides_in_both_directions() {
    let (_dir, source) = project(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout deploy -out cacert.pem -subj /CN=x 2>/dev/null; \
         cp deploy mine; cp deploy fixture; git init -q .; git add fixture; git commit -qm first; \
         echo '!mine' >.claude-bottleignore; cat deploy cacert.pem >both.pem; ln -s /etc/ssl/cert.pem link.pem",
    );
    let (copy, survey) = copied(&source);
    assert_eq!(files(&copy), "./.claude-bottleignore ./cacert.pem ./fixture ./link.pem ./mine ");
    let said = facts(&survey);
    assert_eq!(said[1], ("left out", "2 (both.pem, deploy)".to_owned()));
    assert!(said[2].1.starts_with("1 (mine), since .claude-bottleignore"), "{said:?}");
    assert!(said[3].1.starts_with("1 (fixture), since git tracks it"), "{said:?}");
    // What decides inside is the content as well, so nothing changes.
    assert_eq!(
        sh(&copy, "git status --porcelain"),
        "?? .claude-bottleignore\n?? cacert.pem\n?? link.pem\n?? mine\n"
    );
}

#[test]
fn the_file_is_read_as_git_reads_its_own() {
    let (_dir, source) = project(
        "mkdir -p target/debug src/target web/node_modules/x logs docs; touch target/debug/x src/target/y web/node_modules/x/z \
         logs/a.log logs/keep.log docs/a.tmp docs/a.txt a.tmp 'trailing ' '#hash' space",
    );
    let rules = "/target/\r\nnode_modules\n*.log\n!keep.log\ndocs/**/*.tmp\n\\#hash\nspace   \n";
    fs::write(source.join(IGNORE_FILE), rules).unwrap();
    // git's own answer, with the same text as its `.gitignore`.
    let git = "git init -q . && cp .claude-bottleignore .gitignore && git add -A && git ls-files | grep -v gitignore | sort";
    let expected = sh(&source, &format!("cp -r . ../git && cd ../git && {git}"));
    let (copy, survey) = copied(&source);
    let taken = sh(&copy, "find * .claude-bottleignore ! -type d | LC_ALL=C sort");
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(&taken), sorted(&expected.replace('"', "")));
    assert_eq!(survey.left_out.count, 7 - 1, "directories count once: {survey:?}");
}

#[test]
fn what_git_tracks_comes_along_and_the_status_is_as_on_the_host() {
    let (_dir, source) = project(
        "git init -q -b id_rsa .; mkdir a; touch .env a/test.pem a/new.pem file; echo a/new.pem >.gitignore; \
         git add .env a/test.pem file .gitignore; git commit -qm first; touch .env.local",
    );
    let (copy, survey) = copied(&source);
    assert_eq!(sh(&copy, "git status --porcelain"), "");
    assert_eq!(sh(&copy, "git branch --show-current"), "id_rsa\n", "no rule looks into .git");
    assert!(copy.join(".env").exists() && copy.join("a/test.pem").exists());
    assert!(!copy.join("a/new.pem").exists() && !copy.join(".env.local").exists());
    assert_eq!(survey.left_out.count, 2);
    let said = facts(&survey);
    assert_eq!(said[2], ("secrets let in", "2 (.env, a/test.pem), since git tracks it".to_owned()));

    // What the file names stays out nevertheless, and git shows it.
    fs::write(source.join(IGNORE_FILE), "file\n").unwrap();
    fs::remove_dir_all(&copy).unwrap();
    let (copy, _) = copied(&source);
    assert_eq!(sh(&copy, "git status --porcelain"), " D file\n?? .claude-bottleignore\n");

    // Without the repository nothing is in a history.
    fs::write(source.join(IGNORE_FILE), ".git\n").unwrap();
    fs::remove_dir_all(&copy).unwrap();
    let (copy, _) = copied(&source);
    assert!(!copy.join(".git").exists() && !copy.join(".env").exists() && copy.join("file").exists());
}

#[test]
fn rules_that_cannot_be_read_are_no_rules_to_go_on_without() {
    let check = |make: &dyn Fn(&Path), expected: &str| {
        let (_dir, source) = project("touch .env");
        make(&source.join(IGNORE_FILE));
        let failure = Failure::from(checkout(&Workspace::new(&source), None, u64::MAX).unwrap_err());
        assert!(failure.to_string().contains(expected), "{failure}");
    };
    check(&|file| fs::write(file, "fine\na[z-a]\n").unwrap(), "line 2: ");
    check(&|file| fs::write(file, b"fine\n\n\xff\n").unwrap(), "line 3: it is not UTF-8");
    check(&|file| symlink("/etc/passwd", file).unwrap(), "read `");
    check(&|file| fs::create_dir(file).unwrap(), "special file");
    check(&|file| fs::write(file, "x\n".repeat(1 << 20)).unwrap(), "exceeds");
}

#[test]
fn a_worktree_and_a_submodule_are_whole_inside() {
    let (dir, source) = project(
        "git init -q -b main .; echo one >file; touch .env; git add .; git commit -qm first; \
         git worktree add -q -b side ../tree; mkdir ../outer; cd ../outer; git init -q .; \
         git -c protocol.file.allow=always submodule --quiet add ../project sub",
    );
    for (place, branch) in [("tree", "side"), ("outer/sub", "main")] {
        let source = dir.path().join(place);
        fs::write(source.join("new"), "uncommitted").unwrap();
        let (copy, _) = copied(&source);
        assert_eq!(sh(&copy, "git status --porcelain"), "?? new\n", "{place}");
        assert_eq!(sh(&copy, "git branch --show-current; git log --format=%s"), format!("{branch}\nfirst\n"));
        assert!(!sh(&copy, "cat .git/config").contains("worktree"));
    }
    assert!(source.join(".git").is_dir());
}

#[test]
fn a_worktree_of_a_bare_repository_is_whole_inside() {
    let (dir, source) = project(
        "git init -q -b main ../first; cd ../first; echo one >file; git add .; git commit -qm first; cd ../project; \
         git clone -q --bare ../first .bare; echo 'gitdir: ./.bare' >.git; \
         git worktree add -q tree main; git worktree add -q -b id_rsa other",
    );
    for (place, branch) in [("tree", "main"), ("other", "id_rsa")] {
        let (copy, _) = copied(&source.join(place));
        assert_eq!(sh(&copy, "git status --porcelain; git branch --show-current"), format!("{branch}\n"));
        assert_eq!(sh(&copy, "git commit -q --allow-empty -m more; git log --format=%s"), "more\nfirst\n");
        fs::remove_dir_all(copy).unwrap();
    }
    // With settings for each worktree, the bare one's is not this one's.
    sh(
        &source.join("tree"),
        "git config extensions.worktreeConfig true; git config --file ../.bare/config --unset core.bare; \
        git config --file ../.bare/config.worktree core.bare true; git status",
    );
    let (copy, _) = copied(&source.join("other"));
    assert_eq!(sh(&copy, "git status --porcelain"), "");
    fs::remove_dir_all(copy).unwrap();
    // All of it comes along as it is.
    let (copy, survey) = copied(&source);
    assert_eq!(sh(&copy, "git branch --format='%(refname:short)'; git fsck 2>&1"), "id_rsa\nmain\n");
    assert_eq!(survey.left_out.count, 0);
    assert!(dir.path().join("project/.bare/HEAD").exists());
}

#[test]
fn repositories_of_every_make_are_whole_inside() {
    let (dir, _source) = project(
        "git init -q -b main ../first; cd ../first; git config uploadpack.allowFilter true; mkdir a b; \
         for n in 1 2; do echo $n >a/file; echo $n >b/file; git add .; git commit -qm $n; done; cd ..; \
         url=file://$PWD/first; git clone -q --depth 1 \"$url\" shallow; git clone -q --filter=blob:none \"$url\" partial; \
         git init -q -b main --object-format=sha256 hashes; \
         (cd hashes; mkdir a; echo 2 >a/file; git add .; git commit -qm 1; git commit -q --allow-empty -m 2); \
         (cd first; git worktree add -q -b side .claude/worktrees/side; cd .claude/worktrees/side; \
          git sparse-checkout set a 2>/dev/null; git config extensions.worktreeConfig)",
    );
    for (place, log) in [
        ("shallow", "2\n"),
        ("partial", "2\n1\n"),
        ("hashes", "2\n1\n"),
        ("first/.claude/worktrees/side", "2\n1\n"),
    ] {
        let source = dir.path().join(place);
        let (copy, survey) = copied(&source);
        assert_eq!(survey.left_out.count, 0, "{place}");
        assert_eq!(
            sh(&copy, "git status --porcelain; git log --format=%s; cat a/file"),
            format!("{log}2\n"),
            "{place}"
        );
        assert_eq!(copy.join("b").exists(), source.join("b").exists(), "{place}");
        sh(&copy, "git fsck --connectivity-only 2>&1; git commit -q --allow-empty -m more");
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn submodules_of_a_worktree_are_whole_inside() {
    let (dir, source) = project(
        "git init -q -b main ../inner; cd ../inner; echo two >file; git add .; git commit -qm inner; \
         git init -q -b main ../lib; cd ../lib; echo one >file; git add .; git commit -qm lib; \
         git -c protocol.file.allow=always submodule --quiet add ../inner deep/inner; git commit -qm nested; \
         cd ../project; git init -q -b main .; git -c protocol.file.allow=always submodule --quiet add ../lib libs/lib; \
         git commit -qm first; git worktree add -q -b side ../tree; cd ../tree; \
         git -c protocol.file.allow=always submodule --quiet update --init --recursive 2>/dev/null; \
         echo changed >libs/lib/deep/inner/file",
    );
    assert!(source.join("libs/lib/.git").is_file());
    let (copy, _) = copied(&dir.path().join("tree"));
    fs::rename(dir.path().join("tree"), dir.path().join("away")).unwrap();
    fs::rename(&source, dir.path().join("gone")).unwrap();
    let status = "git status --porcelain; git submodule status --recursive | cut -d' ' -f3 | sort";
    assert_eq!(sh(&copy, status), " M libs/lib\nlibs/lib\nlibs/lib/deep/inner\n");
    let inner = copy.join("libs/lib/deep/inner");
    assert_eq!(sh(&inner, "git status --porcelain; git log --format=%s"), " M file\ninner\n");
    assert_eq!(sh(&copy, "git -C libs/lib log --format=%s -1"), "nested\n");
}

#[test]
fn where_the_agent_starts_comes_along() {
    let (_dir, source) = project("mkdir -p packages/app target; touch packages/app/x");
    let mut workspace = Workspace::new(&source);
    workspace.start = "packages/app".into();
    assert!(checkout(&workspace, None, u64::MAX).is_ok());
    for rule in ["packages", "/packages/app/", "app"] {
        fs::write(source.join(IGNORE_FILE), format!("{rule}\n")).unwrap();
        let failure = Failure::from(checkout(&workspace, None, u64::MAX).unwrap_err());
        assert!(failure.message.contains("leaves out `packages/app`, in which the agent"), "{failure}");
    }
}

#[test]
fn a_git_file_that_points_to_others_is_refused() {
    let (dir, source) = project("git init -q ../victim");
    let refused = |workspace: &Workspace| {
        let failure = Failure::from(checkout(workspace, None, u64::MAX).unwrap_err());
        assert!(failure.message.contains("points to no repository's data that belongs to it"), "{failure}");
    };
    let mut workspace = Workspace::new(&source);
    fs::write(source.join(".git"), format!("gitdir: {}/victim/.git\n", dir.path().display())).unwrap();
    refused(&workspace);
    fs::write(source.join(".git"), "gitdir: /etc\n").unwrap();
    assert!(checkout(&workspace, None, u64::MAX).is_err());
    fs::write(source.join(".git"), "gitdir: nowhere\n").unwrap();
    refused(&workspace);
    workspace.exclude.push(".git".into());
    assert!(checkout(&workspace, None, u64::MAX).unwrap().repository.is_none());
    // As a link it stays one, and leads to nothing inside.
    fs::remove_file(source.join(".git")).unwrap();
    symlink(dir.path().join("victim/.git"), source.join(".git")).unwrap();
    let (copy, _) = copied(&source);
    assert!(fs::symlink_metadata(copy.join(".git")).unwrap().is_symlink());
}

#[test]
fn borrowed_objects_are_refused_until_they_are_the_repositorys_own() {
    let (dir, _) = project(
        "git init -q ../lender; cd ../lender; echo x >file; git add .; git commit -qm first; cd ..; \
         git clone -q --shared lender borrower; git -C borrower worktree add -q ../tree",
    );
    for place in ["borrower", "tree"] {
        let workspace = Workspace::new(dir.path().join(place));
        let failure = Failure::from(checkout(&workspace, None, u64::MAX).unwrap_err());
        assert!(failure.message.contains("borrows objects from another"), "{failure}");
        assert!(failure.hints[0].starts_with("git repack -a -d && rm '"), "{failure:?}");
    }
    let workspace = Workspace::new(dir.path().join("borrower"));
    let failure = Failure::from(checkout(&workspace, None, u64::MAX).unwrap_err());
    // The advice is followed to the letter.
    sh(&workspace.source, &failure.hints[0]);
    fs::remove_dir_all(dir.path().join("lender")).unwrap();
    let (copy, _) = copied(&workspace.source);
    assert_eq!(sh(&copy, "git log --format=%s; git status --porcelain; git fsck 2>&1"), "first\n");
}
