//! launch: a plan becomes a bottle, or nothing is left.

use std::fs;
use std::os::unix::net::UnixStream;

use bottle_guest::protocol::{Reply, Request, Setup};
use claude_bottle_directory::{Record, RunDir, Store, copy_workspace, environment, layout};
use claude_bottle_door::{self as door, Handover};
use claude_bottle_kit::bwrap::Process;
use claude_bottle_kit::host_guard::HostGuard;
use claude_bottle_plugin_api::{Call, Plan, Result};

use crate::close::ends;
use crate::engine::{Image, Podman};
use crate::error::PodmanError;
use crate::plan::Planned;
use crate::{container, image};

/// The part's name, in the record and in messages.
const PART: &str = "container";

/// A bottle that was made, and what keeps its container.
pub(crate) struct Launched {
    pub(crate) record: Record,
    pub(crate) lifeline: UnixStream,
}

/// Makes the bottle. On failure everything made is undone.
pub(crate) fn launch(call: &Call, podman: &Podman, bottles: &Store, plan: &Plan) -> Result<Launched> {
    call.check()?;
    let plan = Planned::read(plan)?;
    let image = image::ensure(&plan.image, podman, call)?;
    let (dir, record) = bottles.claim(
        |path| {
            let mut record = Record::new(&plan.spec, &plan.base.name, &plan.base.home, path);
            record.memory_bytes = Some(plan.limits.bounds.memory_bytes);
            record
        },
        &plan.base.name,
    )?;
    let mut making = Making { call, podman, plan: &plan, dir: &dir, record };
    match making.build(&image) {
        Ok(lifeline) => Ok(Launched { record: making.record, lifeline }),
        Err(failure) => {
            let undone = ends(podman, bottles).tear_down(&dir, &making.record);
            Err(failure.with_undo(undone))
        }
    }
}

/// A bottle that is being made.
struct Making<'a> {
    call: &'a Call,
    podman: &'a Podman,
    plan: &'a Planned,
    dir: &'a RunDir,
    record: Record,
}

impl Making<'_> {
    fn build(&mut self, image: &Image) -> Result<UnixStream> {
        let step = self.call.step("start-bottle", "starting the bottle");
        let (spec, bwrap) = (&self.plan.spec, &self.plan.base.bwrap);
        // The bottle's programs have its own user.
        let guard = HostGuard { spec, bwrap, dir: &self.dir.path, access: None }.start(self.call)?;
        self.record.processes.push(guard.process.clone());
        self.dir.save(&self.record)?;
        self.dir.make_dir(door::DIR, 0o755, bwrap.run_as_uid)?;
        let door = Handover::make(&self.dir.path)?;
        layout::make(self.dir, bwrap.run_as_uid)?;
        container::write_files(self.plan, self.dir)?;
        copy_workspace(&self.plan.base.guest(self.call, spec, self.dir))?;
        self.call.check()?;
        let id = self.create()?;
        // What programs trust is bound as it is when the container starts, so the guard has to have written it.
        guard.await_ready(self.call)?;
        let lifeline = self.start(&id, door)?;
        self.set_up(image)?;
        self.record.is_ready = true;
        self.dir.save(&self.record)?;
        step.done();
        Ok(lifeline)
    }

    fn create(&mut self) -> Result<String> {
        let document = container::document(self.plan, self.dir)?;
        // From here on there may be a container, even if this run is killed before Podman answers.
        self.record.has_container = true;
        self.dir.save(&self.record)?;
        let (id, warnings) = self.podman.create(&document)?;
        warnings.iter().for_each(|warning| tracing::debug!(warning, "Podman warns"));
        Ok(id)
    }

    /// Starts the container, and hands its process 1 the door.
    fn start(&mut self, id: &str, door: Handover) -> Result<UnixStream> {
        self.call.check()?;
        self.podman.start(id)?;
        let name = &self.plan.base.name;
        let running = || {
            let found = self.podman.process(id)?;
            if found.running {
                return Ok(found);
            }
            let said = format!("it ended with the code {} {}", found.exit_code, found.error);
            Err(PodmanError::StartContainer { name: name.clone(), said: said.trim().to_owned() })
        };
        let lifeline = door.hand_over(self.call, || Ok(running()?.pid))?;
        let process = running()?;
        prove_it_has_no_network(process.pid, name)?;
        self.record.groups = process.memory_groups(id);
        self.record.container = Some(Process::running(PART, process.pid));
        Ok(lifeline)
    }

    /// Sends process 1 its setup, whose answer shows that it runs.
    fn set_up(&self, image: &Image) -> Result<()> {
        let spec = &self.plan.spec;
        let mut setup = Setup::new(environment::of(spec, self.call, image.basis(&self.plan.base.home), &[])?);
        setup.relay = Some(environment::relay(spec));
        setup.limits = self.plan.limits.of_programs();
        let name = &self.plan.base.name;
        let stream = door::send_request(&self.dir.path, name, &Request::Setup(setup), &[])?;
        match door::answer(self.call, &stream)? {
            Some((Reply::Ready, _)) => Ok(()),
            _ => Err(PodmanError::StartContainer { name: name.clone(), said: String::new() }.into()),
        }
    }
}

/// Asks the kernel, and not Podman, which interfaces the container has: its loopback alone.
fn prove_it_has_no_network(pid: u32, name: &str) -> Result<()> {
    let interfaces = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut names = interfaces.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    match (names.next(), names.next()) {
        (Some("lo"), None) => Ok(()),
        _ => Err(PodmanError::HasNetwork { name: name.to_owned() }.into()),
    }
}
