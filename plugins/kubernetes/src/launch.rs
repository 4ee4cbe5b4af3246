//! launch: a plan becomes a bottle, or nothing is left.
//!
//! The Pod is the only object, so making is one request and undoing is one. The guard's door is tried from the first moment: what a cluster
//! says of a Pod is late by a second. It is asked why a Pod does not come only when that takes long.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::{Duration, Instant};

use bottle_guest::pod::client::Wire;
use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use bottle_guest::pod::{EGRESS, GUARD as GUARD_SOCKET, LINK};
use bottle_guest::protocol::{Relay, Setup, SetupFile};
use claude_bottle_egress_policy::{Listen, LogConfig, SocketAccess};
use claude_bottle_kit::workspace::Place;
use claude_bottle_kit::{
    LOCALE, guard_config, guard_secrets, home, profile_variables, proxy_variables, trust,
};
use claude_bottle_plugin_api::{
    Bottle, Call, EnvValue, ErrorExt, Failure, FailureKind, ForwardSpec, Plan, Result, Spec,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, PostParams};
use zeroize::Zeroizing;

use crate::backend::Kubernetes;
use crate::cluster::{Cluster, asked};
use crate::door::{Door, knock};
use crate::error::KubernetesError;
use crate::plan::{Planned, Record};
use crate::wall::changes;
use crate::{close, known, log, pod, proof, provision, reason, ssh};

/// How long a Pod may take to run: an image may have to be pulled.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often the door is tried, at first and later.
const FIRST_KNOCKS: Duration = Duration::from_millis(50);
const LATER_KNOCKS: Duration = Duration::from_millis(250);

/// When it is first asked why a Pod does not come, and how often after that.
const ASK: Duration = Duration::from_millis(1500);

/// The seconds of silence of this program after which a bottle ends.
const LIFELINE: u32 = 60;

/// The port on the bottle's loopback that leads to the guard when the spec says none.
const DEFAULT_PORT: u16 = 8888;

/// The agent's user.
const USER: &str = "node";

/// Makes the bottle.
pub(crate) fn launch(backend: &Kubernetes, call: &Call, plan: &Plan) -> Result<Bottle> {
    call.check()?;
    let plan = Planned::read(plan)?;
    // What may fail on this side fails before anything is made.
    let policy = policy(call, &plan)?;
    let setup = setup(call, &plan)?;
    let cluster = backend.run(Cluster::of(&plan.place))?;
    let step = call.step("start-bottle", format!("starting Pod {}", plan.name));
    known::note(&backend.config.data_dir, &cluster.place)?;
    let uid = create(backend, &cluster, &plan)?;
    let record = record(&plan, &cluster, &uid);
    let making = Making { backend, call, plan: &plan, cluster: &cluster, record: &record };
    let failure = match making.run(&policy, &setup) {
        Ok(()) => {
            step.done();
            return Bottle::new(record.name.clone(), &record);
        }
        Err(failure) => failure,
    };
    backend.forget(&uid);
    let undone = backend.run(close::remove(&cluster, &plan.name, Some(&uid)));
    Err(failure.with_undo(undone.err().map(Failure::from).into_iter().collect()))
}

/// Makes the Pod, and refuses one of which the cluster makes something else. Returns its identity.
fn create(backend: &Kubernetes, cluster: &Cluster, plan: &Planned) -> Result<String> {
    let document = pod::document(&plan.spec, &plan.state);
    let wanted: Pod = serde_json::from_value(document.clone())
        .failure(FailureKind::Internal, || "cannot describe the Pod of the bottle")?;
    backend.run(async {
        let pods = cluster.pods();
        let made = asked("make the Pod", pods.create(&PostParams::default(), &wanted)).await?;
        let uid = made.metadata.uid.clone().unwrap_or_default();
        let found = serde_json::to_value(&made).unwrap_or_default();
        match changes(&document, &found).join(", ") {
            what if what.is_empty() => Ok(uid),
            what => {
                let undone = close::remove(cluster, &plan.name, Some(&uid)).await;
                let failure = Failure::from(KubernetesError::Changed { what });
                Err(failure.with_undo(undone.err().map(Failure::from).into_iter().collect()))
            }
        }
    })
}

fn record(plan: &Planned, cluster: &Cluster, uid: &str) -> Record {
    let (spec, place) = (&plan.spec, place(plan));
    Record {
        id: spec.id.clone(),
        bottle: spec.bottle.name.clone(),
        owner: spec.owner.clone(),
        name: plan.name.clone(),
        uid: uid.to_owned(),
        place: cluster.place.clone(),
        directory: place.start,
        workspace: place.root,
        home: plan.home.clone(),
        state: home::state(&spec.agent).to_owned(),
        memory_bytes: plan.bounds.memory_bytes,
        state_dir: (!spec.state_dir.as_os_str().is_empty()).then(|| spec.state_dir.clone()),
    }
}

/// Returns where the working directory lies: in the home, since the agent's user has no other place.
pub(crate) fn place(plan: &Planned) -> Place {
    Place::of(&plan.spec, &plan.home, |path| path.starts_with(&plan.home))
}

/// A bottle that is being made.
struct Making<'a> {
    backend: &'a Kubernetes,
    call: &'a Call,
    plan: &'a Planned,
    cluster: &'a Cluster,
    record: &'a Record,
}

impl Making<'_> {
    fn run(&self, policy: &[u8], setup: &[u8]) -> Result<()> {
        let begun = Instant::now();
        let first = self.backend.run(self.first_knock(begun))?;
        let door =
            Door::open(self.backend.handle(), self.cluster, &self.plan.name, Some(LIFELINE), Some(first))?;
        let door = self.backend.keep(&self.record.uid, door);
        let look = || {
            self.call.check()?;
            self.backend.run(self.look(begun.elapsed()))
        };
        proof::prove(&door, self.cluster, (&self.record.name, self.plan.wall), look)?;
        match door.ask(Side::Guard, &Verb::Policy, Some(&mut Cursor::new(policy)))? {
            Outcome::Listening { .. } => {}
            _ => return Err(door.unexpected("policy")),
        }
        log::follow(self.backend, self.record, &door)?;
        self.call.check()?;
        match door.ask(Side::Bottle, &Verb::Setup, Some(&mut Cursor::new(setup)))? {
            Outcome::Done => {}
            _ => return Err(door.unexpected("setup")),
        }
        provision::copy_in(self.call, self.plan, port(&self.plan.spec), &door)?;
        let agent = ssh::serve(&self.backend.config.data_dir, self.plan, &door)?;
        agent.into_iter().for_each(|agent| self.backend.keep_keys(&self.record.uid, agent));
        Ok(())
    }

    /// Tries the door until it opens, and says what the cluster says when it does not.
    async fn first_knock(&self, begun: Instant) -> Result<Wire> {
        let mut asked_at = begun;
        loop {
            self.call.check()?;
            match knock(self.cluster, &self.plan.name).await {
                Ok(wire) => return Ok(wire),
                Err(error) => tracing::trace!(%error, "the door does not open yet"),
            }
            if asked_at.elapsed() >= ASK {
                asked_at = Instant::now();
                self.look(begun.elapsed()).await?;
            }
            tokio::time::sleep(if begun.elapsed() < ASK { FIRST_KNOCKS } else { LATER_KNOCKS }).await;
        }
    }

    /// Fails when the Pod will not come, or has taken too long.
    async fn look(&self, passed: Duration) -> Result<()> {
        let name = self.plan.name.clone();
        let found = self.cluster.look(&name).await?;
        let Some(found) = found else { return Err(KubernetesError::Gone { name }.into()) };
        if let Some(why) = reason::final_reason(&found) {
            return Err(KubernetesError::Start { name, why }.into());
        }
        if reason::has_ended(&found, pod::AGENT) {
            let log = LogParams { container: Some(pod::AGENT.to_owned()), ..LogParams::default() };
            let said = asked("read the log", self.cluster.pods().logs(&name, &log)).await.unwrap_or_default();
            let why = [reason::end(&found).unwrap_or_default(), claude_bottle_kit::printable(said.trim())];
            return Err(KubernetesError::Start { name, why: why.join(": ") }.into());
        }
        if passed < PATIENCE {
            return Ok(());
        }
        let why = reason::waits_for(&found).unwrap_or_else(|| "it takes too long".to_owned());
        Err(KubernetesError::Start { name, why }.into())
    }
}

/// Returns what the guard reads: its configuration, and behind it the secrets.
fn policy(call: &Call, plan: &Planned) -> Result<Zeroizing<Vec<u8>>> {
    let socket = format!("{LINK}/{GUARD_SOCKET}");
    let mut config = guard_config(&plan.spec, Listen::Unix(socket.into()))
        .failure(FailureKind::Invalid, || "cannot read the guard's configuration")?;
    config.socket_access = SocketAccess::Everyone;
    config.log = LogConfig::default();
    let text =
        config.to_json().failure(FailureKind::Internal, || "cannot write the guard's configuration")?;
    let secrets = guard_secrets(&plan.spec, call)?;
    let parts: [&[u8]; 3] = [text.as_bytes(), b"\n...\n", &secrets];
    let mut input = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| input.extend_from_slice(part));
    Ok(input)
}

/// Returns what process 1 reads: variables, the way to the guard, limits, and files of the home that are not there yet.
fn setup(call: &Call, plan: &Planned) -> Result<Zeroizing<Vec<u8>>> {
    let spec = &plan.spec;
    let files = home::files(spec, call, &place(plan))?;
    let path = |name: &str| format!("{}/{name}", plan.home);
    let usual = |(name, content): (String, Zeroizing<String>)| SetupFile {
        path: path(&name),
        content: content.to_string(),
        replaces: false,
    };
    let mut setup = Setup::new(variables(call, plan)?);
    setup.relay = Some(relay(spec));
    setup.files = files.into_iter().map(usual).collect();
    // The kubelet limits the container; processes are counted in the bottle's own user namespace.
    setup.limits.processes = Some(plan.bounds.pids);
    // Which one the image has, no API tells.
    setup.basis = vec![(LOCALE.0.to_owned(), LOCALE.1.to_owned())];
    let text =
        serde_json::to_vec(&setup).failure(FailureKind::Internal, || "cannot write the bottle's variables");
    Ok(Zeroizing::new(text?))
}

/// Returns the variables of every program, of which those of the manifest come last and win.
fn variables(call: &Call, plan: &Planned) -> Result<Vec<(String, Vec<u8>)>> {
    let spec = &plan.spec;
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut add = |name: &str, value: &[u8]| drop(all.insert(name.to_owned(), value.to_vec()));
    // Below these are the image's own, which process 1 has and no API tells.
    let own = [("HOME", plan.home.as_str()), ("LOGNAME", USER), ("USER", USER)];
    own.iter().for_each(|(name, value)| add(name, value.as_bytes()));
    let proxy = proxy_variables(&format!("http://127.0.0.1:{}", port(spec)));
    proxy.iter().for_each(|(name, value)| add(name, value.as_bytes()));
    if trust::is_needed(spec) {
        let trusted = trust::variables(&format!("{LINK}/{EGRESS}"));
        trusted.iter().for_each(|(name, value)| add(name, value.as_bytes()));
    }
    ssh::variable(spec, &plan.home).iter().for_each(|(name, value)| add(name, value.as_bytes()));
    profile_variables(spec).for_each(|(name, value)| add(name, value.as_bytes()));
    for variable in &spec.bottle.env {
        match &variable.value {
            EnvValue::Literal { value } => add(&variable.name, value.as_bytes()),
            _ => add(&variable.name, call.secret(&variable.name)?.expose()),
        }
    }
    Ok(all.into_iter().collect())
}

/// Returns the ways from the bottle's loopback to the guard.
fn relay(spec: &Spec) -> Relay {
    let forward = |forward: &ForwardSpec| (forward.port, format!("{}:{}", forward.host, forward.host_port));
    Relay {
        port: port(spec),
        guard: format!("{LINK}/{GUARD_SOCKET}").into(),
        forward: spec.bottle.forward.iter().map(forward).collect(),
        names: true,
        proves: true,
    }
}

fn port(spec: &Spec) -> u16 {
    if spec.bottle.egress.port == 0 { DEFAULT_PORT } else { spec.bottle.egress.port }
}
