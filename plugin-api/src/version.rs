//! The contract's version: major.minor, one major for ever-compatible documents.

use std::fmt;
use std::str::FromStr;

/// The version of the contract this crate speaks.
pub const CONTRACT: ContractVersion = ContractVersion { major: 1, minor: 1 };

/// Expands to [`CONTRACT`] as a literal, for the ELF note that is put together at compile time.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_literal {
    () => {
        "1.1"
    };
}

/// A contract version; equal majors understand each other in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContractVersion {
    /// Changes when an older plug-in or host could no longer work.
    pub major: u16,
    /// Changes when something optional was added.
    pub minor: u16,
}

impl ContractVersion {
    /// Returns whether a host and a plug-in of these two versions can work together.
    pub fn is_compatible(self, other: Self) -> bool {
        self.major == other.major
    }
}

impl fmt::Display for ContractVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is not `MAJOR.MINOR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractVersionError(String);

impl fmt::Display for ContractVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a contract version (MAJOR.MINOR)", self.0)
    }
}

impl std::error::Error for ContractVersionError {}

impl FromStr for ContractVersion {
    type Err = ContractVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
        };
        parse().ok_or_else(|| ContractVersionError(text.to_owned()))
    }
}

impl serde::Serialize for ContractVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ContractVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_is_the_constant() {
        assert_eq!(CONTRACT.to_string(), __contract_literal!());
    }

    #[test]
    fn majors_decide() {
        let v = |text: &str| text.parse::<ContractVersion>().unwrap();
        assert!(v("1.0").is_compatible(v("1.9")));
        assert!(!v("1.0").is_compatible(v("2.0")));
        for bad in ["", "1", "1.", "a.b", "1.0.0", "-1.0"] {
            assert!(bad.parse::<ContractVersion>().is_err(), "{bad}");
        }
    }
}
