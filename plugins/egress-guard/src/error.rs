//! What can stop the guard itself, as opposed to one request.

use std::io;
use std::path::PathBuf;

use claude_bottle_egress_policy::{ConfigError, Listen};

/// Why the guard does not start, or does not take a new configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A place in the volume of a Pod could not be made or reached.
    #[error("cannot use `{}`", path.display())]
    Knock {
        /// The place.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A second policy came as a first one.
    #[error("the guard has its policy already")]
    HasPolicy,
    /// A change came before what is to be changed.
    #[error("the guard has no policy yet")]
    HasNoPolicy,
    /// The configuration is wrong.
    #[error("configuration `{}`", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ConfigError,
    },
    /// The secrets are wrong.
    #[error("secrets of this bottle")]
    Secrets {
        /// What is wrong; never the text.
        #[source]
        source: ConfigError,
    },
    /// Standard input ended before the configuration did.
    #[error("standard input ended before the line `...` that ends the configuration")]
    CutOff,
    /// The secrets came on standard input, and the configuration names another place for them.
    #[error("the secrets are on standard input, and `dlp` names another place for them; give one")]
    TwoSecretSources,
    /// The variable that should hold the secrets is not there.
    #[error("environment variable `{name}` with the bottle's secrets is not set")]
    NoSecretsVariable {
        /// Its name.
        name: String,
    },
    /// The credentials for the proxy above are not among the secrets, or cannot be a header.
    #[error("the credentials `{name}` for the upstream proxy are missing or not valid")]
    NoProxyCredentials {
        /// The name of the secret.
        name: String,
    },
    /// The value of a secret that the guard is to put in is not among the secrets.
    #[error("the value of the secret `{name}` is missing")]
    NoHeldValue {
        /// Its name.
        name: String,
    },
    /// The value of a secret that the guard is to put in could not stand everywhere.
    #[error(
        "the secret `{name}` has not a valid value: use 8 bytes to 16 KiB of visible ASCII without blanks"
    )]
    BadHeldValue {
        /// Its name.
        name: String,
    },
    /// A value was given for a secret that the guard is not to put in.
    #[error("the guard holds no secret `{name}`")]
    NotHeld {
        /// Its name.
        name: String,
    },
    /// There is no room to look for all of them.
    #[error("the bottle has too many secrets, or too long ones")]
    TooManySecrets,
    /// The rule set does not compile.
    #[error(transparent)]
    Rules(#[from] secret_scan::ScanError),
    /// A rule is switched off that does not exist.
    #[error("`dlp.exempt_rules` names `{name}`, which is not a rule")]
    UnknownRule {
        /// The name given.
        name: String,
    },
    /// The listening socket could not be opened.
    #[error("cannot listen on `{place}`")]
    Listen {
        /// Where.
        place: Listen,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The log file could not be opened.
    #[error("cannot open log file `{}`", path.display())]
    OpenLog {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A new configuration changes something that needs a restart.
    #[error("`{key}` cannot change while the guard runs")]
    NeedsRestart {
        /// The key.
        key: &'static str,
    },
    /// A new configuration allows a host for which the bottle's authority is not good.
    #[error(
        "tunnels to `{host}` were not opened at the start, and the bottle's authority is good for those that were: start the bottle again"
    )]
    OutsideAuthority {
        /// The host.
        host: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    MakeCertificate {
        /// What went wrong.
        #[source]
        source: rcgen::Error,
    },
    /// The trust files could not be written.
    #[error("cannot write the trust files of the bottle in `{}`", directory.display())]
    WriteTrust {
        /// The directory of the socket.
        directory: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// There are no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
    /// An authority that the configuration names is not one.
    #[error("`roots`: authority {number} is not a valid certificate: {reason}")]
    Root {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// No authority is there to trust.
    #[error("`roots` has no authority, so no host could be trusted")]
    NoRoots,
    /// The parts of a TLS configuration do not fit.
    #[error("cannot set up TLS")]
    ConfigureTls {
        /// What went wrong.
        #[source]
        source: tokio_rustls::rustls::Error,
    },
    /// A new policy is not one that a guard could start with.
    #[error("policy")]
    Policy {
        /// What is wrong.
        #[source]
        source: ConfigError,
    },
    /// The runtime, a signal handler or a thread could not be set up.
    #[error("cannot set up the process")]
    Process {
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The health check found nobody.
    #[error("no guard answers at `{place}`")]
    Unhealthy {
        /// Where.
        place: Listen,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A URL on the command line that is none.
    #[error("`{url}` is neither a URL nor `host:port`")]
    Url {
        /// The text given.
        url: String,
    },
}
