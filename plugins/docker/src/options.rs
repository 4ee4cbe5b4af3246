//! The options of this backend, from `bottles.<name>.options.docker` and the command line: what there are, and no others.

use claude_bottle_plugin_api::{Failure, FailureKind, Result, Spec, Subject};
use serde_json::Value;

use crate::guard_place;
use crate::link::{self, Asked};
use crate::protection::Protection;

/// Every option there is.
const KNOWN: [&str; 5] = ["allow_missing", "guard", "link", "pull", "rebuild"];

/// The options of a bottle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Protections that an engine may lack.
    pub(crate) allow_missing: Vec<Protection>,
    /// Where the guard is to run.
    pub(crate) guard: guard_place::Asked,
    /// How the agent is to reach its sidecar.
    pub(crate) link: Option<Asked>,
    /// Pull the image, or its base, even if it is present.
    pub(crate) pull: bool,
    /// Build the image again.
    pub(crate) rebuild: bool,
}

impl Options {
    /// Reads the options of a spec.
    ///
    /// # Errors
    /// Fails on an option that does not exist and on a value that means nothing.
    pub(crate) fn read(spec: &Spec) -> Result<Self> {
        let given = match &spec.options {
            Value::Null => return Ok(Self::default()),
            Value::Object(given) => given,
            _ => return Err(Failure::new(FailureKind::Invalid, "the options are no mapping")),
        };
        if let Some(name) = given.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            let message = format!("the docker backend has no option `{}`", name.escape_debug());
            return Err(Failure::new(FailureKind::Invalid, message)
                .about(Subject::Option(name.clone()))
                .hint(format!("the options of the docker backend: {}", KNOWN.join(", "))));
        }
        let options = Self {
            allow_missing: Protection::allowed_missing(spec)?,
            guard: guard_place::asked(spec)?,
            link: link::asked(spec)?,
            pull: switch(&spec.options, "pull")?,
            rebuild: switch(&spec.options, "rebuild")?,
        };
        match &spec.bottle.image {
            Some(image) if options.rebuild => {
                let message = format!(
                    "the option `rebuild` is for an image that is built here, and bottle `{}` has `{image}`",
                    spec.bottle.name
                );
                Err(Failure::new(FailureKind::Invalid, message)
                    .about(Subject::Option("rebuild".to_owned()))
                    .hint("use --pull to pull that image again"))
            }
            _ => Ok(options),
        }
    }
}

fn switch(options: &Value, name: &str) -> Result<bool> {
    match options.get(name) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => {
            let message = format!("the option `{name}` is `{other}`");
            Err(Failure::new(FailureKind::Invalid, message)
                .about(Subject::Option(name.to_owned()))
                .hint("use true or false"))
        }
    }
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, Owner};
    use serde_json::json;

    use super::*;

    fn read(options: Value, image: Option<&str>) -> Result<Options> {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.options = options;
        spec.bottle.image = image.map(str::to_owned);
        Options::read(&spec)
    }

    #[test]
    fn what_is_not_known_or_means_nothing_is_refused_by_name() {
        assert_eq!(read(Value::Null, None).unwrap(), Options::default());
        let options = read(json!({ "pull": true, "rebuild": false }), None).unwrap();
        assert_eq!(options, Options { pull: true, ..Options::default() });
        assert!(read(json!({ "pull": true }), Some("debian")).unwrap().pull);
        for (options, image, name) in [
            (json!({ "rebild": true }), None, "rebild"),
            (json!({ "pull": "yes" }), None, "pull"),
            (json!({ "allow_missing": ["all"] }), None, "allow_missing"),
            (json!({ "guard": "here" }), None, "guard"),
            (json!({ "link": "wire" }), None, "link"),
            (json!({ "rebuild": true }), Some("debian"), "rebuild"),
        ] {
            let failure = read(options, image).unwrap_err();
            assert_eq!(failure.subject.as_deref(), Some(&Subject::Option(name.to_owned())), "{failure:?}");
            assert!(
                failure.message.contains(&format!("`{name}`")) && failure.hints.len() == 1,
                "{failure:?}"
            );
        }
    }
}
