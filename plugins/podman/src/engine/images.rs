//! Images: looked at, built and pulled.

use std::collections::BTreeMap;

use claude_bottle_engine::{Ask, Body, encoded};
use claude_bottle_plugin_api::{Call, Result};
use serde_json::Value;

use super::{Image, Podman};
use crate::error::PodmanError;

/// How an image is built.
#[derive(Debug, Clone, Default)]
pub(crate) struct Build {
    pub(crate) tag: String,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Podman {
    /// Looks at an image; `None` when there is none of this name.
    pub(crate) fn image(&self, reference: &str) -> Result<Option<Image>, PodmanError> {
        let found = match self.get(&format!("/images/{}/json", encoded(reference))) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let read = |value: &Value| serde_json::from_value(value.clone()).ok();
        Ok(Some(Image {
            labels: read(&found["Labels"]).unwrap_or_default(),
            variables: found["Config"]["Env"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|variable| variable.as_str().map(str::to_owned))
                .collect(),
        }))
    }

    /// Builds an image from a context, and hands on what the build says, line by line.
    pub(crate) fn build(
        &self,
        call: &Call,
        build: &Build,
        context: Vec<u8>,
        line: &mut dyn FnMut(String),
    ) -> Result<()> {
        let document = |map: &BTreeMap<String, String>| encoded(&serde_json::json!(map).to_string());
        let path = format!(
            // Podman's own builder asks a network for a rootless user who may not have one; that of the host is there.
            "/build?t={}&buildargs={}&labels={}&networkmode=host&dockerfile=Dockerfile&layers=true&rm=true",
            encoded(&build.tag),
            document(&build.args),
            document(&build.labels),
        );
        self.follow(call, Ask::post(&path, Body::Tar(context.into())), line)
    }

    /// Gets an image from its registry.
    pub(crate) fn pull(&self, call: &Call, reference: &str, line: &mut dyn FnMut(String)) -> Result<()> {
        let path = format!("/images/pull?reference={}", encoded(reference));
        self.follow(call, Ask::post(&path, Body::Nothing), line)
    }
}
