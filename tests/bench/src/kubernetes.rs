//! What a bottle in a Pod costs beyond a Pod. Runs on a cluster: tests/on-cluster.sh.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::contender::{Contender, Table, after_first_byte, compare, first_byte, whole};
use crate::home::Home;
use crate::live::{AGENT, Live};

/// The agent's image, which the node has.
const IMAGE: &str = "claude-bottle:latest";

/// The agent of a bottle that stays.
const STAYS: &str = "echo ready; cat";

pub(crate) fn run(rounds: usize) -> anyhow::Result<Table> {
    let (home, lasting) = (Home::new()?, Home::with(&manifest())?);
    let start = ["--quiet", "start", "bench", "--yes", "--backend", "kubernetes"];
    let pod = || {
        let mut command = Command::new("kubectl");
        command.args(["run", "bench", "--quiet", "--rm", "--stdin", "--restart=Never"]);
        command.args(["--image-pull-policy=IfNotPresent", "--image", IMAGE, "--", "/bin/echo", "x"]);
        command
    };
    kubectl(&[
        "run",
        "plain",
        "--restart=Never",
        "--image-pull-policy=IfNotPresent",
        "--image",
        IMAGE,
        "--",
        "sleep",
        "9999",
    ])?;
    kubectl(&["wait", "--for=condition=Ready", "pod/plain", "--timeout=120s"])?;
    let live = Live::start(&lasting, "kubernetes", &[])?;
    let table = compare(
        "A bottle in a Pod, images present",
        rounds,
        &[
            Contender::new("kubectl run --rm -i, whole", || whole(&mut pod())),
            Contender::new("claude-bottle start, agent's first byte", || {
                first_byte(&mut home.command(&start))
            }),
            Contender::new("claude-bottle start, from there to its end", || {
                after_first_byte(&mut home.command(&start))
            }),
            Contender::new("claude-bottle start, whole, closed", || whole(&mut home.command(&start))),
            Contender::new("kubectl exec POD -- true", || whole(&mut exec())),
            Contender::new("claude-bottle exec AGENT -- true", || {
                whole(&mut lasting.command(&["exec", AGENT, "--", "true"]))
            }),
        ],
    );
    drop(live);
    kubectl(&["delete", "pod", "plain", "--grace-period=0", "--force"])?;
    table
}

/// Counts what the API is asked from a start to its end: lines of the audit log that are ours. What is asked about the server and about rights
/// is not in that log.
pub(crate) fn requests() -> anyhow::Result<String> {
    let home = Home::new()?;
    let log = audit_log()?;
    let before = fs::read_to_string(&log)?.len();
    whole(&mut home.command(&["--quiet", "start", "bench", "--yes", "--backend", "kubernetes"]))?;
    let after = fs::read_to_string(&log)?;
    let ours = after[before..].lines().filter(|line| line.contains("\"username\":\"admin\""));
    let mut verbs: Vec<(String, usize)> = Vec::new();
    for line in ours {
        let entry: serde_json::Value = serde_json::from_str(line)?;
        // An exec is written down when it begins and when it has ended.
        if entry["stage"] == "ResponseStarted" {
            continue;
        }
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let part = text(&entry["objectRef"]["subresource"]);
        let name =
            format!("{} {}", text(&entry["verb"]), if part.is_empty() { "pod" } else { part.as_str() });
        match verbs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => verbs.push((name, 1)),
        }
    }
    ensure!(!verbs.is_empty(), "the audit log has nothing of the start");
    let all: usize = verbs.iter().map(|(_, count)| count).sum();
    let each: Vec<_> = verbs.iter().map(|(name, count)| format!("{count} {name}")).collect();
    Ok(format!("Requests about Pods, of one start to its end: {all} ({})\n", each.join(", ")))
}

fn manifest() -> String {
    format!(
        "bottles: {{ bench: {{}} }}\nagents:\n  {AGENT}: {{ bottle: bench, command: [sh, -c, '{STAYS}'] }}\n"
    )
}

fn exec() -> Command {
    let mut command = Command::new("kubectl");
    command.args(["exec", "plain", "--", "true"]);
    command
}

fn kubectl(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("kubectl");
    let done = command.args(arguments).stdout(Stdio::null()).status().context("run kubectl")?;
    ensure!(done.success(), "kubectl {arguments:?}");
    Ok(())
}

fn audit_log() -> anyhow::Result<PathBuf> {
    let directory =
        std::env::var_os("CLAUDE_BOTTLE_TEST_CLUSTER").context("run it by `make bench kubernetes`")?;
    Ok(PathBuf::from(directory).join("logs/audit.json"))
}
