//! Docker's own settings of a user: which context is the current one, and which engine a context names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::AddressError;

/// The context of this name stands for the usual address.
const DEFAULT: &str = "default";

/// What a context says of its engine.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) host: String,
    /// Where its certificates are; `None` when it has none.
    pub(super) tls: Option<PathBuf>,
    /// Whether it does without a look at the engine's certificate.
    pub(super) skips_verification: bool,
}

/// Finds the context of this name, or the current one; `None` for the default.
pub(super) fn find(settings: &Path, name: Option<String>) -> Result<Option<Context>, AddressError> {
    let name = match name {
        Some(name) => Some(name),
        None => current(settings)?,
    };
    name.filter(|name| name != DEFAULT).map(|name| context(settings, name)).transpose()
}

fn current(settings: &Path) -> Result<Option<String>, AddressError> {
    let value = read(&settings.join("config.json"))?;
    let name = value.as_ref().and_then(|value| value.get("currentContext")).and_then(Value::as_str);
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

/// Contexts are stored under the hash of their name:
/// <https://github.com/docker/cli/blob/v28.2.2/cli/context/store/store.go>.
fn context(settings: &Path, name: String) -> Result<Context, AddressError> {
    let digest: String = Sha256::digest(&name).iter().map(|byte| format!("{byte:02x}")).collect();
    let missing = || AddressError::Context { name: name.clone() };
    let meta = read(&settings.join("contexts/meta").join(&digest).join("meta.json"))?.ok_or_else(missing)?;
    let engine = meta.pointer("/Endpoints/docker").ok_or_else(missing)?;
    let host = engine.get("Host").and_then(Value::as_str).ok_or_else(missing)?.to_owned();
    let skips_verification = engine.get("SkipTLSVerify").and_then(Value::as_bool).unwrap_or(false);
    let tls = settings.join("contexts/tls").join(digest).join("docker");
    Ok(Context { name, host, tls: Some(tls).filter(|dir| dir.is_dir()), skips_verification })
}

fn read(path: &Path) -> Result<Option<Value>, AddressError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| AddressError::ReadSettings { path: path.to_owned(), source })?,
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|source| AddressError::ParseSettings { path: path.to_owned(), source })
}
