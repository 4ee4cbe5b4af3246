//! What a bottle on Docker costs beyond a bare container.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::contender::{Contender, Table, compare, first_byte, whole};
use crate::home::Home;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Table> {
    let home = Home::new()?;
    let image = image(&home)?;
    let start = ["--quiet", "start", "bench", "--yes", "--backend", "docker"];
    let container = |program: &[&str]| {
        let mut command = Command::new("docker");
        command.args(["run", "--rm", &image]).args(program);
        command
    };
    compare(
        "A bottle on Docker, image warm",
        rounds,
        &[
            Contender::new("docker run --rm IMAGE true", || whole(&mut container(&["true"]))),
            Contender::new("docker run --rm IMAGE echo, first byte", || {
                first_byte(&mut container(&["/bin/echo", "x"]))
            }),
            Contender::new("claude-bottle start, agent's first byte", || {
                first_byte(&mut home.command(&start))
            }),
            Contender::new("claude-bottle start, whole, closed", || whole(&mut home.command(&start))),
        ],
    )
}

/// Returns the image the bottle runs from, which the first start builds.
fn image(home: &Home) -> anyhow::Result<String> {
    whole(&mut home.command(&["--quiet", "start", "bench", "--yes", "--backend", "docker"]))?;
    let plan =
        home.command(&["start", "bench", "--dry-run", "--format", "json", "--backend", "docker"]).output()?;
    let text = String::from_utf8(plan.stdout)?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("\"image\": \""));
    let image = line.and_then(|line| line.split('"').next()).context("the plan names an image")?;
    ensure!(!image.is_empty(), "the plan names an image");
    Ok(image.to_owned())
}
