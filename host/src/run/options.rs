//! Options for the selected backend: from the manifest and the command line, each with where it was given.
//!
//! The host knows no option of any backend. A backend refuses those it does not know, in a failure whose subject is the
//! option; the place is added here. A backend that declares no feature [`FEATURE`] takes none, and the contract's
//! glue refuses for it, so that an option is never silently without effect.

use claude_bottle_plugin_api::{Failure, FailureKind, Spec, Subject};
use serde_json::{Map, Value};

use crate::manifest::{BackendOption, Bottle};

/// What a backend declares which reads `spec.options`, and refuses an option that it does not know.
pub const FEATURE: &str = "options";

/// Options for one backend.
#[derive(Debug, Clone, Default)]
pub struct Options(Vec<Given>);

#[derive(Debug, Clone)]
struct Given {
    name: String,
    value: Value,
    /// File and line, or a flag.
    place: String,
}

impl Options {
    /// Returns what a bottle's manifest says for a backend.
    pub fn of(bottle: &Bottle, backend: &str) -> Self {
        let given = |option: &BackendOption| Given {
            name: option.name.clone(),
            value: option.value.clone(),
            place: option.origin.to_string(),
        };
        Self(bottle.options.iter().filter(|option| option.backend == backend).map(given).collect())
    }

    /// Sets an option to true by a flag of the command line, which wins.
    pub fn switch_on(&mut self, name: &str) {
        self.0.retain(|given| given.name != name);
        self.0.push(Given { name: name.to_owned(), value: Value::Bool(true), place: format!("--{name}") });
    }

    /// Puts them into a spec.
    pub fn enter(&self, spec: &mut Spec) {
        if self.0.is_empty() {
            return;
        }
        let entry = |given: &Given| (given.name.clone(), given.value.clone());
        spec.options = Value::Object(self.0.iter().map(entry).collect::<Map<_, _>>());
        spec.requires.push(FEATURE.to_owned());
    }

    /// Adds to a backend's refusal where the option it is about was given.
    pub fn locate(&self, backend: &str, mut failure: Failure) -> Failure {
        match failure.subject.as_deref() {
            Some(Subject::Feature(feature)) if feature == FEATURE => self.not_taken(backend, failure),
            Some(Subject::Option(name)) => {
                if let Some(given) = self.0.iter().find(|given| given.name == *name) {
                    failure.message.insert_str(0, &format!("{}: ", given.place));
                }
                failure
            }
            _ => failure,
        }
    }

    /// Says of the first option that the backend takes none.
    fn not_taken(&self, backend: &str, failure: Failure) -> Failure {
        let Some(first) = self.0.first() else { return failure };
        let message =
            format!("{}: the option `{}`: the {backend} backend takes no options", first.place, first.name);
        Failure::new(FailureKind::Unsupported, message)
            .hint(format!("leave `{}` out, or name a backend that has it: --backend NAME", first.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_gets_the_place_of_its_option() {
        let given = |name: &str, place: &str| Given {
            name: name.to_owned(),
            value: Value::Bool(true),
            place: place.to_owned(),
        };
        let mut options = Options(vec![given("pull", "~/f:3"), given("rebild", "~/f:4")]);
        options.switch_on("pull");
        let check = |kind, message: &str, subject: Option<Subject>, expected: &str| {
            let mut failure = Failure::new(kind, message);
            failure.subject = subject.map(Box::new);
            assert_eq!(options.locate("docker", failure).message, expected);
        };
        let option = |name: &str| Some(Subject::Option(name.to_owned()));
        check(
            FailureKind::Invalid,
            "there is no such option",
            option("rebild"),
            "~/f:4: there is no such option",
        );
        check(FailureKind::Invalid, "the option is 1", option("pull"), "--pull: the option is 1");
        check(FailureKind::Unreachable, "ask the engine", None, "ask the engine");
        // A message says nothing of where: it may quote anything.
        check(FailureKind::Internal, "run `x option `pull``", None, "run `x option `pull``");
        let expected = "~/f:4: the option `rebild`: the docker backend takes no options";
        let feature = |name: &str| Some(Subject::Feature(name.to_owned()));
        check(FailureKind::Unsupported, "unknown", feature("options"), expected);
        check(FailureKind::Unsupported, "unknown", feature("other"), "unknown");
    }
}
