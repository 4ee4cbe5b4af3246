//! What is in a bottle before the agent runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use claude_bottle_plugin_api::*;

use crate::support::{Run, backend};

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
    run.spec.agent.skills.push(SkillSpec::new("doer", &skill));
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
        workspace/main.rs .claude.json .claude/settings.json; .claude/skills/doer/run; ls -A workspace; touch workspace/new"#;
    let said = live.sh(&backend, &run, script, b"");
    assert_eq!(
        said.stdout,
        ".claude/skills/doer/bin/run node 755\n.claude/skills node 700\n.claude node 700\n\
         .claude-bottle-prompt.txt node 600\nworkspace/main.rs node 644\n.claude.json node 600\n\
         .claude/settings.json node 600\nran\nmain.rs\n",
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
    symlink("/etc/passwd", skill.join("out")).unwrap();
    run.spec.agent.skills.push(SkillSpec::new("bad", &skill));
    let failure = backend.prepare(&run.call(), &run.spec).unwrap_err();
    assert_eq!(failure.message, "copy skill `bad`");
    run.spec.agent.skills[0].source = run.dir.path().join("gone");
    assert!(backend.prepare(&run.call(), &run.spec).is_err());

    // What is swapped after the question is refused as well, and the bottle can be closed.
    run.spec.agent.skills.clear();
    let project = run.dir.path().join("project");
    fs::create_dir(&project).unwrap();
    run.spec.workspace = Some(Workspace::new(&project));
    let plan = backend.prepare(&run.call(), &run.spec).unwrap();
    let bottle = backend.launch(&run.call(), &plan).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(project.join("socket")).unwrap();
    let failure = backend.provision(&run.call(), &plan, &bottle).unwrap_err();
    assert!(failure.to_string().contains("is a socket"), "{failure}");
    assert!(failure.hints.iter().any(|hint| hint.contains(".claude-bottleignore")));
    backend.close(&run.call(), &bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
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
