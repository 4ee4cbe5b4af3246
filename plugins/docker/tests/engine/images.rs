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
    let plan = backend.prepare(&run.call(), &run.spec).unwrap();
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
    assert_eq!(failure.message, format!("build image `{}`", tag.0));
    assert!(failure.causes[0].contains("returned a non-zero code: 1"), "{failure:?}");
    let said = output(&run, "build-image").unwrap();
    for line in ["Step 1/", "Step 3/", "id: 'node': no such user"] {
        assert!(said.contains(line), "{said}");
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
    assert_eq!(failure.message, format!("pull image `{}`", tag.0));
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
    assert!(failure.message.starts_with("build image"), "{failure:?}");
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
    let plan = backend.prepare(&run.call(), &run.spec).unwrap();
    assert!(
        plan.limitations.iter().any(|text| text.contains("does without the protection `seccomp`")),
        "{plan:?}"
    );
}
