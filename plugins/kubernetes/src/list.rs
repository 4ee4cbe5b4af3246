//! list: the Pods of bottles, by their labels, in every place that the user names.

use claude_bottle_kit::{Labels, key};
use claude_bottle_plugin_api::{ActiveBottle, Bottle, BottleState, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, ObjectMeta};

use crate::backend::Kubernetes;
use crate::cluster::{Cluster, PATIENCE, Place, asked};
use crate::error::KubernetesError;
use crate::known;
use crate::plan::Record;
use crate::pod::MANAGED_BY;

/// How many Pods are asked for at a time.
const PAGE: u32 = 500;

/// A Pod that was found, and where.
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) labels: Option<Labels>,
    /// Its phase: Pending, Running, Succeeded, Failed, Unknown.
    pub(crate) phase: String,
    created_unix: u64,
}

impl Found {
    fn of(place: &Place, pod: Pod) -> Self {
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        let labels = labels(&pod.metadata);
        let created = pod.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
        let ObjectMeta { name, uid, .. } = pod.metadata;
        Self {
            place: place.clone(),
            name: name.unwrap_or_default(),
            uid: uid.unwrap_or_default(),
            labels,
            phase,
            created_unix: u64::try_from(created).unwrap_or(0),
        }
    }

    /// Returns `true` if nothing of it runs or will run.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Returns its state, for a person.
    pub(crate) fn state(&self) -> BottleState {
        match self.phase.as_str() {
            "Pending" => BottleState::Created,
            "Running" => BottleState::Running,
            "Succeeded" | "Failed" => BottleState::Stopped,
            _ => BottleState::Unknown,
        }
    }
}

/// Reads whose a Pod is: part of it is in labels, and part in annotations.
pub(crate) fn labels(metadata: &ObjectMeta) -> Option<Labels> {
    let get = |name: &str| {
        let labels = metadata.labels.as_ref().and_then(|labels| labels.get(name));
        labels.or_else(|| metadata.annotations.as_ref()?.get(name)).map(String::as_str)
    };
    Labels::read(get)
}

/// Lists the bottles that exist. A cluster that does not answer is left out, and said in the log.
pub(crate) fn list(backend: &Kubernetes) -> Result<Vec<ActiveBottle>> {
    let found = pods(backend)?.into_iter().filter(|found| !found.has_ended());
    let bottle = |found: Found| {
        let labels = found.labels.as_ref()?;
        let record = Bottle::new(found.name.clone(), &record(&found, labels, &backend.config.home)).ok()?;
        let mut bottle = ActiveBottle::new(&labels.id, &labels.agent, &labels.bottle, record);
        bottle.state = found.state();
        bottle.created_unix = found.created_unix;
        bottle.owner = Some(labels.owner.clone());
        Some(bottle)
    };
    Ok(found.filter_map(bottle).collect())
}

/// Makes of what the cluster says a record to reach the bottle with. Where its files are, the cluster does not know.
fn record(found: &Found, labels: &Labels, home: &str) -> Record {
    Record {
        id: labels.id.clone(),
        bottle: labels.bottle.clone(),
        owner: labels.owner.clone(),
        name: found.name.clone(),
        uid: found.uid.clone(),
        place: found.place.clone(),
        directory: home.to_owned(),
        workspace: format!("{home}/workspace"),
        home: home.to_owned(),
        state: ".claude".to_owned(),
        memory_bytes: 0,
        state_dir: None,
    }
}

/// Finds the Pods of bottles in all places, side by side.
pub(crate) fn pods(backend: &Kubernetes) -> Result<Vec<Found>> {
    let places = places(backend)?;
    let answers = backend.run(async {
        let asked = places.iter().map(|place| async move {
            let answer = tokio::time::timeout(PATIENCE, in_place(place)).await;
            (place, answer.unwrap_or(Err(KubernetesError::Silent { what: "list the Pods" })))
        });
        futures_util::future::join_all(asked).await
    });
    let is_alone = places.len() == 1;
    let mut found: Vec<Found> = Vec::new();
    for (place, answer) in answers {
        match answer {
            // Two places may turn out to be one.
            Ok(pods) => {
                for pod in pods {
                    if !found.iter().any(|other| other.uid == pod.uid) {
                        found.push(pod);
                    }
                }
            }
            Err(error) if is_alone => return Err(error.into()),
            Err(error) => tracing::warn!(%place, %error, "a cluster does not answer"),
        }
    }
    Ok(found)
}

/// Returns where bottles may be: where this user has made some, and where the user says.
fn places(backend: &Kubernetes) -> Result<Vec<Place>> {
    let mut places = known::all(&backend.config.data_dir)?;
    for place in &backend.config.places {
        if !places.contains(place) {
            places.push(place.clone());
        }
    }
    Ok(places)
}

async fn in_place(place: &Place) -> Result<Vec<Found>, KubernetesError> {
    let cluster = Cluster::of(place).await?;
    // Those that carry a run's identifier, and those that another version labelled.
    let selector = format!("{},{}={}", key::ID, MANAGED_BY.0, MANAGED_BY.1);
    let mut parameters = ListParams::default().labels(&selector).limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = asked("list the Pods", cluster.pods().list(&parameters)).await?;
        found.extend(page.items.into_iter().map(|pod| Found::of(&cluster.place, pod)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}
