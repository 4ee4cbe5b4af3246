//! The JSON schema of the manifest, from the types it is written with.

use schemars::schema_for;
use serde_json::Value;

use super::raw::Document;

/// Returns the schema: JSON Schema 2020-12, for editors and for `claude-bottle schema`.
///
/// A manifest the schema refuses is refused by the load too. The load refuses more: what the schema cannot say, such
/// as the syntax of a rule, and what only the disk knows.
pub fn schema() -> Value {
    schema_for!(Document).to_value()
}
