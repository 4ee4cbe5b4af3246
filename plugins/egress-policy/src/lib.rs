//! The egress policy: host names, rules, decisions, address vetting, and the guard's configuration document.
//!
//! The host builds a [`Policy`] from the manifest, answers `policy check` with it and writes a [`GuardConfig`]; the
//! egress guard reads that text and asks the same [`Policy`]. Both sides therefore cannot disagree.
//!
//! Invariant: nothing here opens a socket, looks at the environment or prints; files are for [`rotation`] alone.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod chain;
mod change;
mod config;
mod decision;
mod ending;
mod error;
mod exchange;
mod given;
mod held;
mod host;
mod inspection;
mod intercept;
mod method;
mod path;
mod place;
mod policy;
mod record;
mod reload;
mod request;
pub mod rotation;
mod rule;
mod secrets;
mod time;
mod upload;
mod upstream;
mod url;

pub use address::{AddressRefusal, Special, special_purpose};
pub use chain::{Break, Head, LineHash, Link};
pub use config::{CONFIG_VERSION, GuardConfig, Limits, Listen, LogConfig, SocketAccess};
pub use decision::{Code, Decision, Scheme, Verdict};
pub use error::{ConfigError, HeldError, HostError, RuleError};
pub use exchange::{Exchange, MASKED, Shown};
pub use given::WHILE_IT_RUNS;
pub use held::{HeldSecret, RequestPattern, SecretHost};
pub use host::{Host, HostOrIp, parse_authority};
pub use inspection::{DlpAction, DlpConfig, DlpKind};
pub use intercept::Intercept;
pub use path::{PathError, PathPattern, RequestPath};
pub use place::{Place, PlaceError};
pub use policy::{MOST_PORTS, Policy, PrivateGrant, SshServer, vet_addresses};
pub use record::{GIVE_BACK, LogEvent, LogRecord, UNAUTHORIZED, answered};
pub use reload::{MOST_RELOAD_BYTES, Reload, ReloadAnswer, ReloadLine, SecretReload};
pub use request::Asked;
pub use rotation::{End, Tally};
pub use rule::{DEFAULT_ORIGIN, Effect, HostPattern, Rule};
pub use secrets::{GuardSecret, GuardSecrets};
pub use time::date_time;
pub use upload::{UploadHosts, UploadLimit};
pub use upstream::{Authority, UpstreamProxy};
pub use url::{Url, UrlError};
