//! Programs of a distribution in a docker bottle, from an image that has them: what they say is what they say in a plain container.
//!
//! The image is of three gigabytes, so that this has a target of its own: `make test-workspaces`. On bubblewrap they are the machine's own, and
//! that backend's tests try them.

use std::process::Command;

use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::{run, stdout};

const PROGRAMS: &str = include_str!("../programs.tsv");
const IMAGE: &str = "claude-bottle-programs:latest";
/// What stands before each program's output.
const MARK: &str = "\n===== ";

#[test]
#[ignore = "needs an image of three gigabytes: make test-workspaces"]
fn programs_of_a_distribution_run_in_a_bottle_as_in_a_plain_container() {
    let programs: Vec<Vec<_>> = PROGRAMS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .collect();
    let line = |(number, fields): (usize, &Vec<&str>)| {
        let [program, _, script] = fields[..] else { panic!("{fields:?}") };
        format!(
            "mkdir -p ~/p/{number} && cd ~/p/{number} && printf '{}%s\\n' '{program}' && {{ {script}; }} </dev/null\n",
            MARK.escape_default()
        )
    };
    let script: String = programs.iter().enumerate().map(line).collect();
    let script = format!("export LANG=C.UTF-8; exec 2>/dev/null; {script}");

    let mut plain = Command::new("docker");
    plain.args([
        "run",
        "--rm",
        "--init",
        "--network",
        "none",
        "--user",
        "node",
        "--shm-size",
        "256m",
        IMAGE,
        "sh",
        "-c",
        &script,
    ]);
    let outside = stdout(&run(&mut plain));

    let agent = "e2e-programs";
    let manifest = serde_json::json!({
        "bottles": { "dev": { "image": IMAGE } },
        "agents": { agent: { "bottle": "dev", "command": ["sh", "-c", script] } },
    });
    let home = Home::new(&manifest.to_string());
    let output = run(&mut Backend::Docker.command(&home, &["--quiet", "start", agent, "--yes"]));
    assert!(output.status.code().is_some_and(|code| code < 125), "{output:?}");
    let inside = stdout(&output);

    let of = |said: &str| -> Vec<String> { said.split(MARK).skip(1).map(str::to_owned).collect() };
    let (inside, outside) = (of(&inside), of(&outside));
    assert_eq!((inside.len(), outside.len()), (programs.len(), programs.len()));
    let differs = |(here, there): &(&String, &String)| here != there || there.lines().count() < 2;
    let wrong: Vec<_> = inside.iter().zip(&outside).filter(differs).collect();
    assert!(wrong.is_empty(), "inside and outside: {wrong:#?}");
    Backend::Docker.assert_nothing_left(&home, agent);
}
