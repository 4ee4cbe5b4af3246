//! The keys that a manifest knows, taken from its schema, for a suggestion in place of one that it does not know.

use std::sync::LazyLock;

use schemars::{JsonSchema, schema_for};

use super::raw::{
    Agent, Bottle, Dlp, Document, Egress, Limits, McpServer, Person, Private, SecretEntry, SecretPlace,
    SetupStep, Ssh,
};

/// The keys that each mapping of a manifest knows, sorted.
pub(crate) struct Keys {
    pub(crate) document: Vec<String>,
    pub(crate) bottle: Vec<String>,
    pub(crate) secret: Vec<String>,
    pub(crate) secret_from: Vec<String>,
    pub(crate) ssh: Vec<String>,
    pub(crate) egress: Vec<String>,
    pub(crate) private: Vec<String>,
    pub(crate) dlp: Vec<String>,
    pub(crate) limits: Vec<String>,
    pub(crate) git_identity: Vec<String>,
    pub(crate) agent: Vec<String>,
    pub(crate) mcp: Vec<String>,
    pub(crate) setup: Vec<String>,
}

pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    document: keys_of::<Document>(),
    bottle: keys_of::<Bottle>(),
    secret: keys_of::<SecretEntry>(),
    secret_from: keys_of::<SecretPlace>(),
    ssh: keys_of::<Ssh>(),
    egress: keys_of::<Egress>(),
    private: keys_of::<Private>(),
    dlp: keys_of::<Dlp>(),
    limits: keys_of::<Limits>(),
    git_identity: keys_of::<Person>(),
    agent: keys_of::<Agent>(),
    mcp: keys_of::<McpServer>(),
    setup: keys_of::<SetupStep>(),
});

fn keys_of<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T);
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    let mut keys: Vec<String> =
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default();
    keys.sort();
    keys
}
