//! What a bottle is granted: prompt, skills, workspace, repository, keys.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use claude_bottle_plugin_api::{
    AgentProfile, Backend, ExecRequest, ExecRole, FileFormat, GitIdentity, HomeFile, SkillSpec, SshEntry,
    Workspace,
};

use crate::support::Bench;

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn git(dir: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    run(git.args(["-c", "user.name=x", "-c", "user.email=x@x"]).args(arguments));
}

#[test]
fn the_prompt_and_the_skills_are_in_the_home() {
    let bench = Bench::new();
    let mut spec = bench.spec("prompt");
    spec.agent.prompt = "Be brief.\n".to_owned();
    let skill = bench.dir.path().join("skill");
    fs::create_dir(&skill).unwrap();
    fs::write(skill.join("SKILL.md"), "# skill").unwrap();
    fs::write(skill.join("run.sh"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(skill.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    spec.agent.skills = vec![SkillSpec::new("helpful", &skill)];
    let live = bench.launch(&spec);
    let path = live.provisioned.prompt_path.clone().unwrap();
    let said = live.sh(&format!("cat {path}; stat -c '%a %U' {path}; ~/.claude/skills/helpful/run.sh"));
    assert_eq!(said.out, "Be brief.\n600 node\nran\n", "{said:?}");
    assert_eq!(
        live.sh("stat -c '%U' ~ ~/.claude ~/.claude/skills/helpful/SKILL.md").out,
        "node\nnode\nnode\n"
    );
}

#[test]
fn a_skill_of_links_is_followed_and_never_into_a_secret() {
    let bench = Bench::new();
    let mut spec = bench.spec("linked");
    let (skill, store) = (bench.dir.path().join("skill"), bench.dir.path().join("store"));
    fs::create_dir(&skill).unwrap();
    fs::create_dir_all(store.join("scripts")).unwrap();
    fs::write(store.join("SKILL.md"), "# skill\n").unwrap();
    fs::write(store.join("scripts/run"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(store.join("scripts/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink(store.join("SKILL.md"), skill.join("SKILL.md")).unwrap();
    symlink(store.join("scripts"), skill.join("scripts")).unwrap();
    spec.agent.skills = vec![SkillSpec::new("linked", &skill)];
    let live = bench.launch(&spec);
    let said =
        live.sh("cd ~/.claude/skills/linked; cat SKILL.md; scripts/run; stat -c '%U %F' SKILL.md scripts");
    assert_eq!(said.out, "# skill\nran\nnode regular file\nnode directory\n", "{said:?}");
    drop(live);

    // What is swapped after the question is refused as well, and the bottle can be closed.
    let mut spec = bench.spec("swapped-skill");
    spec.agent.skills = vec![SkillSpec::new("linked", &skill)];
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let bottle = bench.backend.launch(&bench.call, &plan).unwrap();
    fs::write(store.join("id_rsa"), "x").unwrap();
    symlink(store.join("id_rsa"), skill.join("notes.md")).unwrap();
    let failure = bench.backend.provision(&bench.call, &plan, &bottle).unwrap_err();
    assert!(failure.to_string().contains("store/id_rsa`, which holds a secret"), "{failure}");
    bench.backend.close(&bench.call, &bottle).unwrap();
    let failure = bench.backend.prepare(&bench.call, &spec).unwrap_err();
    assert_eq!(failure.message, "cannot copy skill `linked`");
    assert!(failure.hints[0].starts_with("remove the link"), "{failure:?}");
}

#[test]
fn the_workspace_is_a_copy_with_its_repository() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "one\n").unwrap();
    fs::write(source.join(".env"), "SECRET=1").unwrap();
    git(&source, &["init", "-q"]);
    git(&source, &["add", "file"]);
    git(&source, &["commit", "-qm", "first"]);
    let mut spec = bench.spec("workspace");
    let mut workspace = Workspace::new(&source);
    workspace.exclude.push(".env".into());
    spec.workspace = Some(workspace);
    let live = bench.launch(&spec);
    let said = live.sh(
        "pwd; ls -A; git log --format=%s; git status --porcelain; echo two >> file; stat -c %U file .git",
    );
    assert_eq!(said.out, "/home/node/workspace\n.git\nfile\nfirst\nnode\nnode\n", "{said:?}");
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "one\n");
}

#[test]
fn what_stays_on_the_host_is_said_and_is_not_inside() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir_all(source.join("target")).unwrap();
    for file in [".env", ".env.test", "target/big", "tracked.pem", "main.rs"] {
        fs::write(source.join(file), "canary\n").unwrap();
    }
    fs::write(source.join(".claude-bottleignore"), "/target\n!.env.test\n").unwrap();
    git(&source, &["init", "-q"]);
    git(&source, &["add", "main.rs", "tracked.pem"]);
    git(&source, &["commit", "-qm", "first"]);
    let mut spec = bench.spec("ignored");
    spec.workspace = Some(Workspace::new(&source));
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let fact = |label: &str| plan.facts.iter().find(|fact| fact.label == label).unwrap().value.clone();
    assert_eq!(fact("left out"), "2 (.env, target/)");
    assert!(fact("secrets let in").starts_with("1 (.env.test), since .claude-bottleignore"));
    let live = bench.launch(&spec);
    let said = live.sh("ls -A; git status --porcelain; stat -c '%U %a' .env.test");
    assert_eq!(
        said.out,
        ".claude-bottleignore\n.env.test\n.git\nmain.rs\ntracked.pem\n?? .claude-bottleignore\n?? .env.test\nnode 644\n",
        "{said:?}"
    );
    drop(live);

    fs::write(source.join(".git/objects/info/alternates"), "/\n").unwrap();
    let failure = bench.backend.prepare(&bench.call, &spec).unwrap_err();
    assert!(failure.to_string().contains("borrows objects"), "{failure}");
    assert!(failure.hints[0].starts_with("git repack -a -d"), "{failure:?}");
}

#[test]
fn a_worktree_becomes_a_repository() {
    let bench = Bench::new();
    let (main, tree) = (bench.dir.path().join("main"), bench.dir.path().join("tree"));
    fs::create_dir(&main).unwrap();
    fs::write(main.join("file"), "one\n").unwrap();
    git(&main, &["init", "-q", "-b", "main"]);
    git(&main, &["add", "file"]);
    git(&main, &["commit", "-qm", "first"]);
    git(&main, &["worktree", "add", "-q", "-b", "side", tree.to_str().unwrap()]);
    assert!(tree.join(".git").is_file());
    let mut spec = bench.spec("worktree");
    spec.workspace = Some(Workspace::new(&tree));
    let live = bench.launch(&spec);
    let said = live.sh("git rev-parse --abbrev-ref HEAD; git status --porcelain; git log --format=%s main");
    assert_eq!(said.out, "side\nfirst\n", "{said:?}");
}

#[test]
fn what_has_no_content_is_left_out_and_said() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir(&source).unwrap();
    git(&source, &["init", "-q"]);
    fs::write(source.join("file"), "x").unwrap();
    run(Command::new("mkfifo").arg(source.join("pipe")));
    let _daemon = UnixListener::bind(source.join(".git/fsmonitor--daemon.ipc")).unwrap();
    git(&source, &["config", "core.fsmonitor", "true"]);
    let mut spec = bench.spec("special");
    spec.workspace = Some(Workspace::new(&source));
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let said = &plan.facts.iter().find(|fact| fact.label == "not copied").unwrap().value;
    assert!(said.starts_with("2 (.git/fsmonitor--daemon.ipc, pipe): sockets"), "{said}");
    let live = bench.launch(&spec);
    let said = live.sh("ls -A . .git | grep -c -e pipe -e daemon; git status --porcelain");
    assert_eq!(said.out, "0\n?? file\n", "{said:?}");
}

#[test]
fn rules_that_are_swapped_after_the_question_are_refused_and_nothing_is_left() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir(&source).unwrap();
    let mut spec = bench.spec("swapped");
    spec.workspace = Some(Workspace::new(&source));
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    run(Command::new("mkfifo").arg(source.join(".claude-bottleignore")));
    let failure = bench.backend.launch(&bench.call, &plan).unwrap_err();
    assert!(failure.to_string().contains("is a FIFO"), "{failure}");
    assert!(failure.undo.is_empty());
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
}

#[test]
fn what_may_not_be_read_can_be_named() {
    if rustix::process::geteuid().is_root() {
        return; // Root may read everything; the tests run once more as an ordinary user.
    }
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir_all(source.join("locked")).unwrap();
    for name in ["secret", "file"] {
        fs::write(source.join(name), "x").unwrap();
    }
    fs::set_permissions(source.join("locked"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(source.join("secret"), fs::Permissions::from_mode(0o0)).unwrap();
    let mut spec = bench.spec("locked");
    spec.workspace = Some(Workspace::new(&source));
    for name in ["locked", "secret"] {
        let failure = bench.backend.prepare(&bench.call, &spec).unwrap_err();
        assert!(failure.to_string().contains(&format!("project/{name}`")), "{failure}");
        assert!(failure.hints[0].starts_with("name it in .claude-bottleignore"), "{failure:?}");
        let ignore = fs::read_to_string(source.join(".claude-bottleignore")).unwrap_or_default();
        fs::write(source.join(".claude-bottleignore"), format!("{ignore}{name}\n")).unwrap();
    }
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    assert!(plan.facts.iter().any(|fact| fact.value == "2 (locked/, secret)"), "{:?}", plan.facts);
}

#[test]
fn the_agent_starts_where_it_was_called() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir_all(source.join("packages/app")).unwrap();
    fs::write(source.join("packages/app/file"), "one\n").unwrap();
    git(&source, &["init", "-q"]);
    git(&source, &["add", "."]);
    git(&source, &["commit", "-qm", "first"]);
    let mut spec = bench.spec("below");
    let mut profile = AgentProfile::new("claude");
    let projects = serde_json::json!({ "projects": { "${start}": {} } });
    profile.files = vec![HomeFile::new(".claude.json", FileFormat::Json, projects)];
    spec.agent.profile = Some(profile);
    let mut workspace = Workspace::new(&source);
    workspace.start = "packages/app".into();
    spec.workspace = Some(workspace);
    let live = bench.launch(&spec);
    let said = live.sh("pwd; touch new; git status --porcelain .; grep -c packages/app ~/.claude.json");
    assert_eq!(said.out, "/home/node/workspace/packages/app\n?? packages/app/new\n1\n", "{said:?}");
}

#[test]
fn git_knows_its_user_and_what_is_ignored_everywhere() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir_all(source.join(".idea")).unwrap();
    fs::write(source.join(".idea/x"), "x").unwrap();
    git(&source, &["init", "-q"]);
    let mut spec = bench.spec("committer");
    spec.git_identity = Some(GitIdentity::new("Ada \"L\" Lovelace", "ada@example.com"));
    let mut workspace = Workspace::new(&source);
    workspace.git_ignore = ".idea/\n".to_owned();
    spec.workspace = Some(workspace);
    let live = bench.launch(&spec);
    let said = live.sh(
        "git commit -qm one --allow-empty && git log --format='%an <%ae>'; git status --porcelain; git config user.name Bob; \
         git commit -qm two --allow-empty && git log -1 --format='%an <%ae>'",
    );
    assert_eq!(said.out, "Ada \"L\" Lovelace <ada@example.com>\nBob <ada@example.com>\n", "{said:?}");
}

#[test]
fn large_files_are_clean_inside_without_the_program_for_them() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir(&source).unwrap();
    fs::write(source.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
    fs::write(source.join("a.bin"), "large\n").unwrap();
    // Long before the index is written, which otherwise looks again.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
    fs::File::options().write(true).open(source.join("a.bin")).unwrap().set_modified(old).unwrap();
    git(&source, &["init", "-q"]);
    // The pointer's place is taken by what `tr` makes of the content.
    git(&source, &["-c", "filter.lfs.clean=tr a-z A-Z", "add", "."]);
    git(&source, &["commit", "-qm", "first"]);
    let mut spec = bench.spec("large-files");
    let mut workspace = Workspace::new(&source);
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    workspace.git_settings =
        vec![setting("filter.lfs.clean", "no-such-program clean"), setting("filter.lfs.required", "true")];
    spec.workspace = Some(workspace);
    let live = bench.launch(&spec);
    let said = live.sh("git status --porcelain; git add -A && git diff --cached --stat; echo new >a.bin; git add a.bin; echo $?");
    assert_eq!(said.out, "128\n", "an unfiltered file is not added: {said:?}");
}

#[test]
fn the_working_directory_lies_where_it_lies_on_the_host() {
    let bench = Bench::new();
    // A place that can be had, wherever the test's temporary files are: `/var/tmp` is a link in a bottle.
    let outside = tempfile::tempdir_in("/tmp").unwrap();
    let source = outside.path().join("project");
    fs::create_dir(&source).unwrap();
    // As a Python environment has it: a script names its interpreter, which is a link, by where it lies.
    fs::create_dir_all(source.join(".venv/bin")).unwrap();
    symlink("/bin/sh", source.join(".venv/bin/interpreter")).unwrap();
    let first = source.join(".venv/bin/interpreter");
    let script = format!("#!{}\necho from the environment\n", first.display());
    fs::write(source.join(".venv/bin/tool"), script).unwrap();
    fs::set_permissions(source.join(".venv/bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(source.join("app")).unwrap();
    let places = [
        (source.to_str().unwrap().to_owned(), "from the environment"),
        ("/home/ada/work/project".to_owned(), ""),
        ("/home/node/code/project".to_owned(), ""),
    ];
    for (n, (place, tool)) in places.into_iter().enumerate() {
        let mut spec = bench.spec(&format!("place-{n}"));
        let mut workspace = Workspace::new(&source);
        (workspace.path, workspace.start) = (Some(place.clone()), "app".into());
        spec.workspace = Some(workspace);
        let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
        let fact = plan.facts.iter().find(|fact| fact.label == "lies at").unwrap();
        assert_eq!(fact.value, "the same place as on the host");
        let live = bench.launch(&spec);
        let said = live.sh("pwd; touch ../new && stat -c %U . .. ../new; ../.venv/bin/tool 2>/dev/null; ls -d ~/workspace 2>&1");
        let mut expected = format!("{place}/app\nnode\nnode\nnode\n");
        if !tool.is_empty() {
            expected += &format!("{tool}\n");
        }
        expected += "ls: cannot access '/home/node/workspace': No such file or directory\n";
        assert_eq!(said.out, expected, "{said:?}");
        live.close();
    }
    let mut spec = bench.spec("place-taken");
    let mut workspace = Workspace::new(&source);
    workspace.path = Some("/usr/src/project".to_owned());
    spec.workspace = Some(workspace);
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let fact = plan.facts.iter().find(|fact| fact.label == "lies at").unwrap();
    assert_eq!(fact.value, "/home/node/workspace, since the place on the host cannot be had inside");
    assert_eq!(bench.launch(&spec).sh("pwd").out, "/home/node/workspace\n");
}

#[test]
fn a_build_inside_has_as_much_to_do_as_outside() {
    let bench = Bench::new();
    let source = bench.dir.path().join("project");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("Makefile"), "a b: in; touch $@\n").unwrap();
    // All within one second: `a` is stale by a little, `b` is not.
    for (file, nanos) in [("a", 100), ("in", 200), ("b", 300)] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, nanos);
        fs::File::create(source.join(file)).unwrap().set_modified(time).unwrap();
    }
    let mut spec = bench.spec("builder");
    spec.workspace = Some(Workspace::new(&source));
    let live = bench.launch(&spec);
    let said = live.sh("make -n a; make -n b; stat -c %.9Y in");
    assert_eq!(said.out, "touch a\nmake: 'b' is up to date.\n1700000000.000000200\n", "{said:?}");
}

/// Makes a commit that is signed by the key, and verifies it.
const SIGNED_COMMIT: &str = r#"
    git init -q repo && cd repo && echo "a@b $(ssh-add -L)" >/tmp/signers
    git -c user.name=a -c user.email=a@b -c gpg.format=ssh -c "user.signingkey=key::$(ssh-add -L)" commit -qS --allow-empty -m signed
    git -c gpg.ssh.allowedSignersFile=/tmp/signers verify-commit HEAD"#;

#[test]
fn keys_can_be_used_and_not_read() {
    let bench = Bench::new();
    let key = bench.dir.path().join("id");
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "bottle-key", "-f"])
        .arg(&key));
    let mut spec = bench.spec("ssh");
    let mut entry = SshEntry::new("forge", "git.example", &key);
    entry.port = 2222;
    entry.known_host_key = Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost".to_owned());
    spec.bottle.ssh = vec![entry];
    let live = bench.launch(&spec);
    let said = live.sh("ssh-add -l");
    assert!(said.out.contains("bottle-key (ED25519)"), "{said:?}");
    let said = live
        .sh("ssh-add -L > ~/id.pub; echo text > t; ssh-keygen -q -Y sign -f ~/id.pub -n file t && cat t.sig");
    assert!(said.out.contains("BEGIN SSH SIGNATURE"), "{said:?}");
    let said = live.sh(SIGNED_COMMIT);
    assert!(said.code == 0 && said.err.contains("Good \"git\" signature for a@b"), "{said:?}");
    let private = fs::read_to_string(&key).unwrap();
    let line = private.lines().nth(2).unwrap();
    assert_ne!(live.sh(&format!("grep -r '{line}' ~ /tmp /run /etc 2>/dev/null")).code, 0);
    // The agent must not load libraries for whoever asks.
    assert_ne!(live.sh("ssh-add -s /usr/lib/x86_64-linux-gnu/libz.so.1 </dev/null").code, 0);
    let said = live.sh("ssh -G forge; stat -c '%a %U' ~/.ssh ~/.ssh/config ~/.ssh/known_hosts");
    for line in ["hostname git.example", "port 2222", "user git", "stricthostkeychecking true"] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert!(said.out.ends_with("700 node\n600 node\n600 node\n"), "{said:?}");
    let said = live.sh("ssh forge 2>&1");
    assert!(said.out.contains("403"), "the guard refuses it: {said:?}");
    let pids = live.pids();
    assert_eq!(pids.len(), 3);
    live.close();
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn claude_gets_its_prompt_by_its_option() {
    let bench = Bench::new();
    // A stand-in under the agent's name, outside /usr, as a version manager would have it.
    let bin = bench.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::set_permissions(bench.dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(bin.join("claude"), "#!/bin/sh\necho \"$0\" \"$@\"\n").unwrap();
    fs::set_permissions(bin.join("claude"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = bench.spec("claude");
    spec.agent.prompt = "hello".to_owned();
    spec.agent.command = vec![bin.join("claude").display().to_string()];
    let live = bench.launch(&spec);
    let mut request = ExecRequest::new(spec.agent.command.clone(), ExecRole::Agent);
    request.command.push("-p".to_owned());
    request.prompt_path = live.provisioned.prompt_path.clone();
    let out = tempfile::tempfile().unwrap();
    request.streams = [0, out.as_raw_fd(), out.as_raw_fd()];
    assert_eq!(bench.backend.exec(&bench.call, &live.bottle, &request).unwrap().code, 0);
    let expected = format!(
        "{}/claude --append-system-prompt-file /home/node/.claude-bottle-prompt.txt -p\n",
        bin.display()
    );
    assert_eq!(crate::support::text(out), expected);
}

/// In a process of its own: the directory that is first on its search path.
const WITH_PATH: &str = "BUBBLEWRAP_TESTS_PATH";

/// Runs in a process of its own, since the search path is the process's.
#[test]
fn program_from_a_version_manager() {
    let Some(bin) = std::env::var_os(WITH_PATH) else { return };
    let bench = Bench::new();
    let mut spec = bench.spec("managed");
    spec.agent.command = vec!["managed-agent".to_owned()];
    let live = bench.launch(&spec);
    let said = live.run(&["managed-agent", "x"], "");
    assert_eq!(said.out, "package says interpreted /opt/claude-bottle/bin/managed-agent x\n", "{said:?}");
    assert_ne!(
        live.sh(&format!("ls '{}'", bin.to_string_lossy())).code,
        0,
        "the host's directory is not there"
    );
    assert_ne!(live.sh("echo x > /opt/claude-bottle/bin/managed-agent").code, 0);
}

#[test]
fn an_agent_outside_usr_comes_with_its_package_and_interpreter() {
    let bench = Bench::new();
    let root = bench.dir.path().join("versions");
    let (bin, package) = (root.join("bin"), root.join("lib/node_modules/@scope/agent"));
    let data = root.join("lib/node_modules/@scope/data");
    for dir in [&bin, &package, &data] {
        fs::create_dir_all(dir).unwrap();
    }
    let program = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    // The interpreter is a binary, as `node` is: a copy of the shell under another name.
    fs::copy("/bin/sh", bin.join("own-interpreter")).unwrap();
    program(
        &package.join("cli.js"),
        "#!/usr/bin/env own-interpreter\n. /opt/claude-bottle/lib/@scope/data/words\necho \"$WORDS\" interpreted \"$0\" \"$@\"\n",
    );
    fs::write(data.join("words"), "WORDS='package says'\n").unwrap();
    symlink("../lib/node_modules/@scope/agent/cli.js", bin.join("managed-agent")).unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "grants::program_from_a_version_manager"]).env(WITH_PATH, &bin);
    again.env(crate::support::AGAIN, "1").env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
