//! Which host may be shown which secret: the host program's rule, kept by the guard of every backend.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use super::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};

const REGISTRY: &str = "canary-registry-88d1e6f4b3";

/// Serves an empty answer to every request and passes the requests' heads on.
fn server(address: IpAddr) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            // It is passed on before the client has its answer.
            sender.send(head.join("\n")).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
        }
    });
    (port, heads)
}

/// Makes a home whose bottle reaches two names at one address: the API's, and one of the manifest's own.
fn home(address: IpAddr, port: u16) -> Home {
    let mut manifest = format!(
        "bottles:\n  dev:\n    env:\n      ANTHROPIC_BASE_URL: http://api.test:{port}\n      NPM_TOKEN: ${{REGISTRY}}\n      \
         CLAUDE_CODE_OAUTH_TOKEN: ${{CLAUDE_BOTTLE_OAUTH_TOKEN}}\n    \
         egress:\n      allowlist: ['api.test:{port}', 'own.test:{port}']\n      \
         hosts: {{ api.test: {address}, own.test: {address} }}\n      private:\n"
    );
    for name in ["api", "own"] {
        writeln!(manifest, "        - {{ host: {name}.test, range: {address}/32 }}").unwrap();
    }
    manifest.push_str("agents:\n  discreet: { bottle: dev, command: [bash] }\n");
    Home::new(&manifest).env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN).env("REGISTRY", REGISTRY)
}

/// Asks for a URL with a header, and returns the status and the reason of a refusal.
#[track_caller]
fn ask(inside: &mut Session, header: &str, url: &str) -> String {
    inside.ok(&format!(
        "curl -sS -m 20 -o /dev/null -w '%{{http_code}} %header{{x-egress-reason}}' -H \"{header}\" {url}"
    ))
}

on_each_backend!(a_secret_goes_to_the_hosts_it_is_meant_for_and_no_other);

fn a_secret_goes_to_the_hosts_it_is_meant_for_and_no_other(backend: Backend) {
    let address = backend.host_address();
    let (port, heads) = server(address);
    let home = home(address, port);
    let command = backend.command(&home, &["--quiet", "start", "discreet", "--yes"]);
    let mut inside = Session::start_by(command, &home, "discreet");
    let (api, own) = (format!("http://api.test:{port}/"), format!("http://own.test:{port}/"));
    let token = "Authorization: Bearer $CLAUDE_CODE_OAUTH_TOKEN";
    let registry = "Authorization: Bearer $NPM_TOKEN";
    // The controls: both hosts answer, and each secret arrives where it is meant to.
    assert_eq!(ask(&mut inside, "X-Harmless: 1", &own), "200");
    heads.recv().unwrap();
    for (header, url, secret) in
        [(token, &api, TOKEN), (registry, &own, REGISTRY), (registry, &api, REGISTRY)]
    {
        assert_eq!(ask(&mut inside, header, url), "200", "{header} to {url}");
        assert!(heads.recv().unwrap().contains(secret));
    }
    for (header, url) in [
        (token, own.as_str()),
        // Of the hosts that every bottle may reach; nothing is looked up before the refusal.
        (token, "http://sentry.io/"),
        (registry, "http://sentry.io/"),
        (registry, "http://api.anthropic.com/"),
    ] {
        assert_eq!(ask(&mut inside, header, url), "403 dlp_secret", "{header} to {url}");
    }
    assert!(heads.try_recv().is_err(), "a request went on");
    inside.end();
}
