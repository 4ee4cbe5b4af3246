//! The agent's image as the user meets it: what is said when it can be neither built nor pulled, and by which line or flag.

use std::io::{Seek, Write};
use std::process::{Command, Stdio};

use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::screen::Screen;
use crate::support::{assert_code, run, stderr, stdout};

/// An image of a test's own, which goes with the test.
struct Image(String);

impl Image {
    /// Builds one from the base image by the rest of a Dockerfile.
    fn build(name: &str, rest: &str) -> Self {
        let tag = format!("claude-bottle-e2e-{name}:{}", std::process::id());
        let base = std::env::var("CLAUDE_BOTTLE_BASE_IMAGE").expect("CLAUDE_BOTTLE_BASE_IMAGE is set");
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "FROM {base} AS base\n{rest}\n").unwrap();
        file.rewind().unwrap();
        let output = run(Command::new("docker").args(["build", "-q", "-t", &tag, "-"]).stdin(file));
        assert_code(&output, 0);
        Self(tag)
    }

    /// Builds one with a shell, the libraries of that, and an agent; nothing else.
    fn with_a_shell_alone() -> Self {
        let agent = "#!/bin/sh\\n\
            for program in bash cat curl mkdir node rm socat ssh stty; do\\n\
            command -v $program && echo has $program; done\\n\
            [ ! -t 1 ] || echo at a terminal\\n\
            read -r line; echo \"$HTTPS_PROXY $TOKEN $line\"\\nexit 4\\n";
        Self::build(
            "shell",
            &format!(
                "RUN mkdir -p /out/bin && cp /bin/dash /out/bin/sh \\\n \
                 && ldd /bin/dash | grep -o '/lib[^ ]*' | xargs -I{{}} cp -L --parents {{}} /out \\\n \
                 && printf '{}' >/out/bin/agent && chmod 755 /out/bin/agent\n\
                 FROM scratch\nCOPY --from=base /out/ /\nENV PATH=/bin",
                agent.replace('\'', "'\\''")
            ),
        )
    }
}

impl Drop for Image {
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
    let (unfit, tag) = (
        Image::build("unfit", "RUN userdel node"),
        format!("claude-bottle-e2e-unbuilt:{}", std::process::id()),
    );
    let env = [("CLAUDE_BOTTLE_BASE_IMAGE", unfit.0.as_str()), ("CLAUDE_BOTTLE_IMAGE", &tag)];
    let said = refused("e2e-unbuilt", "    env: {}\n", &[], &env);
    assert!(said.starts_with(&format!("error: cannot build image `{tag}`\n  caused by: ")), "{said}");
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
    assert!(said.starts_with(&format!("error: cannot pull image `{image}`\n  caused by: ")), "{said}");
    assert!(said.contains("connection refused"), "{said}");
    assert!(said.contains(&format!("\nhint: docker pull {image}")), "{said}");
}

#[test]
fn an_image_without_a_shell_and_without_the_agent_is_refused_by_name() {
    let image = Image::build("bare", "FROM scratch\nCOPY --from=base /etc/debian_version /");
    let said = refused("e2e-bare", &format!("    image: {}\n", image.0), &[], &[]);
    let expected = format!("error: the agent's program `id` is not in the image `{}`\n", image.0);
    assert!(said.starts_with(&expected) && said.contains("\nhint: "), "{said}");
    assert_eq!(said.matches("error").count(), 1, "the engine's own words are not shown:\n{said}");
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

#[test]
fn a_bottle_starts_from_an_image_that_has_only_a_shell_and_the_agent() {
    let image = Image::with_a_shell_alone();
    for link in ["socket", "network"] {
        let agent = &format!("e2e-shell-{link}");
        let home = Home::new(&format!(
            "bottles:\n  dev:\n    image: {}\n    env: {{ TOKEN: '${{CANARY}}' }}\n    options: {{ docker: {{ link: {link} }} }}\n\
             agents:\n  {agent}: {{ bottle: dev, command: [agent] }}\n",
            image.0
        ));
        let start = || {
            let mut command = Backend::Docker.command(&home, &["--quiet", "start", agent, "--yes"]);
            command.env("CANARY", "canary-of-a-shell");
            command
        };
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(b"hello\n").unwrap();
        input.rewind().unwrap();
        let output = run(start().stdin(Stdio::from(input)));
        assert_code(&output, 4);
        let said = stdout(&output);
        assert!(said.starts_with("http://") && said.ends_with(":8888 canary-of-a-shell hello\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");

        let mut screen = Screen::start(&start(), 100, 30);
        screen.wait_for_text("at a terminal");
        screen.type_keys("typed\r");
        screen.wait_for_text("canary-of-a-shell typed");
        assert_eq!(screen.wait().0, 4);
        Backend::Docker.assert_nothing_left(&home, agent);
    }
}
