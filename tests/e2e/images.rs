//! The agent's image as the user meets it: what is said when it can be neither built nor pulled, and by which line or flag.

use std::process::{Command, Stdio};

use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr};

/// An image without the user that bottles run as, which goes with the test.
struct Unfit(String);

impl Unfit {
    fn make() -> Self {
        let tag = format!("claude-bottle-e2e-unfit:{}", std::process::id());
        let base = std::env::var("CLAUDE_BOTTLE_BASE_IMAGE").expect("CLAUDE_BOTTLE_BASE_IMAGE is set");
        let script = "printf 'FROM %s\\nRUN userdel node\\n' \"$1\" | docker build -q -t \"$2\" -";
        let output = run(Command::new("sh").args(["-c", script, "sh", &base, &tag]));
        assert_code(&output, 0);
        Self(tag)
    }
}

impl Drop for Unfit {
    fn drop(&mut self) {
        Command::new("docker").args(["rmi", "-f", &self.0]).stdout(Stdio::null()).status().ok();
    }
}

/// Starts an agent that cannot be, and returns what is said.
#[track_caller]
fn refused(agent: &str, bottle: &str, flags: &[&str], env: &[(&str, &str)]) -> String {
    let home = Home::new(&format!(
        "bottles:\n  dev:\n{bottle}agents:\n  {agent}: {{ bottle: dev, command: [id] }}\n"
    ));
    let arguments = [&["--quiet", "start", agent, "--yes"], flags].concat();
    let output = run(Backend::Docker.command(&home, &arguments).envs(env.iter().copied()));
    assert_code(&output, 125);
    Backend::Docker.assert_nothing_left(&home, agent);
    stderr(&output)
}

#[test]
fn a_build_that_fails_shows_all_of_its_output() {
    let (unfit, tag) = (Unfit::make(), format!("claude-bottle-e2e-unbuilt:{}", std::process::id()));
    let env = [("CLAUDE_BOTTLE_BASE_IMAGE", unfit.0.as_str()), ("CLAUDE_BOTTLE_IMAGE", &tag)];
    let said = refused("e2e-unbuilt", "    env: {}\n", &[], &env);
    assert!(said.starts_with(&format!("error: build image `{tag}`\n  caused by: ")), "{said}");
    let shown = [format!("\nbuilding {tag} from {}:\n", unfit.0), "\nStep 1/".into(), "\nStep 3/".into()];
    let at: Vec<_> = shown.iter().map(|line| said.find(line.as_str())).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{said}");
    assert!(said.contains("\nid: 'node': no such user\n") && said.contains("\nhint: "), "{said}");
}

#[test]
fn a_pull_that_fails_names_its_cause_and_a_command() {
    // A registry nobody runs: the engine is refused at once.
    let image = "localhost:1/claude-bottle-e2e-none:1";
    let said = refused("e2e-unpulled", &format!("    image: {image}\n"), &["--pull"], &[]);
    assert!(said.starts_with(&format!("error: pull image `{image}`\n  caused by: ")), "{said}");
    assert!(said.contains("connection refused"), "{said}");
    assert!(said.contains(&format!("\nhint: docker pull {image}")), "{said}");
}

#[test]
fn an_option_that_cannot_be_is_refused_with_its_place() {
    let bottle = "    options:\n      docker:\n        rebild: true\n";
    let said = refused("e2e-odd-option", bottle, &[], &[]);
    assert!(
        said.starts_with("error: ~/claude-bottle.yaml:5: the docker backend has no option `rebild`\n"),
        "{said}"
    );
    let said = refused("e2e-odd-flag", "    image: debian:12\n", &["--rebuild"], &[]);
    assert!(
        said.starts_with("error: --rebuild: the option `rebuild` is for an image that is built here"),
        "{said}"
    );
}
