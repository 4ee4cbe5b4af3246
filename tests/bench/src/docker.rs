//! What a bottle on Docker costs beyond a bare container.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::contender::{Contender, Table, after_first_byte, compare, first_byte, whole};
use crate::home::Home;

/// The same job one step after the other, as the first version did it.
const SERIAL: &str = include_str!("serial.sh");

pub(crate) fn run(rounds: usize) -> anyhow::Result<Table> {
    let home = Home::new()?;
    let image = image(&home)?;
    // The image of the guard is packed by the first start that needs it.
    whole(&mut home.command(&["--quiet", "start", "sidecar", "--yes", "--backend", "docker"]))?;
    let proxy = ProxyImage::import(&home)?;
    let start = ["--quiet", "start", "bench", "--yes", "--backend", "docker"];
    let sidecar = start.map(|word| if word == "bench" { "sidecar" } else { word });
    let container = |program: &[&str]| {
        let mut command = Command::new("docker");
        command.args(["run", "--rm", &image]).args(program);
        command
    };
    let serial = || {
        let mut command = Command::new("sh");
        command.args(["-c", SERIAL, "serial", &image, ProxyImage::TAG]);
        command
    };
    let table = compare(
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
            Contender::new("claude-bottle start, from there to its end", || {
                after_first_byte(&mut home.command(&start))
            }),
            Contender::new("claude-bottle start, whole, closed", || whole(&mut home.command(&start))),
            Contender::new("with `guard: sidecar`, agent's first byte", || {
                first_byte(&mut home.command(&sidecar))
            }),
            Contender::new("with `guard: sidecar`, from there to its end", || {
                after_first_byte(&mut home.command(&sidecar))
            }),
            Contender::new("with `guard: sidecar`, whole, closed", || whole(&mut home.command(&sidecar))),
            Contender::new("the first version's steps, first byte", || first_byte(&mut serial())),
            Contender::new("the first version's steps, whole", || whole(&mut serial())),
        ],
    );
    drop(proxy);
    table
}

/// The proxy's program as an image, for the steps of the first version; removed at the end.
struct ProxyImage;

impl ProxyImage {
    const TAG: &str = "claude-bottle-bench-proxy";

    fn import(home: &Home) -> anyhow::Result<Self> {
        let dir = home.libexec();
        let mut tar = Command::new("tar")
            .args(["--create", "--file=-", "--directory"])
            .arg(&dir)
            .arg("egress-guard")
            .stdout(Stdio::piped())
            .spawn()?;
        let archive = tar.stdout.take().context("tar has an output")?;
        let mut import = Command::new("docker");
        import.args(["import", "-", Self::TAG]).stdin(archive).stdout(Stdio::null());
        ensure!(import.status()?.success() && tar.wait()?.success(), "import {}", dir.display());
        Ok(Self)
    }
}

impl Drop for ProxyImage {
    fn drop(&mut self) {
        if let Err(error) = Command::new("docker").args(["rmi", Self::TAG]).stdout(Stdio::null()).status() {
            writeln!(std::io::stderr(), "remove image {}: {error}", Self::TAG).ok();
        }
    }
}

/// Returns the image the bottle runs from, which the first start builds.
pub(crate) fn image(home: &Home) -> anyhow::Result<String> {
    whole(&mut home.command(&["--quiet", "start", "bench", "--yes", "--backend", "docker"]))?;
    let plan =
        home.command(&["start", "bench", "--dry-run", "--format", "json", "--backend", "docker"]).output()?;
    let text = String::from_utf8(plan.stdout)?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("\"image\": \""));
    let image = line.and_then(|line| line.split('"').next()).context("the plan names an image")?;
    ensure!(!image.is_empty(), "the plan names an image");
    Ok(image.to_owned())
}
