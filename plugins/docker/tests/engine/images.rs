//! When the agent's image is built, pulled or left alone, and what is said when that fails.

use std::process::{Command, Stdio};

use claude_bottle_backend_docker::Docker;
use claude_bottle_plugin_api::*;
use serde_json::json;

use crate::support::{Run, backend, docker};

/// A tag of a test's own, which goes with it.
struct Tag(String);

impl Tag {
    fn new(name: &str) -> Self {
        Self(format!("claude-bottle-test-{name}:{}", std::process::id()))
    }

    /// Returns the image's id.
    fn id(&self) -> String {
        docker(&["image", "inspect", "--format", "{{.Id}}", &self.0])
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        Command::new("docker")
            .args(["rmi", "-f", &self.0])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok();
    }
}

/// Makes a bottle and removes it; returns what the build printed, if there was one.
fn built(backend: &Docker, options: serde_json::Value) -> Option<String> {
    let mut run = Run::new("imaged", &[]);
    run.spec.options = options;
    let live = run.start(backend);
    backend.close(&run.call(), &live.bottle).unwrap();
    output(&run, "build-image")
}

fn output(run: &Run, step: &str) -> Option<String> {
    let events = run.services.events.lock().unwrap();
    let of_step: Vec<_> = events.iter().filter(|event| event.step == step).collect();
    let lines = of_step.iter().filter(|event| event.state == EventState::Output);
    (!of_step.is_empty()).then(|| lines.filter_map(|event| event.message.clone()).collect())
}

/// Makes a bottle that cannot be, and returns why.
fn refused(backend: &Docker, run: &Run) -> Failure {
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    let failure = backend.launch(&run.call(), &plan).unwrap_err();
    assert_eq!(run.leftovers(), Vec::<String>::new());
    failure
}

/// Builds an image on the tests' base, from one more line.
fn image_with(tag: &Tag, line: &str) {
    let script = "printf 'FROM %s\\n%s\\n' \"$1\" \"$2\" | docker build -q -t \"$3\" - >/dev/null";
    let words = ["-c", script, "sh", crate::support::base_image(), line, &tag.0];
    assert!(Command::new("sh").args(words).status().unwrap().success());
}

#[test]
fn an_image_is_built_once_and_again_when_that_is_asked_for() {
    let tag = Tag::new("rebuilt");
    let backend = backend(&[("IMAGE", &tag.0)]);
    assert!(built(&backend, json!(null)).is_some(), "it is not there yet");
    let first = tag.id();
    assert_eq!(built(&backend, json!(null)), None, "nothing has changed");
    assert_eq!(built(&backend, json!({ "rebuild": false })), None);
    assert_eq!(tag.id(), first);
    let said = built(&backend, json!({ "rebuild": true })).unwrap();
    assert!(said.contains("Successfully built") && !said.contains("Using cache"), "{said}");
    assert_ne!(tag.id(), first);
}

#[test]
fn a_build_that_fails_says_everything() {
    let base = Tag::new("no-node");
    image_with(&base, "RUN userdel node && echo gone");
    let tag = Tag::new("unbuilt");
    let backend = backend(&[("IMAGE", &tag.0), ("BASE_IMAGE", &base.0)]);
    let run = Run::new("unbuilt", &[]);
    let failure = refused(&backend, &run);
    assert_eq!(failure.message, format!("cannot build image `{}`", tag.0));
    assert!(failure.causes[0].contains("returned a non-zero code: 1"), "{failure:?}");
    let said = output(&run, "build-image").unwrap();
    for line in ["Step 1/", "Step 3/", "id: 'node': no such user"] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn an_image_without_the_agents_program_is_named() {
    let backend = backend(&[]);
    let mut run = Run::new("empty-handed", &[]);
    run.spec.bottle.image = Some(crate::support::base_image().to_owned());
    let live = run.start(&backend);
    let out = || tempfile::tempfile().unwrap();
    let streams = [std::fs::File::open("/dev/null").unwrap(), out(), out()];
    let mut request = crate::support::request(&["claude", "--version"], &streams);
    request.role = ExecRole::Agent;
    let failure = backend.exec(&run.call(), &live.bottle, &request).unwrap_err();
    let image = crate::support::base_image();
    assert_eq!(failure.message, format!("the agent's program `claude` is not in the image `{image}`"));
    assert!(failure.hints[0].contains("`command`"), "{failure:?}");
    assert_eq!(streams[2].metadata().unwrap().len(), 0, "the shell has said something of its own");
    // A program may end with the code that means this.
    let mut request = crate::support::request(&["sh", "-c", "exit 127"], &streams);
    request.role = ExecRole::Agent;
    assert_eq!(backend.exec(&run.call(), &live.bottle, &request).unwrap().code, 127);
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn an_image_whose_shell_lies_has_no_part_in_the_bottles_start() {
    let tag = Tag::new("talkative");
    image_with(
        &tag,
        "RUN printf '#!/bin/bash\\necho already listening; echo ready; exit 3\\n' >/tmp/sh && chmod 755 /tmp/sh && mv /tmp/sh /bin/sh",
    );
    let backend = backend(&[]);
    for link in ["socket", "network"] {
        let mut run = Run::new("talkative", &[]);
        run.spec.bottle.image = Some(tag.0.clone());
        run.spec.options = json!({ "link": link });
        let live = run.start(&backend);
        let said = live.exec(&backend, &run, &["echo", "of the program"], b"");
        assert_eq!((said.code, said.stdout.as_str()), (0, "of the program\n"), "{said:?}");
        assert_eq!(live.sh(&backend, &run, "true", b"").code, 3);
        backend.close(&run.call(), &live.bottle).unwrap();
        assert_eq!(run.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_pull_that_fails_names_cause_and_command() {
    // A registry nobody runs: the engine is refused at once. Images under its name are there all the same.
    let tag = Tag(format!("localhost:1/claude-bottle-test-pulled:{}", std::process::id()));
    let backend = backend(&[]);
    built(&backend, json!(null));
    docker(&["tag", "claude-bottle:latest", &tag.0]);
    let mut run = Run::new("pulled", &[]);
    run.spec.bottle.image = Some(tag.0.clone());
    let live = run.start(&backend);
    backend.close(&run.call(), &live.bottle).unwrap();

    run.spec.options = json!({ "pull": true });
    let failure = refused(&backend, &run);
    assert_eq!(failure.message, format!("cannot pull image `{}`", tag.0));
    assert!(failure.causes.concat().contains("connection refused"), "{failure:?}");
    assert!(
        failure.hints.iter().any(|hint| hint.starts_with(&format!("docker pull {}", tag.0))),
        "{failure:?}"
    );
    run.spec.options = json!({ "rebuild": true });
    let failure = backend.prepare(&run.call(), &run.spec).unwrap_err();
    assert!(failure.message.starts_with("the option `rebuild`"), "{failure:?}");

    let own = self::own(&tag);
    let mut run = Run::new("based", &[]);
    run.spec.options = json!({ "pull": true });
    let failure = refused(&own, &run);
    assert!(failure.message.starts_with("cannot build image"), "{failure:?}");
    assert!(failure.hints[0].starts_with(&format!("docker pull {}", tag.0)), "{failure:?}");
}

/// A backend whose image is built from this one.
fn own(base: &Tag) -> Docker {
    backend(&[("BASE_IMAGE", &base.0), ("IMAGE", "claude-bottle-test-never:1")])
}

#[test]
fn an_image_of_the_users_own_is_not_built_over() {
    let tag = Tag::new("own");
    image_with(&tag, "RUN mkdir -p /home/node/workspace && chown -R node /home/node");
    let backend = backend(&[("IMAGE", &tag.0)]);
    let before = tag.id();
    assert_eq!(built(&backend, json!(null)), None);
    let mut run = Run::new("own", &[]);
    run.spec.options = json!({ "rebuild": true });
    let failure = refused(&backend, &run);
    assert!(failure.message.contains("is not built over"), "{failure:?}");
    assert_eq!(tag.id(), before);
}

#[test]
fn an_option_that_is_not_known_is_refused_before_anything_is_made() {
    let backend = backend(&[]);
    let mut run = Run::new("odd", &[]);
    run.spec.options = json!({ "rebild": true });
    let failure = backend.prepare(&run.call(), &run.spec).unwrap_err();
    assert_eq!(failure.message, "the docker backend has no option `rebild`");
    run.spec.options = json!({ "allow_missing": ["seccomp"] });
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    assert!(
        plan.limitations.iter().any(|text| text.contains("does without the protection `seccomp`")),
        "{plan:?}"
    );
}

#[test]
fn images_of_guards_of_the_past_are_offered_and_what_is_used_stays() {
    let data = tempfile::tempdir().unwrap();
    let opened = || {
        let mut context = Context::default();
        context.settings.insert("BASE_IMAGE".to_owned(), crate::support::base_image().to_owned());
        context.data_dir = data.path().to_owned();
        Docker::open(context).unwrap()
    };
    let mut run = Run::new("guarded", &[]);
    // Only such a bottle needs an image of the guard.
    run.spec.options = crate::support::with_sidecar();
    let offered = |backend: &Docker| {
        let plan = backend.prepare_cleanup(&run.call(), &CleanupScope::new(false)).unwrap();
        let images = plan.remove.into_iter().filter(|item| item.kind == "image");
        images.map(|item| item.name).collect::<Vec<_>>()
    };
    // Two that nothing here needs, one of which has a container.
    let names =
        ["unused", "used"].map(|name| format!("claude-bottle-guard:test-{name}-{}", std::process::id()));
    for name in &names {
        let script = "printf 'FROM scratch\\nLABEL io.claude-bottle.image.key=%s\\nCMD [\"/x\"]\\n' \"$0\" | docker build -q -t \"$0\" -";
        assert!(
            Command::new("sh").args(["-c", script, name]).stdout(Stdio::null()).status().unwrap().success()
        );
    }
    let container = docker(&["create", &names[1]]);
    let backend = opened();
    assert_eq!(offered(&backend), Vec::<String>::new(), "which one is in use is not known yet");

    let live = run.start(&backend);
    backend.close(&run.call(), &live.bottle).unwrap();
    let backend = opened();
    let found = offered(&backend);
    assert!(found.contains(&names[0]) && !found.contains(&names[1]), "{found:?}");
    let mut plan = backend.prepare_cleanup(&run.call(), &CleanupScope::new(false)).unwrap();
    // Others' images are left to others, whose tests run at the same time.
    plan.remove.retain(|item| names.contains(&item.name));
    // One that got a container meanwhile stays, and is not a failure.
    let mut late = plan.remove[0].clone();
    (late.id, late.name) = (names[1].clone(), names[1].clone());
    plan.remove.push(late);
    let report = backend.cleanup(&run.call(), &plan).unwrap();
    assert!(report.failures.is_empty(), "{report:?}");
    let removed: Vec<_> = report.removed.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(removed, [names[0].as_str()]);
    assert!(!offered(&backend).contains(&names[0]));
    docker(&["rm", container.trim()]);
    docker(&["rmi", &names[1]]);
}

/// What a bottle from an image is asked for, with the agent's user in it and its home.
fn told(backend: &Docker, run: &Run) -> String {
    let live = run.start(backend);
    let script = "id -un; id -u; id -g; echo $HOME; pwd; touch $HOME/here .claude-file && cat ~/.claude/skills/told/SKILL.md; \
        stat -c %u:%g ~/.claude/skills/told . \"$(pwd)\" | sort -u; echo $TOKEN; grep -c ^Cap.*:.*[1-9a-f] /proc/self/status";
    let said = live.sh(backend, run, script, b"");
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
    format!("{}{}", said.stdout, said.stderr)
}

fn skilled(image: &str) -> Run {
    let mut run = Run::new("peopled", &[("TOKEN", b"canary")]);
    let skill = run.dir.path().join("told");
    std::fs::create_dir(&skill).unwrap();
    std::fs::write(skill.join("SKILL.md"), "skill\n").unwrap();
    run.spec.agent.skills = vec![SkillSpec::new("told", skill)];
    run.spec.bottle.image = Some(image.to_owned());
    run
}

#[test]
fn an_image_may_have_any_user_or_none() {
    let backend = backend(&[]);
    let cases = [
        // As python, golang and rust images are: root, and nobody else.
        ("nobody", "RUN userdel -r node", None, "agent\n1000\n1000\n/home/agent\n/home/agent/workspace\n"),
        // As ubuntu images are, and images of dev containers.
        (
            "renamed",
            "RUN usermod -l vscode -d /home/vscode -m node",
            None,
            "vscode\n1000\n1000\n/home/vscode\n/home/vscode/workspace\n",
        ),
        (
            "says",
            "RUN useradd -m -u 4321 dev\\nUSER dev",
            None,
            "dev\n4321\n4321\n/home/dev\n/home/dev/workspace\n",
        ),
        (
            "asked",
            "RUN useradd -m -u 4321 dev\\nUSER root",
            Some("dev"),
            "dev\n4321\n4321\n/home/dev\n/home/dev/workspace\n",
        ),
        ("number", "USER 0", Some("2345:2346"), "agent\n2345\n2346\n/home/agent\n/home/agent/workspace\n"),
    ];
    for (name, line, asked, expected) in cases {
        let tag = Tag::new(name);
        image_with(&tag, &line.replace("\\n", "\n"));
        let mut run = skilled(&tag.0);
        run.spec.bottle.user = asked.map(str::to_owned);
        let ids = expected.lines().skip(1).take(2).collect::<Vec<_>>().join(":");
        assert_eq!(told(&backend, &run), format!("{expected}skill\n{ids}\ncanary\n0\n"), "{name}");
    }
}

#[test]
fn a_working_directory_outside_the_home_belongs_to_the_images_user() {
    let backend = backend(&[]);
    let mut run = skilled(crate::support::base_image());
    run.spec.bottle.user = Some("2345:2346".to_owned());
    let project = run.dir.path().join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("file"), "text\n").unwrap();
    let mut said = |path: &str| {
        let mut workspace = Workspace::new(&project);
        workspace.path = Some(path.to_owned());
        run.spec.workspace = Some(workspace);
        let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
        let fact = plan.facts.iter().find(|fact| fact.label == "lies at").unwrap().value.clone();
        let live = run.start(&backend);
        let said =
            live.sh(&backend, &run, "pwd; touch new && stat -c %u:%g . file new ~ ~/.claude/skills", b"");
        backend.close(&run.call(), &live.bottle).unwrap();
        (fact, format!("{}{}", said.stdout, said.stderr))
    };
    let owners = "2345:2346\n".repeat(5);
    let (fact, told) = said("/srv/ada/project");
    assert_eq!(
        (fact.as_str(), told),
        ("the same place as on the host", format!("/srv/ada/project\n{owners}"))
    );
    // The home is the one that the image's user has, not that of this plug-in's own image.
    let (fact, told) = said("/tmp/project");
    assert_eq!(fact, "~/workspace, since the place on the host cannot be had inside");
    assert_eq!(told, format!("/home/agent/workspace\n{owners}"));
}

#[test]
fn a_user_who_is_not_in_the_image_or_is_root_is_refused_by_name() {
    let backend = backend(&[]);
    let image = crate::support::base_image();
    let mut run = Run::new("unpeopled", &[]);
    run.spec.bottle.image = Some(image.to_owned());
    run.spec.bottle.user = Some("dev".to_owned());
    let failure = refused(&backend, &run);
    assert_eq!(failure.message, format!("the image `{image}` has no user `dev`"));
    assert_eq!(failure.hints, ["its users are: node"]);
    run.spec.bottle.user = Some("root".to_owned());
    assert!(refused(&backend, &run).message.contains("cannot run as root"));
    run.spec.bottle.image = None;
    let failure = backend.prepare(&run.call(), &run.spec).unwrap_err();
    assert!(failure.message.starts_with("`user` is for a bottle with an `image`"), "{failure:?}");
}
