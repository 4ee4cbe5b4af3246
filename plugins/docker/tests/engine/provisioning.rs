//! What is in a bottle before the agent runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use claude_bottle_plugin_api::*;

use crate::support::{Run, backend, bridge_address};

#[test]
fn skills_prompt_and_workspace_belong_to_the_agent() {
    let backend = backend(&[]);
    let mut run = Run::new("skilled", &[]);
    let skill = run.dir.path().join("skill");
    fs::create_dir_all(skill.join("bin")).unwrap();
    fs::write(skill.join("SKILL.md"), "# do it").unwrap();
    fs::write(skill.join("bin/run"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(skill.join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("bin/run", skill.join("run")).unwrap();
    fs::write(run.dir.path().join("elsewhere.md"), "# elsewhere").unwrap();
    symlink(run.dir.path().join("elsewhere.md"), skill.join("linked.md")).unwrap();
    run.spec.agent.skills.push(SkillSpec::new("doer", &skill));
    let mut profile = AgentProfile::new("claude");
    let file = |path| HomeFile::new(path, FileFormat::Json, serde_json::json!({}));
    profile.files = [".claude.json", ".claude/settings.json"].map(file).into();
    run.spec.agent.profile = Some(profile);
    let project = run.dir.path().join("project");
    fs::create_dir_all(project.join("target")).unwrap();
    fs::write(project.join("target/big"), "x").unwrap();
    fs::write(project.join("main.rs"), "fn main() {}").unwrap();
    let mut workspace = Workspace::new(&project);
    workspace.exclude.push("target".into());
    run.spec.workspace = Some(workspace);

    let live = run.start(&backend);
    assert_eq!(live.provisioned.prompt_path, None);
    let script = r#"cd ~; stat -c '%n %U %a' .claude/skills/doer/bin/run .claude/skills .claude .claude-bottle-prompt.txt \
        workspace/main.rs .claude.json .claude/settings.json .claude/skills/doer/linked.md; .claude/skills/doer/run; ls -A workspace; touch workspace/new"#;
    let said = live.sh(&backend, &run, script, b"");
    assert_eq!(
        said.stdout,
        ".claude/skills/doer/bin/run node 755\n.claude/skills node 700\n.claude node 700\n\
         .claude-bottle-prompt.txt node 600\nworkspace/main.rs node 644\n.claude.json node 600\n\
         .claude/settings.json node 600\n.claude/skills/doer/linked.md node 644\nran\nmain.rs\n",
        "{said:?}"
    );
    assert!(!project.join("new").exists());
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn hostile_trees_are_refused_before_anything_is_made() {
    let backend = backend(&[]);
    let mut run = Run::new("hostile", &[]);
    let skill = run.dir.path().join("skill");
    fs::create_dir(&skill).unwrap();
    symlink("/nowhere", skill.join("out")).unwrap();
    run.spec.agent.skills.push(SkillSpec::new("bad", &skill));
    let failure = backend.prepare(&run.call(), &run.spec).unwrap_err();
    assert_eq!(failure.message, "cannot copy skill `bad`");
    run.spec.agent.skills[0].source = run.dir.path().join("gone");
    assert!(backend.prepare(&run.call(), &run.spec).is_err());

    // What is swapped after the question is refused as well, and leaves nothing.
    run.spec.agent.skills.clear();
    let project = run.dir.path().join("project");
    fs::create_dir(&project).unwrap();
    run.spec.workspace = Some(Workspace::new(&project));
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    let pipe = std::process::Command::new("mkfifo").arg(project.join(".claude-bottleignore")).status();
    assert!(pipe.unwrap().success());
    let failure = backend.launch(&run.call(), &plan).unwrap_err();
    assert!(failure.to_string().contains("is a FIFO"), "{failure}");
    assert!(failure.hints.iter().any(|hint| hint.contains(".claude-bottleignore")));
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn what_stays_on_the_host_is_said_and_is_not_inside() {
    let backend = backend(&[]);
    let mut run = Run::new("ignorer", &[]);
    let project = run.dir.path().join("project");
    fs::create_dir_all(project.join("target")).unwrap();
    for file in [".env", ".env.test", "target/big", "tracked.pem", "main.rs"] {
        fs::write(project.join(file), "canary\n").unwrap();
    }
    fs::write(project.join(".claude-bottleignore"), "/target\n!.env.test\n").unwrap();
    let script =
        "git init -q && git add main.rs tracked.pem && git -c user.name=t -c user.email=t@t commit -qm one";
    let made = std::process::Command::new("sh").args(["-c", script]).current_dir(&project).status().unwrap();
    assert!(made.success());
    run.spec.workspace = Some(Workspace::new(&project));
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    let fact = |label: &str| plan.facts.iter().find(|fact| fact.label == label).unwrap().value.clone();
    assert_eq!(fact("left out"), "2 (.env, target/)");
    assert!(fact("secrets let in").starts_with("1 (.env.test), since .claude-bottleignore"));
    let live = run.start(&backend);
    let said = live.sh(&backend, &run, "ls -A; git status --porcelain; stat -c '%U %a' .env.test", b"");
    assert_eq!(
        said.stdout,
        ".claude-bottleignore\n.env.test\n.git\nmain.rs\ntracked.pem\n?? .claude-bottleignore\n?? .env.test\nnode 644\n",
        "{said:?}"
    );
    backend.close(&run.call(), &live.bottle).unwrap();

    fs::write(project.join(".git/objects/info/alternates"), "/\n").unwrap();
    let failure = backend.prepare(&run.call(), &run.spec).unwrap_err();
    assert!(failure.to_string().contains("borrows objects"), "{failure}");
    assert!(failure.hints[0].starts_with("git repack -a -d"), "{failure:?}");
}

#[test]
fn sockets_stay_out_times_are_kept_and_the_agent_starts_below() {
    let backend = backend(&[]);
    let mut run = Run::new("keeper", &[]);
    let project = run.dir.path().join("project");
    fs::create_dir(&project).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(project.join("socket")).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
    fs::File::create(project.join("file")).unwrap().set_modified(time).unwrap();
    symlink("file", project.join("link")).unwrap();
    fs::create_dir_all(project.join("packages/app")).unwrap();
    let mut workspace = Workspace::new(&project);
    workspace.start = "packages/app".into();
    run.spec.workspace = Some(workspace);
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    let said = &plan.facts.iter().find(|fact| fact.label == "not copied").unwrap().value;
    assert!(said.starts_with("1 (socket): sockets"), "{said}");
    let live = run.start(&backend);
    let said = live.sh(&backend, &run, "pwd; touch new && cd ../..; ls; stat -c %.9Y file", b"");
    let expected = "/home/node/workspace/packages/app\nfile\nlink\npackages\n1700000000.123456789\n";
    assert_eq!(said.stdout, expected, "{said:?}");
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn git_knows_its_user_and_the_directory_lies_where_it_lies_on_the_host() {
    let backend = backend(&[]);
    let mut run = Run::new("placed", &[]);
    let project = run.dir.path().join("project");
    fs::create_dir_all(project.join(".idea")).unwrap();
    fs::write(project.join(".idea/x"), "x").unwrap();
    let made = std::process::Command::new("git").args(["init", "-q"]).current_dir(&project).status().unwrap();
    assert!(made.success());
    run.spec.git_identity = Some(GitIdentity::new("Ada", "ada@example.com"));
    let place = |path: &str| {
        let mut workspace = Workspace::new(&project);
        workspace.git_ignore = ".idea/\n".to_owned();
        workspace.path = Some(path.to_owned());
        workspace
    };
    run.spec.workspace = Some(place("/home/ada/work/project"));
    let live = run.start(&backend);
    let script = "pwd; touch new && stat -c %U . new ~/.config/git; git status --porcelain; \
                  git commit -qm one --allow-empty && git log --format='%an <%ae>'";
    let said = live.sh(&backend, &run, script, b"");
    let expected = "/home/ada/work/project\nnode\nnode\nnode\n?? new\nAda <ada@example.com>\n";
    assert_eq!(said.stdout, expected, "{said:?}");
    backend.close(&run.call(), &live.bottle).unwrap();

    // What the engine cannot fill, and what the agent could not enter, is not had.
    for path in ["/tmp/project", "/root/project", "/usr/src/project"] {
        run.spec.workspace = Some(place(path));
        let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
        let fact = plan.facts.iter().find(|fact| fact.label == "lies at").unwrap();
        assert_eq!(fact.value, "/home/node/workspace, since the place on the host cannot be had inside");
    }
}

#[test]
fn a_large_copy_says_how_far_it_is() {
    let backend = backend(&[]);
    let mut run = Run::new("large", &[]);
    let project = run.dir.path().join("project");
    fs::create_dir(&project).unwrap();
    let size = 400 << 20;
    fs::write(project.join("large"), vec![7; size]).unwrap();
    run.spec.workspace = Some(Workspace::new(&project));
    let live = run.start(&backend);
    backend.close(&run.call(), &live.bottle).unwrap();
    let events = run.services.events.lock().unwrap();
    let told: Vec<_> = events.iter().filter(|event| event.done.is_some()).collect();
    assert!(!told.is_empty() && told.len() < 1000, "{} events", told.len());
    assert!(told.iter().all(|event| event.step == "copy-in" && event.done <= event.total), "{told:?}");
    assert!(told.iter().map(|event| event.done).is_sorted());
    let total = told[0].total.unwrap();
    assert!((size as u64..size as u64 + (1 << 20)).contains(&total), "{total}");
    assert!(told[0].message.as_deref().unwrap().ends_with(" of 400 MiB"), "{told:?}");
}

#[test]
fn claude_code_runs_in_it() {
    let backend = backend(&[]);
    let run = Run::new("coder", &[]);
    let live = run.start(&backend);
    let said = live.exec(&backend, &run, &["claude", "--version"], b"");
    assert!(said.stdout.contains("Claude Code"), "{said:?}");
    backend.close(&run.call(), &live.bottle).unwrap();
}

/// Makes a key on the host and grants it for `git.test` at this port.
fn grant_key(run: &mut Run, port: u16) -> std::path::PathBuf {
    let key = run.dir.path().join("id");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "bottle-test", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let mut entry = SshEntry::new("work", "git.test", &key);
    entry.port = port;
    run.spec.bottle.ssh.push(entry);
    key
}

/// Makes a commit that is signed by the key, and verifies it.
const SIGNED_COMMIT: &str = r#"
    git init -q repo && cd repo && echo "a@b $(ssh-add -L)" >/tmp/signers
    git -c user.name=a -c user.email=a@b -c gpg.format=ssh -c "user.signingkey=key::$(ssh-add -L)" commit -qS --allow-empty -m signed
    git -c gpg.ssh.allowedSignersFile=/tmp/signers verify-commit HEAD"#;

#[test]
fn an_ssh_key_signs_and_cannot_be_read() {
    let backend = backend(&[]);
    let mut run = Run::new("signer", &[]);
    let key = grant_key(&mut run, 22);
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let live = run.start(&backend);
    let said = live.sh(&backend, &run, "ssh-add -L", b"");
    assert_eq!(said.stdout, public, "{said:?}");
    let sign = "cat >/tmp/k.pub; echo text | ssh-keygen -q -Y sign -n file -f /tmp/k.pub";
    let said = live.sh(&backend, &run, sign, public.as_bytes());
    assert!(said.stdout.starts_with("-----BEGIN SSH SIGNATURE-----"), "{said:?}");
    let said = live.sh(&backend, &run, SIGNED_COMMIT, b"");
    assert!(said.code == 0 && said.stderr.contains("Good \"git\" signature for a@b"), "{said:?}");

    // Neither a file, nor the memory of the process that has it, nor its own socket, nor a library of the agent's choice.
    let said = live.sh(&backend, &run, "stat -c '%U %a' ~/.ssh ~/.ssh/config ~/.ssh/known_hosts", b"");
    assert_eq!(said.stdout, "node 700\nnode 600\nnode 600\n");
    let script = r#"
        for p in /proc/[0-9]*; do
            [ "$(cat $p/comm)" = ssh-agent ] || continue
            echo "agent of $(stat -c %u $p)"
            dd if=$p/mem bs=1 count=1 && echo READ; cat $p/environ && echo READ; ls $p/fd/ && echo READ; cat $p/maps && echo READ
            kill -0 ${p#/proc/} && echo SIGNALLED
        done 2>/dev/null
        SSH_AUTH_SOCK=/run/claude-bottle-agent.sock ssh-add -l >/dev/null 2>&1 && echo DIRECT
        ls /root 2>/dev/null && echo ROOT; true"#;
    assert_eq!(live.sh(&backend, &run, script, b"").stdout, "agent of 0\n");
    let secret = fs::read_to_string(&key).unwrap();
    let line = secret.lines().nth(2).unwrap();
    let found = std::process::Command::new("sh")
        .args(["-c", &format!("docker export {} | grep -acF '{line}'", live.bottle.name)])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), "0");
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn ssh_goes_out_through_the_sidecar_to_what_the_policy_names() {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::io::Write::write_all(&mut stream, b"SSH-2.0-greeter\r\n").ok();
        }
    });
    let backend = backend(&[]);
    let mut run = Run::new("caller", &[]);
    grant_key(&mut run, port);
    // An address of the host that only the sidecar can reach stands for a server.
    let bridge = bridge_address();
    run.spec.bottle.egress.config = format!(
        "version: 1\nbottle: b\nlisten: 0.0.0.0:1\npolicy:\n  rules: [{{rule: 'git.test:{port}', origin: test}}]\n  \
         hosts: {{git.test: [{bridge}]}}\n  private: [{{host: git.test, range: {bridge}/32}}]\n"
    );
    let live = run.start(&backend);
    let said = live.sh(&backend, &run, "ssh -v -o ConnectTimeout=5 work true", b"");
    assert!(said.stderr.contains("remote software version greeter"), "{}", said.stderr);
    let said = live.sh(&backend, &run, "ssh -v -o ConnectTimeout=5 -p 22 work true", b"");
    assert!(!said.stderr.contains("remote software"), "{}", said.stderr);
    backend.close(&run.call(), &live.bottle).unwrap();
    let log = fs::read_to_string(run.spec.state_dir.join("egress.jsonl")).unwrap();
    assert!(log.contains("git.test") && log.contains("port_not_allowed"), "{log}");
}

#[test]
fn a_repository_is_as_clean_inside_as_outside() {
    let backend = backend(&[]);
    let mut run = Run::new("committer", &[]);
    let project = run.dir.path().join("project");
    fs::create_dir(&project).unwrap();
    let script = "git init -q -b main && echo x >f && git add . && git -c user.name=t -c user.email=t@t commit -qm one && echo y >g";
    let made = std::process::Command::new("sh").args(["-c", script]).current_dir(&project).status().unwrap();
    assert!(made.success());
    run.spec.workspace = Some(Workspace::new(&project));
    let live = run.start(&backend);
    let said = live.sh(
        &backend,
        &run,
        "git status --porcelain; git log --format=%s; stat -c %U .git .git/HEAD",
        b"",
    );
    assert_eq!(said.stdout, "?? g\none\nnode\nnode\n", "{said:?}");
    backend.close(&run.call(), &live.bottle).unwrap();
}
