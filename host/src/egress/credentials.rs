//! Secrets that people have, by the name of their variable: to which hosts each goes, and where in a request it stands.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A kind of secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Credential {
    /// The preset's name.
    pub name: &'static str,
    /// Variables whose secrets are of this kind.
    pub variables: &'static [&'static str],
    /// Hosts, and where in requests to them it stands.
    pub uses: &'static [(&'static [&'static str], &'static [&'static str])],
    /// Whether no other credential passes to these hosts.
    pub only: bool,
    /// Rules that keep another credential of the kind from being made inside.
    pub rules: &'static [&'static str],
}

/// The host of the model's API.
const API: &[&str] = &["api.anthropic.com"];
/// A login inside would put a real token there.
const NO_LOGIN: &[&str] = &["deny POST platform.claude.com/v1/oauth/token"];

/// Every kind. Of two with one name the variable decides, and else the first.
pub const CREDENTIALS: [Credential; 6] = [
    // <https://docs.claude.com/en/api/overview#authentication>
    Credential {
        name: "claude",
        variables: &["CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN"],
        uses: &[(API, &["bearer"])],
        only: true,
        rules: NO_LOGIN,
    },
    Credential {
        name: "claude",
        variables: &["ANTHROPIC_API_KEY"],
        uses: &[(API, &["header: X-Api-Key"])],
        only: true,
        rules: NO_LOGIN,
    },
    // <https://docs.github.com/en/rest/authentication>, and by git a user and a password.
    Credential {
        name: "github",
        variables: &["GITHUB_TOKEN", "GH_TOKEN"],
        uses: &[
            (&["api.github.com", "uploads.github.com", "raw.githubusercontent.com"], &["bearer"]),
            (&["github.com"], &["basic"]),
        ],
        only: false,
        rules: &[],
    },
    // <https://docs.npmjs.com/using-private-packages-in-a-ci-cd-workflow>
    Credential {
        name: "npm",
        variables: &["NPM_TOKEN"],
        uses: &[(&["registry.npmjs.org"], &["bearer"])],
        only: false,
        rules: &[],
    },
    // <https://pypi.org/help/#apitoken>
    Credential {
        name: "pypi",
        variables: &["PYPI_TOKEN", "TWINE_PASSWORD", "UV_PUBLISH_TOKEN"],
        uses: &[(&["pypi.org", "upload.pypi.org"], &["basic"])],
        only: false,
        rules: &[],
    },
    // <https://doc.rust-lang.org/cargo/reference/registry-web-api.html>
    Credential {
        name: "crates",
        variables: &["CARGO_REGISTRY_TOKEN"],
        uses: &[(&["crates.io"], &["header: Authorization"])],
        only: false,
        rules: &[],
    },
];

impl Credential {
    /// Returns `true` if it is for the model's API.
    pub fn is_of_api(&self) -> bool {
        self.name == "claude"
    }
}

/// Returns the kind of a variable's secrets.
pub fn of_variable(variable: &str) -> Option<&'static Credential> {
    CREDENTIALS.iter().find(|kind| kind.variables.contains(&variable))
}

/// Returns the kind of a preset's name, for this variable.
pub fn named(name: &str, variable: &str) -> Option<&'static Credential> {
    let of_variable = of_variable(variable).filter(|kind| kind.name == name);
    of_variable.or_else(|| CREDENTIALS.iter().find(|kind| kind.name == name))
}

/// Returns the names of all presets.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = CREDENTIALS.iter().map(|kind| kind.name).collect();
    names.dedup();
    names
}

/// A preset's name in a manifest's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CredentialName(String);

impl JsonSchema for CredentialName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "credential".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": names() })
    }
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::{Place, Rule, SecretHost};

    use super::*;

    #[test]
    fn each_kind_can_be_read_and_is_found_by_name_and_variable() {
        for kind in &CREDENTIALS {
            for (hosts, places) in kind.uses {
                assert!(hosts.iter().all(|host| SecretHost::parse(host).is_ok()), "{}", kind.name);
                assert!(places.iter().all(|place| place.parse::<Place>().is_ok()), "{}", kind.name);
            }
            assert!(kind.rules.iter().all(|rule| Rule::parse(rule, "").is_ok()), "{}", kind.name);
            for variable in kind.variables {
                assert_eq!(of_variable(variable), Some(kind));
                assert_eq!(named(kind.name, variable), Some(kind));
            }
            assert_eq!(named(kind.name, "OTHER").map(|kind| kind.name), Some(kind.name));
        }
        assert_eq!(names(), ["claude", "github", "npm", "pypi", "crates"]);
        assert!(of_variable("OTHER").is_none() && named("github ", "GH_TOKEN").is_none());
    }
}
