//! The settings of this backend, the user's `CLAUDE_BOTTLE_*` variables, and its options in a manifest.

use std::path::PathBuf;

use claude_bottle_plugin_api::{Context, Failure, FailureKind, Result, Spec, Subject};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cluster::Place;

/// The names of all settings.
pub(crate) const SETTINGS: &[&str] =
    &["CONTAINER_HOME", "CONTAINER_SKILLS_DIR", "GUARD_IMAGE", "IMAGE", "KUBE"];

/// Every option there is.
const KNOWN: [&str; 9] = [
    "context",
    "deadline",
    "image_pull_secrets",
    "namespace",
    "node_selector",
    "priority_class",
    "runtime_class",
    "tolerations",
    "wall",
];

/// How long a bottle lives at most when nothing else is said, in seconds: a day.
const DEADLINE: u64 = 24 * 3600;

/// The images when the user names none: what `make images` makes, under the name that a registry of the user's own gives it.
const IMAGE: &str = "claude-bottle:latest";
const GUARD_IMAGE: &str = "claude-bottle-pod-guard:latest";

/// The home of the agent's user in its image.
const HOME: &str = "/home/node";

/// The settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `KUBE`: where bottles are looked for too; the first is where new ones are made. Without any that is the current context of the
    /// user's kubeconfig.
    pub(crate) places: Vec<Place>,
    /// Where this backend keeps what it knows.
    pub(crate) data_dir: PathBuf,
    /// `IMAGE`: the agent's.
    pub(crate) image: String,
    /// `GUARD_IMAGE`.
    pub(crate) guard_image: String,
    /// `CONTAINER_HOME`.
    pub(crate) home: String,
    /// `CONTAINER_SKILLS_DIR`, when the user chose it.
    pub(crate) skills_dir: Option<String>,
}

/// The options of one bottle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    /// The context of the user's kubeconfig.
    pub(crate) context: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) runtime_class: Option<String>,
    pub(crate) priority_class: Option<String>,
    pub(crate) node_selector: Map<String, Value>,
    pub(crate) tolerations: Vec<Value>,
    pub(crate) image_pull_secrets: Vec<String>,
    pub(crate) wall: Asked,
    /// The longest life of the bottle, in seconds.
    pub(crate) deadline: u64,
}

/// Which wall is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Asked {
    /// The strongest that the namespace and the node allow.
    #[default]
    Auto,
    /// A network namespace of the agent's own.
    Netns,
    /// The guest program answers for each socket.
    Notify,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            context: None,
            namespace: None,
            runtime_class: None,
            priority_class: None,
            node_selector: Map::new(),
            tolerations: Vec::new(),
            image_pull_secrets: Vec::new(),
            wall: Asked::Auto,
            deadline: DEADLINE,
        }
    }
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Fails on one that is not valid.
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let text = |name: &str, default: &str| context.setting(name).unwrap_or(default).to_owned();
        let paths = ["CONTAINER_HOME", "CONTAINER_SKILLS_DIR"];
        for (name, path) in paths.into_iter().filter_map(|name| Some((name, context.setting(name)?))) {
            let is_plain =
                path.starts_with('/') && path.len() > 1 && path.split('/').all(|part| part != "..");
            if !is_plain {
                let message = format!("CLAUDE_BOTTLE_{name} is not a valid path: `{}`", path.escape_debug());
                return Err(
                    Failure::new(FailureKind::Invalid, message).hint("use an absolute path without `..`")
                );
            }
        }
        Ok(Self {
            places: places(context.setting("KUBE").unwrap_or_default())?,
            image: text("IMAGE", IMAGE),
            guard_image: text("GUARD_IMAGE", GUARD_IMAGE),
            home: text("CONTAINER_HOME", HOME),
            data_dir: context.data_dir.clone(),
            skills_dir: context.setting("CONTAINER_SKILLS_DIR").map(str::to_owned),
        })
    }
}

/// Reads `CONTEXT/NAMESPACE,CONTEXT/NAMESPACE`.
fn places(text: &str) -> Result<Vec<Place>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let named = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
    let place = |entry: &str| {
        // A context's name may have slashes in it, as those of some providers do; a namespace has none.
        let (context, namespace) = entry.rsplit_once('/').unwrap_or(("", entry));
        match namespace.is_empty() {
            false => Ok(Place { context: named(context), namespace: named(namespace) }),
            true => {
                let message = format!("CLAUDE_BOTTLE_KUBE is not valid: `{}`", entry.escape_debug());
                Err(Failure::new(FailureKind::Invalid, message)
                    .hint("use CONTEXT/NAMESPACE or NAMESPACE, with commas between several"))
            }
        }
    };
    text.split(',').map(|entry| place(entry.trim())).collect()
}

impl Options {
    /// Reads the options of a spec.
    ///
    /// # Errors
    /// Fails on an option that does not exist and on a value that is not valid.
    pub(crate) fn read(spec: &Spec) -> Result<Self> {
        let given = match &spec.options {
            Value::Null => return Ok(Self::default()),
            Value::Object(given) => given,
            _ => return Err(Failure::new(FailureKind::Invalid, "the options are not a mapping")),
        };
        let about = |name: &str, message: String| {
            Failure::new(FailureKind::Invalid, message).about(Subject::Option(name.to_owned()))
        };
        for (name, value) in given {
            if !KNOWN.contains(&name.as_str()) {
                let message = format!("the kubernetes backend has no option `{}`", name.escape_debug());
                let hint = format!("the options of the kubernetes backend: {}", KNOWN.join(", "));
                return Err(about(name, message).hint(hint));
            }
            // One at a time, so that a message names the option.
            let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
            if let Err(error) = Self::deserialize(alone) {
                return Err(about(name, format!("the option `{name}` is not valid: {error}")));
            }
        }
        Self::deserialize(&spec.options)
            .map_err(|error| Failure::new(FailureKind::Invalid, error.to_string()))
    }

    /// Returns where the bottle is made.
    pub(crate) fn place(&self, config: &Config) -> Place {
        let first = config.places.first().cloned().unwrap_or_default();
        Place {
            context: self.context.clone().or(first.context),
            namespace: self.namespace.clone().or(first.namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, Owner};
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_contexts_with_namespaces() {
        let place = |context: Option<&str>, namespace: Option<&str>| Place {
            context: context.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
        };
        for (text, expected) in [
            ("", vec![]),
            ("agents", vec![place(None, Some("agents"))]),
            ("a/x, arn:b/c/y", vec![place(Some("a"), Some("x")), place(Some("arn:b/c"), Some("y"))]),
        ] {
            assert_eq!(places(text).unwrap(), expected, "{text}");
        }
        assert!(places("a/").is_err() && places("a/x,,b/y").is_err());
    }

    #[test]
    fn an_option_that_is_unknown_or_not_valid_is_named() {
        let read = |options: Value| {
            let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
            spec.options = options;
            Options::read(&spec)
        };
        assert_eq!(read(Value::Null).unwrap().deadline, DEADLINE);
        let read_back = read(json!({ "namespace": "team", "wall": "notify" })).unwrap();
        assert_eq!((read_back.namespace.as_deref(), read_back.wall), (Some("team"), Asked::Notify));
        for wrong in [json!({ "link": "socket" }), json!({ "wall": "paper" }), json!({ "deadline": "long" })]
        {
            let failure = read(wrong.clone()).unwrap_err();
            let name = wrong.as_object().unwrap().keys().next().unwrap().clone();
            assert_eq!(failure.subject.as_deref(), Some(&Subject::Option(name)), "{failure}");
        }
    }
}
