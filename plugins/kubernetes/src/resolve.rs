//! prepare: the cluster is asked by a dry run, so that quota, rights and admission refuse before the question. Nothing is made.

use claude_bottle_kit::limits::Bounds;
use claude_bottle_kit::{contents, home, refuse, trust};
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, Plan, Result, Spec};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;

use crate::backend::Kubernetes;
use crate::cluster::{Cluster, asked};
use crate::config::{Asked, Config, Options};
use crate::error::KubernetesError;
use crate::plan::{PlanState, Planned, Scheduling, Tools};
use crate::wall::{Wall, changes};
use crate::{launch, pod, probe, rights, ssh};

/// The first server that has images as volumes without being asked to:
/// <https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/>.
const IMAGE_VOLUMES: (u32, u32) = (1, 35);

/// Turns a spec into a plan.
pub(crate) fn resolve(backend: &Kubernetes, call: &Call, spec: &Spec) -> Result<Plan> {
    call.check()?;
    refuse::empty_command(spec)?;
    refuse::other_proxies(spec, "kubernetes")?;
    let config = &backend.config;
    let options = Options::read(spec)?;
    ssh::check(spec)?;
    let found = contents::survey(spec)?;
    let (cluster, version) = backend.run(async {
        let cluster = Cluster::of(&options.place(config)).await?;
        let version = probe::version(&cluster).await?;
        rights::check(&cluster).await?;
        Ok::<_, KubernetesError>((cluster, version))
    })?;
    let mut state = state(config, &options, spec, &cluster);
    state.bytes = found.bytes;
    state.tools = if version.numbers >= IMAGE_VOLUMES { Tools::Volume } else { Tools::Copied };
    choose_wall(backend, &cluster, spec, &mut state, options.wall)?;
    let mut plan = show(&state, &cluster, &version)?;
    let planned = Planned { spec: spec.clone(), state };
    let place = launch::place(&planned).fact(spec);
    place.into_iter().chain(found.facts).for_each(|(label, value)| plan.fact(label, value));
    plan.limitations = limitations(spec);
    Ok(plan)
}

fn state(config: &Config, options: &Options, spec: &Spec, cluster: &Cluster) -> PlanState {
    let skills = home::skills(&spec.agent);
    PlanState {
        name: format!("claude-bottle-{}", spec.id),
        place: cluster.place.clone(),
        image: spec.bottle.image.clone().unwrap_or_else(|| config.image.clone()),
        guard_image: config.guard_image.clone(),
        tools: Tools::Copied,
        wall: Wall::Netns,
        home: config.home.clone(),
        skills_dir: config.skills_dir.clone().unwrap_or_else(|| format!("{}/{skills}", config.home)),
        bounds: Bounds::of_container(&spec.bottle.limits, None),
        scheduling: Scheduling {
            runtime_class: options.runtime_class.clone(),
            priority_class: options.priority_class.clone(),
            node_selector: options.node_selector.clone(),
            tolerations: options.tolerations.clone(),
            image_pull_secrets: options.image_pull_secrets.clone(),
            deadline: options.deadline,
        },
        bytes: 0,
    }
}

/// Finds the wall with which the namespace takes the Pod, and that the cluster makes of it what was asked for.
fn choose_wall(
    backend: &Kubernetes,
    cluster: &Cluster,
    spec: &Spec,
    state: &mut PlanState,
    wanted: Asked,
) -> Result<()> {
    let walls: &[Wall] = match wanted {
        Asked::Auto => Wall::USABLE,
        Asked::Netns => &[Wall::Netns],
        Asked::Notify => &[Wall::Notify],
    };
    let mut refused = None;
    for wall in walls {
        state.wall = *wall;
        match dry_run(backend, cluster, spec, state) {
            Ok(()) => return Ok(()),
            // Pod Security is asked about once more with the other shape, and everything else is final.
            Err(failure) if is_pod_security(&failure) => drop(refused.get_or_insert(failure)),
            Err(failure) => return Err(failure),
        }
    }
    let failure = refused.unwrap_or_else(|| Failure::unsupported("the wall"));
    Err(failure
        .hint("kubectl label namespace NAMESPACE pod-security.kubernetes.io/enforce=baseline --overwrite"))
}

fn is_pod_security(failure: &Failure) -> bool {
    failure.causes.iter().any(|cause| cause.contains("violates PodSecurity"))
}

fn dry_run(backend: &Kubernetes, cluster: &Cluster, spec: &Spec, state: &PlanState) -> Result<()> {
    let document = pod::document(spec, state);
    let wanted: Pod = serde_json::from_value(document.clone())
        .failure(FailureKind::Internal, || "cannot describe the Pod of the bottle")?;
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    let found =
        backend.run(async { asked("make the Pod", cluster.pods().create(&parameters, &wanted)).await })?;
    let found = serde_json::to_value(&found).unwrap_or_default();
    match changes(&document, &found).join(", ") {
        what if what.is_empty() => Ok(()),
        what => Err(KubernetesError::Changed { what }.into()),
    }
}

fn show(state: &PlanState, cluster: &Cluster, version: &probe::Version) -> Result<Plan> {
    let mut plan = Plan::new(state.name.clone(), state)?;
    plan.image = Some(state.image.clone());
    plan.runtime = state.scheduling.runtime_class.clone();
    plan.fact("cluster", format!("Kubernetes {}, {}", version.text, cluster.place));
    plan.fact("proxy", format!("egress guard ({})", state.guard_image));
    plan.fact("network", state.wall.describe());
    plan.fact("limits", state.bounds.describe());
    plan.fact("ends", format!("after {} at the latest", duration(state.scheduling.deadline)));
    Ok(plan)
}

fn duration(seconds: u64) -> String {
    match seconds {
        hours if hours % 3600 == 0 => format!("{} h", hours / 3600),
        minutes if minutes % 60 == 0 => format!("{} min", minutes / 60),
        seconds => format!("{seconds} s"),
    }
}

/// Says what is not enforced, or not quite.
fn limitations(spec: &Spec) -> Vec<String> {
    let mut sentences = Vec::new();
    if trust::is_needed(spec) {
        let sentence = "programs that ignore the usual variables do not trust the guard: no file of the image's system is replaced";
        sentences.push(sentence.to_owned());
    }
    sentences
}
