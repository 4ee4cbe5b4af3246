//! The bottle that is tried: made like any other, with its record and its watcher, and removed when the probe has ended.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use claude_bottle_plugin_api::{Capability, ExecRequest, ExecRole, Plan, Spec};
use serde_json::json;

use super::super::App;
use super::super::app::Calls;
use super::super::start::{Prepared, prepared};
use super::canaries::{Canaries, word};
use super::listener::Listener;
use super::rows::{Finding, Tried};
use crate::egress;
use crate::error::CliResult;
use crate::manifest::{Agent, Bottle};
use crate::run::backend::Backend;
use crate::run::options::Options;
use crate::run::records::{Phase, Record};
use crate::run::session::Session;
use crate::run::setup::Setup;
use crate::run::spec::StartOptions;
use crate::run::token::Granted;
use crate::run::{owner, stage};

/// The probe, by the name that every backend with the guest program knows.
const PROBE: [&str; 2] = ["bottle-guest", "probe"];
/// Limits that can be tried without taking the machine for it.
const MOST_MEMORY: u64 = 384 << 20;
const MOST_PROCESSES: u32 = 256;
/// How much of the probe's answer is read.
const MOST_SAID: u64 = 1 << 20;

/// What the bottle is tried with.
struct Bait {
    listener: Listener,
    canaries: Arc<Canaries>,
    /// Files of this machine that are not granted, each with a text that is in it.
    files: Vec<(PathBuf, String)>,
}

/// Makes the bottle, runs the probe in it, removes it, and returns what was found.
pub(super) fn tried(
    app: &App,
    calls: &Calls,
    backend: &mut Backend,
    (agent, bottle): (&Agent, &Bottle),
) -> CliResult<Tried> {
    let mut bottle = bottle.clone();
    let limits = &mut bottle.limits;
    if backend.offers(&Capability::LIMITS) {
        limits.memory_bytes = Some(limits.memory_bytes.map_or(MOST_MEMORY, |wanted| wanted.min(MOST_MEMORY)));
        limits.pids = Some(limits.pids.map_or(MOST_PROCESSES, |wanted| wanted.min(MOST_PROCESSES)));
    }
    // Nobody is there to answer.
    bottle.egress.ask = None;
    let stage = stage::make(&owner::this_process())?;
    let options = Options::of(&bottle, backend.name());
    let wishes = StartOptions { options, ..StartOptions::default() };
    let prepared = prepared(app, backend, (agent, &bottle), &wishes, stage.path())?;
    let Prepared { granted: Granted { bottle, .. }, egress, spec, plan } = prepared;
    let canaries = Canaries::new(&spec, bottle.secrets.iter().map(|secret| secret.name.as_str()))?;
    let canaries = Arc::new(canaries);
    backend.grant(Arc::clone(&canaries) as _);
    let policy = egress::policy_document(&spec.id, &bottle, egress.policy)?;
    let bait = Bait::lay(canaries, &spec)?;
    let request = bait.request(backend, &bottle);
    let ran = run(app, backend, (&spec, &plan), policy, &request);
    let (said, ended) = ran?;
    let mut findings: Vec<Finding> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let arrived = bait.listener.arrived();
    if let Some(direct) = findings.iter_mut().find(|finding| finding.id == "direct" && arrived > 0) {
        direct.broken.push(format!("{arrived} datagrams of UDP arrived on this machine"));
    }
    calls.progress.clear();
    stage::remove(&stage.keep()).context("cannot remove the temporary directory")?;
    Ok(Tried {
        findings,
        ended,
        runtime: plan.runtime.clone(),
        limitations: plan.limitations.clone(),
        has_proxy: backend.offers(&Capability::EGRESS),
        has_limits: backend.offers(&Capability::LIMITS),
    })
}

impl Bait {
    /// Lays a file where an agent must not find it, and listens. Another is there by itself: the run's own record.
    fn lay(canaries: Arc<Canaries>, spec: &Spec) -> anyhow::Result<Self> {
        let (file, canary) = (spec.stage_dir.join("verify"), word()?);
        fs::write(&file, &canary).with_context(|| format!("cannot write `{}`", file.display()))?;
        let record = (spec.state_dir.join("record.json"), spec.id.clone());
        let listener = Listener::start(word()?)?;
        Ok(Self { listener, canaries, files: vec![(file, canary), record] })
    }

    /// Says what the probe is to try.
    fn request(&self, backend: &Backend, bottle: &Bottle) -> Vec<u8> {
        let held = bottle.secrets.iter().filter_map(|secret| self.canaries.of(secret.name.as_str()));
        let has_limits = backend.offers(&Capability::LIMITS);
        let request = json!({
            "addresses": Listener::addresses(),
            "port": self.listener.port,
            "token": self.listener.token,
            "name": format!("{}.verify.invalid", self.listener.token),
            "files": self.files,
            "secrets": held.collect::<Vec<_>>(),
            "memory_bytes": bottle.limits.memory_bytes.filter(|_| has_limits),
            "processes": bottle.limits.pids.filter(|_| has_limits),
        });
        request.to_string().into_bytes()
    }
}

/// Runs the bottle with the probe in place of its agent, and returns what the probe said and how it ended if not well.
fn run(
    app: &App,
    backend: &Backend,
    (spec, plan): (&Spec, &Plan),
    policy: String,
    request: &[u8],
) -> CliResult<(String, Option<String>)> {
    let streams = || -> io::Result<_> {
        Ok((io::pipe()?, io::pipe()?, fs::File::options().write(true).open("/dev/null")?))
    };
    let ((input, mut asks), (answers, output), errors) = streams().context("cannot make a pipe")?;
    // Far less than a pipe holds.
    asks.write_all(request).context("cannot say what to try")?;
    drop(asks);
    let reading = std::thread::Builder::new().name("verify".to_owned()).spawn(move || {
        let mut said = Vec::new();
        drop(answers.take(MOST_SAID).read_to_end(&mut said));
        String::from_utf8_lossy(&said).into_owned()
    });
    let reading = reading.context("cannot start a thread")?;
    let mut exec = ExecRequest::new(PROBE.map(str::to_owned).into(), ExecRole::Command);
    exec.streams = [input.as_raw_fd(), output.as_raw_fd(), errors.as_raw_fd()];
    let (runs, store) = (&app.runs(), &app.results());
    let setup = Setup { steps: &[], say: &|_| {} };
    let session = Session {
        backend,
        runs,
        store,
        spec,
        exe: &app.invocation.exe,
        commits: false,
        plan,
        record: record(backend, (spec, plan), policy),
        is_named: false,
        setup,
        refreshed: &[],
        home: &app.invocation.home,
        told: None,
    };
    let ending = session.run(exec).result;
    drop(output);
    let status = ending?.status;
    let said = reading.join().unwrap_or_default();
    let ended = (status.code != 0).then(|| match &status.limit {
        Some(limit) => format!("it ended with {} by the {limit}", status.code),
        None => format!("it ended with {}", status.code),
    });
    Ok((said, ended))
}

fn record(backend: &Backend, (spec, plan): (&Spec, &Plan), policy: String) -> Record {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Record {
        id: spec.id.clone(),
        backend: backend.name().to_owned(),
        agent: spec.agent.name.clone(),
        bottle: spec.bottle.name.clone(),
        name: plan.name.clone(),
        owner: spec.owner.clone(),
        created_unix: created.as_secs(),
        phase: Phase::Creating,
        instance: None,
        stage: Some(spec.stage_dir.clone()),
        policy: Some(policy),
        workspace: None,
        ended_unix: None,
        exit_code: None,
        timings: Vec::new(),
        log_end: None,
        saves: None,
        keeps: false,
        is_saved: false,
    }
}
