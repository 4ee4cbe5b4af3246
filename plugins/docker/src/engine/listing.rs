//! Lists of what exists in the engine, all kinds as one shape.

use std::collections::{BTreeMap, HashMap};

use bollard::{Docker, query_parameters as query};

use super::error::understand;
use super::{Found, Kind, Result};

/// Lists by name what the filters let through.
pub(super) async fn list(
    client: &Docker,
    kind: Kind,
    filters: HashMap<String, Vec<String>>,
) -> Result<Vec<Found>> {
    let mut found: Vec<_> = match kind {
        Kind::Container => {
            let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            let list = client.list_containers(Some(options)).await.map_err(understand)?;
            list.into_iter().map(container).collect()
        }
        Kind::Network => {
            let options = query::ListNetworksOptionsBuilder::default().filters(&filters).build();
            let list = client.list_networks(Some(options)).await.map_err(understand)?;
            list.into_iter().map(network).collect()
        }
        Kind::Volume => {
            let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
            let list = client.list_volumes(Some(options)).await.map_err(understand)?;
            list.volumes.unwrap_or_default().into_iter().map(volume).collect()
        }
        Kind::Image => {
            let options = query::ListImagesOptionsBuilder::default().filters(&filters).build();
            let list = client.list_images(Some(options)).await.map_err(understand)?;
            list.into_iter().flat_map(images).collect()
        }
    };
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn container(summary: bollard::models::ContainerSummary) -> Found {
    let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    Found {
        id: summary.id.unwrap_or_default(),
        name: name.trim_start_matches('/').to_owned(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        state: summary.state.map(|state| state.to_string()).unwrap_or_default(),
        created_unix: summary.created.and_then(|created| u64::try_from(created).ok()).unwrap_or(0),
    }
}

fn network(network: bollard::models::Network) -> Found {
    Found {
        id: network.id.unwrap_or_default(),
        name: network.name.unwrap_or_default(),
        labels: network.labels.unwrap_or_default().into_iter().collect(),
        ..Found::default()
    }
}

/// Returns an image once under each of its names, by which it is removed.
fn images(image: bollard::models::ImageSummary) -> Vec<Found> {
    let labels: BTreeMap<_, _> = image.labels.into_iter().collect();
    let named = |name: String| Found { id: name.clone(), name, labels: labels.clone(), ..Found::default() };
    image.repo_tags.into_iter().map(named).collect()
}

fn volume(volume: bollard::models::Volume) -> Found {
    Found {
        id: volume.name.clone(),
        name: volume.name,
        labels: volume.labels.into_iter().collect(),
        ..Found::default()
    }
}
