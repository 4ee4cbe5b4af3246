//! What makes the programs of a bottle trust the authority of its guard, where that opens tunnels: variables, and links in place
//! of the system's own files.
//!
//! Both are needed: some clients read a variable alone, some the system's file alone, and a child may be given no variables.
//! The guard writes the files next to its socket. The links say only where they will be, so they can be there before it.

use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{EgressSpec, Result, Spec};

use crate::host_files::write_new;

/// The bottle's authority alone, for programs that trust it in addition to others.
const AUTHORITY: &str = "ca.pem";
/// The authorities of hosts and the bottle's, for what trusts these in place of others.
const BUNDLE: &str = "bundle.pem";
/// The same for Java.
const STORE: &str = "bundle.jks";

/// Variables that name a file to trust in place of the system's, each with where its client says so.
const IN_PLACE: [&str; 14] = [
    "AWS_CA_BUNDLE",     // https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html
    "CARGO_HTTP_CAINFO", // https://doc.rust-lang.org/cargo/reference/config.html#httpcainfo
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", // https://cloud.google.com/sdk/docs/properties
    "CODEX_CA_CERTIFICATE", // https://github.com/openai/codex/blob/main/docs/config.md
    "CURL_CA_BUNDLE",    // https://curl.se/docs/sslcerts.html
    "GIT_SSL_CAINFO",    // https://git-scm.com/docs/git-config#Documentation/git-config.txt-httpsslCAInfo
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", // https://grpc.github.io/grpc/cpp/md_doc_environment_variables.html
    "HTTPLIB2_CA_CERTS", // https://github.com/httplib2/httplib2
    "NIX_SSL_CERT_FILE", // https://nix.dev/manual/nix/latest/installation/env-variables
    "PIP_CERT",          // https://pip.pypa.io/en/stable/topics/https-certificates/
    "REQUESTS_CA_BUNDLE", // https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification
    "SSL_CERT_FILE",     // https://docs.openssl.org/master/man3/SSL_CTX_load_verify_locations/
    "YARN_HTTPS_CA_FILE_PATH", // https://yarnpkg.com/configuration/yarnrc#httpsCaFilePath
    // A `cafile` in any npmrc would otherwise win over NODE_EXTRA_CA_CERTS: https://docs.npmjs.com/cli/using-npm/config#cafile
    "npm_config_cafile",
];
/// Variables that name a file to trust in addition to the client's own.
const BESIDES: [&str; 2] = [
    "DENO_CERT",           // https://docs.deno.com/runtime/reference/env_variables/
    "NODE_EXTRA_CA_CERTS", // https://nodejs.org/api/cli.html#node_extra_ca_certsfile
];

/// Where distributions have the one file of authorities: <https://go.dev/src/crypto/x509/root_linux.go>.
const SYSTEM: [&str; 5] = [
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
    "etc/ssl/certs/ca-certificates.crt",
];
/// Where the JDK of a distribution has its own.
pub const JAVA: &str = "etc/ssl/certs/java/cacerts";
/// What `update-ca-certificates` adds to the file that it makes again.
const LOCAL: &str = "usr/local/share/ca-certificates/claude-bottle.crt";

/// Returns `true` if a run's guard opens tunnels, so that its bottle has to trust it.
pub fn is_needed(spec: &Spec) -> bool {
    spec.requires.iter().any(|feature| feature == EgressSpec::INTERCEPT)
}

/// Returns the variables for files in this directory of the bottle.
pub fn variables(directory: &str) -> Vec<(&'static str, String)> {
    let file = |name: &'static str, file: &str| (name, format!("{directory}/{file}"));
    let in_place = IN_PLACE.into_iter().map(|name| file(name, BUNDLE));
    in_place.chain(BESIDES.into_iter().map(|name| file(name, AUTHORITY))).collect()
}

/// Returns `true` if a variable of this name is one of them.
pub fn is_variable(name: &str) -> bool {
    IN_PLACE.contains(&name) || BESIDES.contains(&name)
}

/// Returns the links in the bottle's system, below its root, to files in this directory of the bottle.
pub fn links(directory: &str) -> Vec<(&'static str, String)> {
    links_to(|name| format!("{directory}/{name}"))
}

/// Returns each place, with the file that belongs there as it is named.
fn links_to(named: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
    let system = SYSTEM.into_iter().map(|place| (place, named(BUNDLE)));
    system.chain([(JAVA, named(STORE)), (LOCAL, named(AUTHORITY))]).collect()
}

/// Returns the files of a guard's directory that a container with this directory has bound in, each with its place: what
/// [`links`] lead to, for an engine that makes the places itself. A program inside cannot put another file there.
pub fn mounts(directory: &Path) -> Vec<(PathBuf, String)> {
    let file = |(place, name): (&'static str, String)| (directory.join(name), format!("/{place}"));
    links_to(|name| name.to_owned()).into_iter().map(file).collect()
}

/// Makes the files empty in a guard's directory: an engine may want what it binds to be there before the guard writes it.
///
/// # Errors
/// Fails when the disk does not take them, and when one is there.
pub fn announce(directory: &Path) -> Result<()> {
    [AUTHORITY, BUNDLE, STORE].into_iter().try_for_each(|name| write_new(&directory.join(name), b"", 0o444))
}

/// Returns the files themselves, by their names, for a bottle that does not share the guard's directory. Those of Java are not
/// among them, and so [`JAVA`] keeps its own.
pub fn files(roots: &str, authority: &str) -> [(&'static str, String); 2] {
    let between = if roots.ends_with('\n') { "" } else { "\n" };
    [(AUTHORITY, authority.to_owned()), (BUNDLE, format!("{roots}{between}{authority}"))]
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, Owner};

    use super::*;

    #[test]
    fn a_bottle_trusts_its_guard_where_the_host_requires_it() {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        assert!(!is_needed(&spec));
        spec.requires.push("egress.intercept".to_owned());
        assert!(is_needed(&spec));
    }

    #[test]
    fn what_adds_names_the_authority_alone_and_what_replaces_names_all() {
        let variables = variables("/run/x");
        let value = |wanted: &str| variables.iter().find(|(name, _)| *name == wanted).unwrap().1.as_str();
        assert_eq!(value("NODE_EXTRA_CA_CERTS"), "/run/x/ca.pem");
        assert_eq!(value("SSL_CERT_FILE"), "/run/x/bundle.pem");
        assert!(variables.iter().all(|(name, _)| is_variable(name)) && !is_variable("PATH"));
        let links = links("/run/x");
        assert!(links.iter().all(|(place, target)| !place.starts_with('/') && target.starts_with("/run/x/")));
        let mounts = mounts(Path::new("/host/x"));
        let bound = |(source, target): &(PathBuf, String)| {
            target.starts_with("/etc/ssl/") && source.starts_with("/host/x")
        };
        assert!(mounts.iter().any(bound) && mounts.len() == links.len());
        assert_eq!(files("R", "A\n")[1].1, "R\nA\n");
        assert_eq!(files("R\n", "A\n")[1].1, "R\nA\n");
    }
}
