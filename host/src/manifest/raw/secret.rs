//! A secret of a bottle as a manifest writes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::egress::credentials::CredentialName;

/// A secret that the guard holds: all of it, or where its value comes from alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Secret {
    /// `?message` to be asked at launch, or `${NAME}` for a variable of the host; the rest as the preset of that name has it.
    Source(String),
    /// All of it.
    Entry(Box<SecretEntry>),
}

/// A secret that the guard holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "secret")]
pub(crate) struct SecretEntry {
    /// Where its value comes from.
    pub(crate) from: SecretFrom,
    /// What it is, for hosts and places; by the name of the variable unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CredentialName")]
    pub(crate) preset: Option<CredentialName>,
    /// Hosts, or `*.domain`, perhaps with a port, that it goes to; they are allowed by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<String>,
    /// Where it stands in a request: `bearer`, `basic`, `header: NAME`, `query: NAME`, `path: /bot{}/`, and in a
    /// small body `json: /pointer` and `form: NAME`; `bearer` unless given.
    #[serde(default, rename = "as", skip_serializing_if = "Vec::is_empty")]
    pub(crate) places: Vec<String>,
    /// Put it in, too, when a request has no credential at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) always: Option<bool>,
    /// Let no other credential through to its hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) only: Option<bool>,
    /// Requests that it is put in for, as rules say them: `GET,HEAD`, `/v1/**`, `POST /v1/**`. All unless given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requests: Vec<String>,
    /// Whether a variable holds the placeholder; `true` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) env: Option<bool>,
    /// Text in front of the placeholder, for programs that look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 32))]
    pub(crate) prefix: Option<String>,
    /// Put it in without TLS as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(crate) plain_http: Option<bool>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SecretFrom {
    /// `?message` to be asked at launch, or `${NAME}` for a variable of the host.
    Text(String),
    /// A file, or what a program prints.
    Place(SecretPlace),
}

/// A file of this machine, or a program that is run on it at each start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "secret_from")]
pub(crate) struct SecretPlace {
    /// The file; `~/` is the home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub(crate) file: Option<String>,
    /// Program and arguments, without a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub(crate) command: Option<Vec<String>>,
    /// How often the command is run again while the agent runs, as `50m`, for tokens that end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub(crate) refresh: Option<String>,
}
