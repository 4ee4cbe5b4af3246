//! Addresses as `DOCKER_HOST` and docker's contexts say them: what is spoken, and what is refused.

use std::fs;

use super::*;

fn address(vars: &[(&str, &str)]) -> Result<Address, AddressError> {
    super::find(&|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

fn find(vars: &[(&str, &str)]) -> String {
    address(vars).map_or_else(|error| error.to_string(), |address| address.to_string())
}

#[test]
fn docker_host_wins() {
    assert_eq!(find(&[]), "unix:///var/run/docker.sock");
    assert_eq!(find(&[("DOCKER_HOST", "unix:///x"), ("DOCKER_CONTEXT", "y")]), "unix:///x");
    assert_eq!(find(&[("DOCKER_HOST", "tcp://h:99")]), "tcp://h:99");
    assert_eq!(find(&[("DOCKER_HOST", "tcp://[::1]/")]), "tcp://[::1]:2375");
    assert_eq!(find(&[("DOCKER_HOST", "ssh://me@far")]), "ssh://me@far");
    for bad in ["unix://x", "h", "tcp://", "npipe://x", "fd://"] {
        let error = address(&[("DOCKER_HOST", bad)]).unwrap_err();
        assert!(error.to_string().contains("not an engine's address"), "{bad}");
        assert_eq!(error.hint(), "unset DOCKER_HOST");
    }
}

#[test]
fn tls_is_verified_or_refused() {
    let tls = |vars: &[(&str, &str)]| match address(vars).unwrap() {
        Address::Tls(TlsAddress { authority, files }) => (authority, files.display().to_string()),
        other => panic!("{other:?}"),
    };
    let verified = [("DOCKER_HOST", "tcp://h"), ("DOCKER_TLS_VERIFY", "1")];
    let with = |more: &[(&'static str, &'static str)]| [&verified[..], more].concat();
    assert_eq!(tls(&with(&[("DOCKER_CERT_PATH", "/c")])), ("h:2376".to_owned(), "/c".to_owned()));
    assert_eq!(tls(&with(&[("HOME", "/home/me")])), ("h:2376".to_owned(), "/home/me/.docker".to_owned()));
    assert_eq!(tls(&with(&[("DOCKER_CONFIG", "/d"), ("HOME", "/h")])).1, "/d");
    // Of the working directory nothing is taken.
    assert!(matches!(address(&verified), Err(AddressError::Certificates { .. })));
    // `https` is TLS by itself, and then it is verified as well.
    assert!(matches!(address(&[("DOCKER_HOST", "https://h")]), Err(AddressError::Certificates { .. })));
    for host in ["tcp://h", "https://h"] {
        for more in [&[("DOCKER_TLS", "1")][..], &[("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", "/c")]] {
            let error = address(&[&[("DOCKER_HOST", host)], more].concat()).unwrap_err();
            assert!(matches!(error, AddressError::Unverified { .. }), "{error}");
            assert!(error.hint().starts_with("export DOCKER_TLS_VERIFY=1"));
        }
    }
    // Both is what docker takes for verified; a socket and ssh have their own ways.
    assert_eq!(tls(&with(&[("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", "/c")])).0, "h:2376");
    assert_eq!(find(&[("DOCKER_HOST", "unix:///x"), ("DOCKER_TLS_VERIFY", "1")]), "unix:///x");
    assert_eq!(find(&[("DOCKER_HOST", "ssh://far"), ("DOCKER_TLS_VERIFY", "1")]), "ssh://far");
}

#[test]
fn what_is_in_clear_to_another_machine_is_known() {
    for (host, is_exposed) in [
        ("tcp://far:2375", true),
        ("tcp://10.0.0.7", true),
        ("tcp://[fd00::1]", true),
        ("tcp://localhost", false),
        ("tcp://127.0.0.9:99", false),
        ("tcp://[::1]", false),
        ("unix:///x", false),
        ("ssh://far", false),
    ] {
        assert_eq!(address(&[("DOCKER_HOST", host)]).unwrap().is_exposed(), is_exposed, "{host}");
    }
}

/// A directory of docker's settings, with a context `desktop-linux`.
struct Settings(tempfile::TempDir);

/// The hash of its name.
const HASH: &str = "fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e";

impl Settings {
    fn new(endpoint: &str) -> Self {
        let settings = Self(tempfile::tempdir().unwrap());
        let meta = settings.0.path().join("contexts/meta").join(HASH);
        fs::create_dir_all(&meta).unwrap();
        let document = format!(r#"{{"Name":"desktop-linux","Endpoints":{{"docker":{endpoint}}}}}"#);
        fs::write(meta.join("meta.json"), document).unwrap();
        settings
    }

    fn find(&self, context: &str) -> Result<Address, AddressError> {
        let path = self.0.path().to_str().unwrap();
        address(&[("DOCKER_CONFIG", path), ("DOCKER_CONTEXT", context)])
    }
}

#[test]
fn contexts_are_read_as_docker_stores_them() {
    let settings = Settings::new(r#"{"Host":"unix:///d.sock"}"#);
    let text = |context: &str| {
        settings.find(context).map_or_else(|error| error.to_string(), |address| address.to_string())
    };
    assert_eq!(text(""), "unix:///var/run/docker.sock");
    assert_eq!(text("desktop-linux"), "unix:///d.sock");
    fs::write(settings.0.path().join("config.json"), r#"{"currentContext":"desktop-linux"}"#).unwrap();
    assert_eq!(text(""), "unix:///d.sock");
    assert_eq!(text("default"), "unix:///var/run/docker.sock");
    assert_eq!(text("gone"), "docker context `gone` names no engine");
    fs::write(settings.0.path().join("config.json"), "{").unwrap();
    assert!(text("").contains("damaged"));
}

#[test]
fn contexts_name_engines_by_ssh_and_by_tls() {
    let ssh = Settings::new(r#"{"Host":"ssh://me@far:2222","SkipTLSVerify":false}"#);
    assert_eq!(ssh.find("desktop-linux").unwrap().to_string(), "ssh://me@far:2222");

    let tls = Settings::new(r#"{"Host":"tcp://far:2376","SkipTLSVerify":false}"#);
    let files = tls.0.path().join("contexts/tls").join(HASH).join("docker");
    assert_eq!(tls.find("desktop-linux").unwrap(), Address::Tcp("far:2376".to_owned()));
    fs::create_dir_all(&files).unwrap();
    let address = TlsAddress { authority: "far:2376".to_owned(), files };
    assert_eq!(tls.find("desktop-linux").unwrap(), Address::Tls(address));

    let careless = Settings::new(r#"{"Host":"tcp://far:2376","SkipTLSVerify":true}"#);
    let error = careless.find("desktop-linux").unwrap_err();
    assert!(error.to_string().starts_with("docker context `desktop-linux` asks for TLS without"), "{error}");
}
