//! Directories with repositories around them, made for real.

use std::collections::BTreeMap;

use super::*;

/// A home with a directory for projects in it.
fn home() -> (tempfile::TempDir, Invocation) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    let invocation = Invocation {
        cwd: home.clone(),
        cwd_is_gone: false,
        exe: home.join("claude-bottle"),
        config_dir: home.join(".config/claude-bottle"),
        data_dir: home.join(".local/share/claude-bottle"),
        state_dir: home.join(".local/state/claude-bottle"),
        settings: BTreeMap::new(),
        plugin_path: None,
        no_color: true,
        home,
    };
    (dir, invocation)
}

fn repository(at: &Path) {
    fs::create_dir_all(at.join(".git")).unwrap();
    fs::write(at.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
}

/// Returns the directory that comes along, where in it the agent starts, and what is warned of.
fn found(invocation: &Invocation, cwd: &Path, named: Option<&str>) -> (PathBuf, PathBuf, String) {
    let invocation = Invocation { cwd: cwd.to_owned(), ..invocation.clone() };
    let found = find(&invocation, named.map(Path::new)).unwrap_or_else(|error| panic!("{:#}", error.error));
    (found.workspace.source, found.workspace.start, found.warning.unwrap_or_default())
}

#[test]
fn below_the_root_of_a_repository_all_of_it_comes_along() {
    let (_dir, invocation) = home();
    let root = invocation.home.join("work/repo");
    let app = root.join("packages/app");
    repository(&root);
    fs::create_dir_all(&app).unwrap();
    let whole = |start: &str| (root.clone(), PathBuf::from(start), String::new());
    assert_eq!(found(&invocation, &root, None), whole(""));
    assert_eq!(found(&invocation, &app, None), whole("packages/app"));
    assert_eq!(found(&invocation, &app, Some("../..")), whole(""));
    // What is named is meant, and what stays is said.
    for named in [".", app.to_str().unwrap(), "../app"] {
        let (source, start, warning) = found(&invocation, &app, Some(named));
        assert_eq!((source, start), (app.clone(), PathBuf::new()));
        assert!(
            warning.ends_with(&format!("without its repository `{}`: --cwd names it", root.display())),
            "{warning}"
        );
    }
    // A file of rules further down says what comes along from there.
    fs::write(root.join("packages/.claude-bottleignore"), "x\n").unwrap();
    let (source, _, warning) = found(&invocation, &app, None);
    assert_eq!(source, app);
    assert!(warning.contains("a .claude-bottleignore is in a directory below its root"), "{warning}");
    // One in the root is read there.
    fs::rename(root.join("packages/.claude-bottleignore"), root.join(".claude-bottleignore")).unwrap();
    assert_eq!(found(&invocation, &app, None), whole("packages/app"));
}

#[test]
fn what_is_no_repository_around_it_changes_nothing() {
    let (_dir, invocation) = home();
    let work = invocation.home.join("work/deep");
    fs::create_dir_all(&work).unwrap();
    let alone = (work.clone(), PathBuf::new(), String::new());
    assert_eq!(found(&invocation, &work, None), alone);
    // Neither a link to somebody's data, nor an empty directory, nor a text.
    std::os::unix::fs::symlink("/etc", invocation.home.join("work/.git")).unwrap();
    assert_eq!(found(&invocation, &work, None), alone);
    fs::remove_file(invocation.home.join("work/.git")).unwrap();
    fs::write(invocation.home.join("work/.git"), "text").unwrap();
    assert_eq!(found(&invocation, &work, None), alone);
    // The home directory's own, for dotfiles.
    repository(&invocation.home);
    assert_eq!(found(&invocation, &work, None), alone);
    let error = find(&Invocation { cwd: work, ..invocation }, Some(Path::new("nowhere"))).unwrap_err();
    assert!(format!("{:#}", error.error).contains("find the directory"), "{:#}", error.error);
}

#[test]
fn a_worktree_below_a_repository_is_its_own_root() {
    let (_dir, invocation) = home();
    let root = invocation.home.join("repo");
    repository(&root);
    let tree = root.join(".claude/worktrees/one");
    fs::create_dir_all(tree.join("src")).unwrap();
    fs::write(tree.join(".git"), format!("gitdir: {}/.git/worktrees/one\n", root.display())).unwrap();
    assert_eq!(found(&invocation, &tree.join("src"), None), (tree, "src".into(), String::new()));
}
