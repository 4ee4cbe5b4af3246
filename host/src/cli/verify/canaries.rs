//! Words of chance in place of secrets: what is looked for inside is of no use to anyone.

use std::collections::BTreeMap;

use claude_bottle_egress_policy::{GuardSecret, GuardSecrets};
use claude_bottle_plugin_api::{EnvValue, Secret, Spec};
use rustix::rand::GetRandomFlags;

use crate::run::plugin_services::Secrets;

/// A value for each secret of a bottle.
pub(super) struct Canaries(BTreeMap<String, String>);

impl Canaries {
    /// Makes them for all that a spec asks for, and for these names.
    pub(super) fn new<'n>(spec: &'n Spec, held: impl Iterator<Item = &'n str>) -> anyhow::Result<Self> {
        let env = spec.bottle.env.iter().filter(|variable| variable.value == EnvValue::Secret);
        let names = env.map(|variable| variable.name.as_str());
        let names = names.chain(spec.bottle.secrets.iter().map(|secret| secret.name.as_str())).chain(held);
        Ok(Self(names.map(|name| Ok((name.to_owned(), word()?))).collect::<anyhow::Result<_>>()?))
    }

    /// Returns the value of a name.
    pub(super) fn of(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }
}

impl Secrets for Canaries {
    fn get(&self, name: &str) -> Option<Secret> {
        self.0.get(name).map(|value| Secret::new(value.as_bytes().to_vec()))
    }

    fn all(&self) -> Option<GuardSecrets> {
        let entry = |(name, value): (&String, &String)| GuardSecret {
            name: name.clone(),
            value: value.clone(),
            hosts: Vec::new(),
        };
        Some(GuardSecrets { entries: self.0.iter().map(entry).collect() })
    }
}

/// Returns a word that is nowhere else.
///
/// A test may say it, to plant it where it must not be; a release takes none.
pub(super) fn word() -> anyhow::Result<String> {
    #[cfg(debug_assertions)]
    if let Ok(word) = std::env::var("CLAUDE_BOTTLE_TEST_CANARY") {
        return Ok(word);
    }
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(format!("cbv{:032x}", u128::from_be_bytes(bytes)))
}
