//! What saved results cost: copying in with hashes, the way to a result, looking at it, taking it and taking it back.
//!
//! Each figure is a ratio to what does the same job without this program, in turns, with the target that it has to meet.

mod sheet;
mod tree;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use self::sheet::{Line, Sheet};
use self::tree::{Tree, fill};
use crate::contender::{after_first_byte, first_byte, whole};
use crate::home::Home;
use crate::record::Measured;

/// What the agents of these measures are: a shell that is told what to do.
const MANIFEST: &str = "\
bottles: { bench: { egress: { allowlist: [] } } }
agents:
  bench: { bottle: bench, command: [sh, -c] }
";
/// The tree of most measures: 20 MB.
const SMALL: Tree = Tree { files: 2_000, bytes: 10_000 };
/// How many entries the memory of the host is measured with.
const ENTRIES: usize = 200_000;
/// How many files are taken and taken back.
const TAKEN: usize = 1_000;
/// Nothing that the agent does.
const NOTHING: &str = "echo x";

/// Measures all of it, and shows the lines of each part as soon as they are there; `files` are those of the large tree, each of 10 kB.
pub(crate) fn run(
    rounds: usize,
    files: usize,
    mut show: impl FnMut(&dyn Measured) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    show(&Sheet::new("Saved results: 2,000 files", small(rounds)?))?;
    show(&Sheet::new("Saved results: the large tree", large(rounds.min(5), Tree { files, bytes: 10_000 })?))?;
    show(&Sheet::new("Saved results: many entries", vec![memory()?]))
}

/// Prepares a start whose agent runs a script in a copy of the working directory.
fn start(home: &Home, backend: &str, more: &[&str], script: &str) -> Command {
    let words = ["--quiet", "start", "bench", "--yes", "--backend", backend, "--cwd"];
    home.command(&[&words[..], more, &["--", script]].concat())
}

/// Lets two ways take turns, and returns the median of each.
fn in_turns(
    rounds: usize,
    mut one: impl FnMut() -> anyhow::Result<Duration>,
    mut other: impl FnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<(Duration, Duration)> {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        ones.push(one()?);
        others.push(other()?);
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    Ok((median(&mut ones), median(&mut others)))
}

/// Measures with the small tree: what saving adds where nothing changes, looking, taking, taking back.
fn small(rounds: usize) -> anyhow::Result<Vec<Line>> {
    let home = Home::with(MANIFEST)?;
    fill(&home.work(), SMALL)?;
    let of_start = |more: &'static [&'static str]| {
        let home = &home;
        move || first_byte(&mut start(home, "bubblewrap", more, NOTHING))
    };
    let (without, with) = in_turns(rounds, of_start(&["--no-save"]), of_start(&[]))?;
    let mut lines =
        vec![Line::ratio("first byte of a start, 20 MB, to one that saves nothing", without, with, 1.05)];
    let of_end = |more: &'static [&'static str]| {
        let home = &home;
        move || after_first_byte(&mut start(home, "bubblewrap", more, NOTHING))
    };
    let (without, with) = in_turns(rounds, of_end(&["--no-save"]), of_end(&[]))?;
    let limit = Duration::from_millis(200);
    lines.push(Line::more("end of a start that changed nothing, 20 MB", without, with, limit));

    let result = saved(&home, "for file in */*; do echo more >>$file; done; echo x")?;
    let into = home.path().join("review");
    whole(&mut home.command(&["diff", &result, "--into", &into.display().to_string()]))?;
    let git =
        || whole(Command::new("sh").args(["-c", "git diff --no-index old new; true"]).current_dir(&into));
    let ours = || whole(&mut home.command(&["diff", &result]));
    let (git, ours) = in_turns(rounds, git, ours)?;
    lines.push(Line::ratio("diff of 2,000 files, to git diff --no-index", git, ours, 2.0));
    discard(&home, &result)?;

    let hostile = "i=0; while [ $i -lt 40 ]; do od -An -v -tx2 -w2 -N40000 /dev/urandom >$(ls -d */* | sed -n $((i+1))p); i=$((i+1)); done; echo x";
    let before = "i=0; while [ $i -lt 40 ]; do od -An -v -tx2 -w2 -N40000 /dev/urandom >$(ls -d */* | sed -n $((i+1))p); i=$((i+1)); done";
    whole(Command::new("sh").args(["-c", before]).current_dir(home.work()))?;
    let result = saved(&home, hostile)?;
    let took = whole(&mut home.command(&["diff", &result]))?;
    lines.push(Line::at_most("diff of 40 files of 20,000 random lines", took, Duration::from_secs(10)));
    discard(&home, &result)?;
    lines.extend(taken(&home, rounds)?);
    Ok(lines)
}

/// Measures taking files and taking them back, next to copying them.
fn taken(home: &Home, rounds: usize) -> anyhow::Result<Vec<Line>> {
    let script = format!("for file in $(ls -d */* | head -n {TAKEN}); do echo more >>$file; done; echo x");
    let result = saved(home, &script)?;
    let (into, to) = (home.path().join("taken"), home.path().join("copied"));
    whole(&mut home.command(&["diff", &result, "--into", &into.display().to_string()]))?;
    let mut undone = Vec::new();
    let copy = || {
        std::fs::create_dir_all(&to)?;
        let took = whole(Command::new("cp").arg("-r").arg(into.join("new/.")).arg(&to))?;
        std::fs::remove_dir_all(&to)?;
        anyhow::Ok(took)
    };
    let apply = || {
        let took = whole(&mut home.command(&["apply", &result, "--yes"]))?;
        undone.push(whole(&mut home.command(&["apply", &result, "--undo", "--yes"]))?);
        anyhow::Ok(took)
    };
    let (copied, applied) = in_turns(rounds, copy, apply)?;
    undone.sort();
    discard(home, &result)?;
    Ok(vec![
        Line::ratio("apply of 1,000 files, to cp -r of them", copied, applied, 2.0),
        Line::ratio("apply --undo of 1,000 files, to the same", copied, undone[undone.len() / 2], 2.0),
    ])
}

/// Measures with the large tree: hashes in the pass of the copy, and the way from the agent's end to a result.
fn large(rounds: usize, tree: Tree) -> anyhow::Result<Vec<Line>> {
    let home = Home::with(MANIFEST)?;
    fill(&home.work(), tree)?;
    let change = "for file in $(ls -d 0*/*0 | head -n 10); do echo more >>$file; done; echo x";
    let (mut lines, mut results) = (Vec::new(), 0);
    let of_start = |more: &'static [&'static str]| {
        let home = &home;
        move || first_byte(&mut start(home, "bubblewrap", more, NOTHING))
    };
    let (without, with) = in_turns(rounds, of_start(&["--no-save"]), of_start(&[]))?;
    lines.push(Line::ratio("copying in with hashes, to copying in", without, with, 1.3));
    for (backend, name, target) in [
        ("bubblewrap", "end to result on bubblewrap, to tar into a pipe", 1.3),
        ("docker", "end to result on docker, to docker cp into a pipe", 1.3),
    ] {
        let reference = Reference::new(backend, &home)?;
        let mut end = |more: &'static [&'static str]| {
            let took = after_first_byte(&mut start(&home, backend, more, change))?;
            results += usize::from(more.is_empty());
            anyhow::Ok(took)
        };
        let mut ends = Vec::new();
        let (piped, _) = in_turns(
            rounds,
            || reference.run(),
            || {
                let (without, with) = (end(&["--no-save"])?, end(&[])?);
                // What removing the bottle takes is the same in both.
                ends.push(with.saturating_sub(without));
                anyhow::Ok(with)
            },
        )?;
        ends.sort();
        lines.push(Line::ratio(name, piped, ends[ends.len() / 2], target));
    }
    ensure!(results > 0, "nothing was saved");
    Ok(lines)
}

/// The same files through a pipe, without this program.
enum Reference<'a> {
    Tar(&'a Home),
    /// A container that has them in a volume.
    Container(String),
}

impl<'a> Reference<'a> {
    fn new(backend: &str, home: &'a Home) -> anyhow::Result<Self> {
        if backend == "bubblewrap" {
            return Ok(Self::Tar(home));
        }
        let image = crate::docker::image(&Home::new()?)?;
        let made =
            Command::new("docker").args(["create", "--volume", "/bench-tree", &image, "true"]).output()?;
        let id = String::from_utf8(made.stdout)?.trim().to_owned();
        ensure!(!id.is_empty(), "make a container");
        let reference = Self::Container(id.clone());
        whole(Command::new("docker").arg("cp").arg(home.work().join(".")).arg(format!("{id}:/bench-tree")))?;
        Ok(reference)
    }

    fn run(&self) -> anyhow::Result<Duration> {
        let script = match self {
            Self::Tar(home) => format!("tar -cf - -C '{}' . | cat", home.work().display()),
            Self::Container(id) => format!("docker cp {id}:/bench-tree - | cat"),
        };
        whole(Command::new("sh").args(["-c", &script]))
    }
}

impl Drop for Reference<'_> {
    fn drop(&mut self) {
        if let Self::Container(id) = self {
            drop(
                Command::new("docker")
                    .args(["rm", "--volumes", "--force", id])
                    .stdout(Stdio::null())
                    .status(),
            );
        }
    }
}

/// Measures the memory of the host while it saves a bottle with many entries.
fn memory() -> anyhow::Result<Line> {
    let home = Home::with(MANIFEST)?;
    fill(&home.work(), Tree { files: ENTRIES, bytes: 20 })?;
    let mut command = start(&home, "bubblewrap", &[], "echo more >>000/000; echo x");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let peak = peak(command.spawn().context("start a bottle")?)?;
    Ok(Line::memory("memory of the host with 200,000 entries", peak, 64 << 20))
}

/// Waits for the end of a program, and returns the most memory that it had.
fn peak(mut child: Child) -> anyhow::Result<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(Path::new(&status)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let kib: u64 = line.split_whitespace().next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        peak = peak.max(kib << 10);
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the start failed: {status}");
            return Ok(peak);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs an agent, and returns the name of its result.
fn saved(home: &Home, script: &str) -> anyhow::Result<String> {
    whole(&mut start(home, "bubblewrap", &["--ignored"], script))?;
    let output = home.command(&["results", "--format", "json"]).output()?;
    let results: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let run = results[0]["run"].as_str().context("there is a result")?;
    Ok(run.to_owned())
}

fn discard(home: &Home, result: &str) -> anyhow::Result<()> {
    whole(&mut home.command(&["discard", "--yes", result])).map(drop)
}
