//! Images: looked at, built and pulled.

use std::collections::BTreeMap;

use claude_bottle_plugin_api::{Call, Result};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Response};
use serde_json::Value;

use super::{Ask, Body, Image, Podman, encoded, send};
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
        let ask = Ask { method: Method::POST, path: &path, body: Body::Archive(context) };
        self.unless_cancelled(call, async { lines(send(&self.address, ask).await?, line).await })
    }

    /// Gets an image from its registry.
    pub(crate) fn pull(&self, call: &Call, reference: &str, line: &mut dyn FnMut(String)) -> Result<()> {
        let path = format!("/images/pull?reference={}", encoded(reference));
        let ask = Ask { method: Method::POST, path: &path, body: Body::Nothing };
        self.unless_cancelled(call, async { lines(send(&self.address, ask).await?, line).await })
    }
}

/// Reads the documents that a build or a pull sends, one a line. One of them may say that it failed.
async fn lines(answer: Response<Incoming>, line: &mut dyn FnMut(String)) -> Result<(), PodmanError> {
    let (mut body, mut begun) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(PodmanError::talk)?.into_data() else { continue };
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(part);
            if part.ends_with(b"\n") {
                hear(&std::mem::take(&mut begun), line)?;
            }
        }
    }
    hear(&begun, line)
}

fn hear(document: &[u8], line: &mut dyn FnMut(String)) -> Result<(), PodmanError> {
    let Ok(said) = serde_json::from_slice::<Value>(document) else { return Ok(()) };
    if let Some(error) = said["error"].as_str().filter(|error| !error.is_empty()) {
        return Err(PodmanError::Refused { status: 500, said: claude_bottle_kit::printable(error.trim()) });
    }
    if let Some(text) = said["stream"].as_str() {
        text.trim_end().lines().for_each(|text| line(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::hear;

    #[test]
    fn what_a_build_says_is_handed_on_and_its_error_is_one() {
        let mut said = Vec::new();
        hear(br#"{"stream":"STEP 1\nSTEP 2\n"}"#, &mut |line| said.push(line)).unwrap();
        hear(br#"{"id":"x"}"#, &mut |line| said.push(line)).unwrap();
        assert_eq!(said, ["STEP 1", "STEP 2"]);
        let error = hear(br#"{"error":"no space"}"#, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("no space"), "{error}");
    }
}
