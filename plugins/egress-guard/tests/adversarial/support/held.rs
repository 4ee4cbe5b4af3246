//! A guard that holds secrets, and a host that they go to.

use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use super::certificates::Roots;
use super::inside::{Inside, ask, handshake};
use super::{Answer, Guard, Upstream, open_tunnel};

/// What the agent has.
pub(crate) const HOLDER: &str = "ghp_placeholder-for-TOKEN-q3x7k2mw5t";
/// What it stands for.
pub(crate) const VALUE: &str = "s3cr3tValue0123456789xyz";
/// The hosts: the secret's own, another that is allowed, and a model's.
pub(crate) const HOSTS: [&str; 3] = ["own.test", "else.test", "model.test"];

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The guard, and one server that is all hosts.
pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) guard: Guard,
    ca: String,
}

impl World {
    /// Answers `ok` to everything.
    pub(crate) fn new() -> Self {
        Self::with(|_| vec![OK.to_vec()], None, |_| ())
    }

    /// Answers with what is made of a request.
    pub(crate) fn answering(answer: impl Fn(&str) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::with(answer, None, |_| ())
    }

    pub(crate) fn with(
        answer: impl Fn(&str) -> Vec<Vec<u8>> + Send + Sync + 'static,
        next: Option<Receiver<()>>,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let roots = Roots::new();
        let upstream = Upstream::tls_answering(roots.server_for(&HOSTS), answer, next);
        let mut config = config(upstream.port, &roots.pem);
        change(&mut config);
        let guard = start(&config);
        let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
        Self { upstream, guard, ca }
    }

    pub(crate) fn authority(&self, host: &str) -> String {
        format!("{host}:{}", self.upstream.port)
    }

    pub(crate) fn inside(&self, host: &str) -> Inside {
        let tunnel = open_tunnel(self.guard.address(), &self.authority(host));
        handshake(tunnel, (&self.ca, host), &[]).unwrap()
    }

    /// Returns a request, with these header lines and body.
    pub(crate) fn request(&self, host: &str, line: &str, (headers, body): (&str, &str)) -> String {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let authority = self.authority(host);
        format!("{line} HTTP/1.1\r\nHost: {authority}\r\n{headers}{length}\r\n{body}")
    }

    /// Asks in a tunnel of its own.
    pub(crate) fn ask(&self, host: &str, line: &str, sent: (&str, &str)) -> Answer {
        ask(&mut self.inside(host), &self.request(host, line, sent))
    }

    /// Checks that the value is in nothing that the guard said.
    pub(crate) fn is_silent(&self) {
        assert!(
            self.guard.log().iter().all(|line| !line.to_string().contains(VALUE)),
            "{:#?}",
            self.guard.log()
        );
    }
}

/// Starts a guard with the value.
pub(crate) fn start(config: &Value) -> Guard {
    let secrets = json!([{ "name": "TOKEN", "value": VALUE, "hosts": ["own.test"] }]).to_string();
    Guard::start_controlled_with(config, &[("BOTTLE_SECRETS", &secrets)])
}

/// One secret that goes to one host by bearer, and to a model by a header.
pub(crate) fn config(port: u16, roots: &str) -> Value {
    let held = |host: &str, places: &[&str]| json!({ "name": "TOKEN", "placeholder": HOLDER, "hosts": [format!("{host}:{port}")], "places": places });
    let of_hosts = |make: &dyn Fn(&str) -> Value| HOSTS.map(make).to_vec();
    json!({
        "tls_ports": [port],
        "roots": roots,
        "dlp": { "secrets_env": "BOTTLE_SECRETS", "model_hosts": ["model.test"] },
        "policy": {
            "intercept": "all",
            "rules": of_hosts(&|host| json!({ "rule": format!("{host}:{port}") })),
            "private": of_hosts(&|host| json!({ "host": host, "range": "127.0.0.1/32" })),
            "hosts": HOSTS.map(|host| (host.to_owned(), json!(["127.0.0.1"]))).into_iter().collect::<serde_json::Map<_, _>>(),
            "secrets": [held("own.test", &["bearer", "basic", "query: key"]), held("model.test", &["header: X-Api-Key"])],
        },
    })
}
